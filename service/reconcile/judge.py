"""Judges one media: what its row and its objects say against each other, and what may be done about it. Asks nobody."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from schemas.events import upload_version
from service.reconcile.objects import MediaObjects
from service.reconcile.rows import MediaRow
from storage.base import ListedObject
from storage.keys import is_inside
from streams.rows.versions import upload_of, version_in

LONGEST_LEAD: Final = timedelta(days=1)
"""Far more than clocks differ: no upload that is accepted has a time so far ahead."""
_COMPANY: Final = re.compile(r"-(?P<company>\d+)-[0-9a-f]{12}")
"""What follows the version in a folder's name; releases before 0.2 had nothing there."""


class Trouble(StrEnum):
    """The fault of a media. missing, incomplete: none, or not all, of the objects that the row shows are there. damaged: one
    has another size, or
    another checksum, than the row says. orphan: objects that the row does not show, and never will. ownerless: the row is
    gone, or another company's. away: the row shows objects in local storage, and the company has a storage of its own.
    stuck: an upload without an outcome. elsewhere: the row shows objects outside of the company's folder.
    """

    MISSING = "missing"
    INCOMPLETE = "incomplete"
    DAMAGED = "damaged"
    ORPHAN = "orphan"
    OWNERLESS = "ownerless"
    AWAY = "away"
    STUCK = "stuck"
    ELSEWHERE = "elsewhere"


class StoragePlace(StrEnum):
    """The company's own storage, or local storage beside it. Without a storage of its own, local storage is its own."""

    OWN = "own"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Finding:
    """A trouble of one media, the objects that it is about, and one phrase that says more.

    `not_before` is the time that an upload must have which is to take the place of a stuck one.
    """

    trouble: Trouble
    detail: str
    place: StoragePlace = StoragePlace.OWN
    objects: tuple[ListedObject, ...] = ()
    not_before: datetime | None = None

    @property
    def size_bytes(self) -> int:
        """Return the size of the objects together."""
        return sum(found.size_bytes for found in self.objects)


@dataclass(frozen=True, slots=True)
class JudgeRules:
    """Whose media it is, and the times before which an object, or an upload, is old enough to be judged."""

    company_id: int
    prefix: str
    now: datetime
    grace: timedelta
    stuck_after: timedelta
    keep: timedelta = timedelta(0)
    """How long replaced and deleted pictures stay readable: REPLACED_KEEP_S."""


def judge(row: MediaRow | None, objects: Mapping[StoragePlace, MediaObjects], rules: JudgeRules) -> list[Finding]:
    """Return the troubles of a media. `objects` has LOCAL only where the company has a storage of its own as well.

    A row without an outcome is STUCK unless the age of its source, which is unknown here, says otherwise.
    """
    found = list(_about_shown(row, objects, rules)) if row is not None and row.company_id == rules.company_id else []
    leftovers = [one for place, at in objects.items() for one in _about_leftovers(row, place, at, rules)]
    is_repaired = any(one.trouble is not Trouble.ELSEWHERE for one in found)
    if is_repaired:  # the new pictures come after those, which are orphans then
        leftovers = [one for one in leftovers if one.trouble is not Trouble.STUCK]
    newest = [one for one in leftovers if one.trouble is Trouble.STUCK]
    others = [one for one in leftovers if one.trouble is not Trouble.STUCK]
    if newest:
        found.append(max(newest, key=lambda one: one.not_before or rules.now))
    elif row is not None and row.company_id == rules.company_id and row.waits_for_outcome:
        found.append(Finding(Trouble.STUCK, "no outcome"))
    return found + others


def _about_shown(row: MediaRow, objects: Mapping[StoragePlace, MediaObjects], rules: JudgeRules) -> Iterator[Finding]:
    if not row.pictures or row.is_deleted:
        return
    if not all(is_inside(picture.key, rules.prefix) for picture in row.pictures):
        yield Finding(Trouble.ELSEWHERE, f"it shows objects outside of {rules.prefix}")
        return
    there = {place: at.by_key for place, at in objects.items()}
    own, local = there[StoragePlace.OWN], there.get(StoragePlace.LOCAL, {})
    in_own = [picture for picture in row.pictures if picture.key in own]
    in_local = [picture for picture in row.pictures if picture.key in local]
    place = StoragePlace.LOCAL if in_local and not in_own else StoragePlace.OWN
    here = in_local if place is StoragePlace.LOCAL else in_own
    if not here:
        yield Finding(Trouble.MISSING, f"none of {len(row.pictures)} objects is there", place)
        return
    if len(here) < len(row.pictures):
        lacks = sorted(picture.name for picture in row.pictures if picture not in here)
        yield Finding(Trouble.INCOMPLETE, f"without {', '.join(lacks)}", place)
        return
    wrong = [
        (picture, there[place][picture.key])
        for picture in here
        if picture.size_bytes not in (None, there[place][picture.key].size_bytes)
    ]
    if wrong:
        names = ", ".join(f"{picture.name} has {at.size_bytes} of {picture.size_bytes} bytes" for picture, at in wrong)
        yield Finding(Trouble.DAMAGED, names, place, tuple(at for _, at in wrong))
    elif place is StoragePlace.LOCAL:
        shown = tuple(local[picture.key] for picture in here)
        yield Finding(Trouble.AWAY, "in local storage", place, shown)


def _about_leftovers(
    row: MediaRow | None, place: StoragePlace, at: MediaObjects, rules: JudgeRules
) -> Iterator[Finding]:
    for folder, objects in at.folders.items():
        company = _company_in(folder)
        if company not in (None, rules.company_id):
            continue  # companies that share a folder are told apart by the names
        if max(found.modified_at for found in objects) > rules.now - rules.grace:
            continue
        if row is not None and row.changed_at is not None and row.changed_at > rules.now - rules.keep:
            continue  # it may have been shown until then, and its cleanup waits
        if row is None:
            yield Finding(Trouble.OWNERLESS, "its row is gone", place, tuple(objects))
        elif row.company_id not in (None, rules.company_id):
            if company == rules.company_id and folder not in row.versions:
                yield Finding(Trouble.OWNERLESS, f"its row is company {row.company_id}'s", place, tuple(objects))
        elif folder not in row.versions:
            finding = _about_unshown(row, folder, rules)
            if finding is not None:
                yield Finding(finding.trouble, finding.detail, place, tuple(objects), finding.not_before)


def _about_unshown(row: MediaRow, folder: str, rules: JudgeRules) -> Finding | None:
    """Return what a folder is that its row does not show; None where it may come to be shown, or nobody knows.

    A row never goes back to an older upload, nor to a version that it says was given up: docs/decisions.md.
    """
    version, newest = version_in(folder) or "", row.newest
    if version in row.given_up:
        return Finding(Trouble.ORPHAN, "given up")
    if newest is not None and _moment(version) < _moment(newest):
        return Finding(Trouble.ORPHAN, "overtaken")
    if newest is not None and upload_of(version) == upload_of(newest):
        # Of a failed upload, the pictures of a replay may be on their way.
        return Finding(Trouble.ORPHAN, "another version of what is shown") if row.is_ready else None
    if _moment(version) >= _moment(upload_version(rules.now + LONGEST_LEAD, "")):
        return Finding(Trouble.ORPHAN, "of a time that no upload has")
    moment = _time_of(version)
    if newest is None or _moment(version) > _moment(newest):
        has_time = moment is not None and moment < rules.now
        return Finding(Trouble.STUCK, "stored, without an outcome", not_before=moment) if has_time else None
    return None


def _company_in(folder: str) -> int | None:
    found = _COMPANY.fullmatch(folder.removeprefix(version_in(folder) or ""))
    return None if found is None else int(found["company"])


def _moment(version: str) -> str:
    """Return the upload's time in a version, which sorts as text."""
    return version.partition("-")[0]


def _time_of(version: str) -> datetime | None:
    try:
        return datetime.strptime(_moment(version), "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return None
