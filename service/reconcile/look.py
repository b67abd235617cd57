"""Looks at the media of one company: all of them by listings and rows side by side, and one closely, as it is at this moment."""

import hashlib
import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final

from schemas.errors import ObjectNotFoundError
from schemas.events import MediaKind
from service.reconcile.judge import Finding, JudgeRules, StoragePlace, Trouble, judge
from service.reconcile.objects import MediaObjects, ThumbnailListing
from service.reconcile.rows import CompanyRows, MediaRow
from storage.base import ListedObject
from storage.keys import is_inside, is_key
from storage.tenants import TenantStorage
from streams.thumbnails.storage_calls import InlineRetry

READ_BYTES: Final = 1 << 20
_LOOKS: Final = 3
"""A row that changes between two readings was worked on just now: it is looked at again."""


@dataclass(frozen=True, slots=True)
class LookOptions:
    """How old what is judged must be, and whether each object that a row shows is read."""

    grace: timedelta
    stuck_after: timedelta
    checksums: bool = False
    keep: timedelta = timedelta(0)
    """How long replaced and deleted pictures stay readable."""


@dataclass(frozen=True, slots=True)
class ScannedMedia:
    """A media that is to be looked at closely, or that was only passed."""

    kind: MediaKind
    row_id: int
    is_suspect: bool
    objects: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A media as it was at one moment: its row, and its troubles."""

    kind: MediaKind
    row_id: int
    row: MediaRow | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class CompanyMedia:
    """The thumbnails of one company: `storages` has LOCAL where the company has a storage of its own as well."""

    company_id: int
    rows: CompanyRows
    storages: Mapping[StoragePlace, TenantStorage]
    options: LookOptions
    retry: InlineRetry
    on_foreign: Callable[[], None] = lambda: None

    def suspects(self, kind: MediaKind, after: str = "") -> Iterator[ScannedMedia]:
        """Return each media with a row or objects, in the order of their ids as text; what is wrong may be gone by now.

        One page of rows and of each listing is in memory. Raises RowError, and ThumbnailError for a storage that fails.
        """
        rules = self._rules()
        streams: list[Iterator[tuple[str, int, Any]]] = [
            ((str(row.found.id), 0, row) for row in self.rows.in_key_order(self.company_id, kind, after))
        ]
        places = list(self.storages)
        for number, place in enumerate(places, start=1):
            listing = ThumbnailListing(self.storages[place], kind, self.on_foreign)
            streams.append(_numbered(listing.media(after), number))
        merged = heapq.merge(*streams, key=lambda entry: entry[:2])
        for name, entries in groupby(merged, key=lambda entry: entry[0]):
            row, row_id = None, int(name)
            objects = {place: MediaObjects(row_id, {}) for place in places}
            for _, number, found in entries:
                if number == 0:
                    row = found
                else:
                    objects[places[number - 1]] = found
            is_read = self.options.checksums and row is not None and bool(row.pictures)
            listed = [one for at in objects.values() for found in at.folders.values() for one in found]
            size_bytes = sum(one.size_bytes for one in listed)
            yield ScannedMedia(kind, row_id, is_read or bool(judge(row, objects, rules)), len(listed), size_bytes)

    def look(self, kind: MediaKind, row_id: int) -> Seen | None:
        """Return what is wrong with a media at this moment; None where it is being worked on. Raises as `suspects`."""
        for _ in range(_LOOKS):
            before = self.rows.one(kind, row_id)
            objects = {
                place: self.retry.call(lambda place=place: ThumbnailListing(self.storages[place], kind).one(row_id))  # type: ignore[misc]
                for place in self.storages
            }
            row = self.rows.one(kind, row_id)
            if _state(before) == _state(row):
                findings = judge(row, objects, self._rules())
                found = [self._explained(row, one) for one in findings] + self._unequal(row, objects, findings)
                return Seen(kind, row_id, row, tuple(one for one in found if one is not None))
        return None

    def _rules(self) -> JudgeRules:
        now, own = datetime.now(UTC), self.storages[StoragePlace.OWN]
        return JudgeRules(
            self.company_id, own.prefix, now, self.options.grace, self.options.stuck_after, self.options.keep
        )

    def _explained(self, row: MediaRow | None, finding: Finding) -> Finding | None:
        """Return the finding; for an upload without any trace but its row, only when its source is old enough."""
        if finding.trouble is not Trouble.STUCK or finding.not_before is not None or row is None:
            return finding
        own, key = self.storages[StoragePlace.OWN], row.found.key or ""
        if not is_key(key) or not is_inside(key, own.prefix):
            return finding
        source = self.retry.call(lambda: _listed(own, key))
        if source is None:
            return replace(finding, detail="no outcome, and no source")
        return finding if source.modified_at <= datetime.now(UTC) - self.options.stuck_after else None

    def _unequal(
        self, row: MediaRow | None, objects: Mapping[StoragePlace, MediaObjects], findings: list[Finding]
    ) -> list[Finding]:
        """Return what reading the objects of a row tells: nothing where another trouble brings other pictures."""
        is_theirs = row is not None and row.company_id == self.company_id and not row.is_deleted
        if row is None or not is_theirs or not self.options.checksums:
            return []
        if any(one.trouble not in (Trouble.ORPHAN, Trouble.AWAY) for one in findings):
            return []
        place = StoragePlace.LOCAL if any(one.trouble is Trouble.AWAY for one in findings) else StoragePlace.OWN
        there = objects[place].by_key
        wrong = [
            picture
            for picture in row.pictures
            if picture.sha256 is not None and self._sha256(self.storages[place], picture.key) != picture.sha256
        ]
        if not wrong:
            return []
        names = ", ".join(picture.name for picture in wrong)
        found = tuple(there[picture.key] for picture in wrong if picture.key in there)
        return [Finding(Trouble.DAMAGED, f"{names} of another checksum", place, found)]

    def _sha256(self, storage: TenantStorage, key: str) -> str | None:
        try:
            return hashlib.sha256(self.retry.call(lambda: read_whole(storage, key))).hexdigest()
        except ObjectNotFoundError:
            return None


def read_whole(storage: TenantStorage, key: str) -> bytes:
    """Return an object's content: a thumbnail, which fits into memory. Raises ThumbnailError."""
    with storage.open_source(key) as source:
        return b"".join(source.read_at(offset, READ_BYTES) for offset in range(0, source.size, READ_BYTES))


def _listed(storage: TenantStorage, key: str) -> ListedObject | None:
    """Return what a listing says of one object; None where there is none."""
    folder = key.rpartition("/")[0]
    # A text that begins another one comes before it, and few names lie between the two.
    for found in storage.list_objects(folder, after=key[:-1]):
        if found.key >= key:
            return found if found.key == key else None
    return None


def _numbered(found: Iterator[MediaObjects], number: int) -> Iterator[tuple[str, int, Any]]:
    return ((str(one.row_id), number, one) for one in found)


def _state(row: MediaRow | None) -> tuple[object, ...] | None:
    return None if row is None else row.state
