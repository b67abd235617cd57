"""Repairs one media, after a look at it, by the ways that the pipeline itself has."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from schemas.events import MediaUploaded, ThumbnailReady
from service.backfill.rows import BEFORE_ALL_UPLOADS, event_of
from service.backfill.state import Reason
from service.reconcile.judge import Finding, StoragePlace, Trouble
from service.reconcile.look import CompanyMedia, Seen, read_whole
from service.reconcile.move import moved
from service.reconcile.rows import MediaRow
from storage.tenants import TenantStorage

ONE: Final = timedelta(microseconds=1)


class Done(StrEnum):
    """The outcome of a trouble. deleted: its objects are deleted. announced: an upload was published again, or the new place of
    its pictures; rows and objects
    follow as after every upload. waits: uploads as old wait for the workers. person: nothing here can help.
    """

    DELETED = "deleted"
    ANNOUNCED = "announced"
    WAITS = "waits"
    PERSON = "person"

    @property
    def is_fix(self) -> bool:
        """Return whether nothing is left to do."""
        return self in (Done.DELETED, Done.ANNOUNCED)


@dataclass(frozen=True, slots=True)
class FixResult:
    """The outcome of a trouble, and its reason in one phrase."""

    done: Done
    why: str = ""


@dataclass(frozen=True)
class Announcer:
    """Sends events: each returns when the broker has it, and raises PublishError when it has not.

    `before_each` returns when one may be sent, and raises StoppedError when it is to stop. `oldest_waiting` is the time of
    the oldest record that a role has not done; None where none waits.
    """

    before_each: Callable[[], None]
    upload: Callable[[MediaUploaded], None]
    ready: Callable[[ThumbnailReady], None]
    oldest_waiting: Callable[[], datetime | None]


@dataclass(frozen=True)
class Repairs:
    """Acts on what was seen a moment ago.

    Side effects, each of one media:
    - a deletion asks the row once more right before each object. A deleted object can never be shown later, whatever happens in
    between: docs/decisions.md.
    - an upload is published again with a time just after that which the row holds, and an id made of that: a repetition
      is the same event. Every later upload wins.
    - a move writes the objects below the company's own storage, each confirmed, and announces them. Dying in between
      leaves objects that the next run writes again. The old ones are deleted by the cleanup that follows when the row
      shows the new ones.
    """

    media: CompanyMedia
    announcer: Announcer

    def repair(self, seen: Seen, finding: Finding) -> FixResult:
        """Raises ThumbnailError, RowError and PublishError."""
        if finding.trouble in (Trouble.ORPHAN, Trouble.OWNERLESS):
            return self._delete(seen, finding)
        if seen.row is None or finding.trouble is Trouble.ELSEWHERE:
            return FixResult(Done.PERSON, "move them, or announce the row: thumbnails backfill --all")
        if finding.trouble is Trouble.AWAY:
            return self._move(seen.row, finding)
        return self._make_again(seen.row, finding)

    def _delete(self, seen: Seen, finding: Finding) -> FixResult:
        storage = self.media.storages[finding.place]
        for found in finding.objects:
            if not self._is_unchanged(seen):
                return FixResult(Done.WAITS, "the row has changed")
            self.media.retry.call(lambda key=found.key: storage.delete_file(key))  # type: ignore[misc]
        return FixResult(Done.DELETED)

    def _is_unchanged(self, seen: Seen) -> bool:
        """Return whether the row is as it was seen: nothing but that says that the objects are nobody's."""
        row = self.media.rows.one(seen.kind, seen.row_id)
        return (None if row is None else row.state) == (None if seen.row is None else seen.row.state)

    def _make_again(self, row: MediaRow, finding: Finding) -> FixResult:
        if finding.trouble is not Trouble.STUCK and not row.is_ready:
            return FixResult(
                Done.PERSON, "its newest upload failed: look at its dead letter, or thumbnails backfill --failed"
            )
        if finding.trouble is Trouble.STUCK:
            oldest = self.announcer.oldest_waiting()
            if oldest is not None and oldest <= datetime.now(UTC) - self.media.options.stuck_after:
                return FixResult(Done.WAITS, "records as old wait in the topics: thumbnails status")
        not_before = BEFORE_ALL_UPLOADS if finding.not_before is None else finding.not_before + ONE
        found = row.found
        run_name = f"reconcile:{found.thumbnail_event_id}:{found.thumbnail_occurred_at}:{not_before.isoformat()}"
        event = event_of(row.kind, found, run_name, not_before=not_before)
        if isinstance(event, Reason):
            return FixResult(Done.PERSON, _WHY[event])
        own = self.media.storages[StoragePlace.OWN]
        if not self.media.retry.call(lambda: own.file_exists(event.media.key)):
            return FixResult(Done.PERSON, "its source is gone: pictures cannot be made again")
        self.announcer.before_each()
        self.announcer.upload(event)
        return FixResult(Done.ANNOUNCED, event.event_id)

    def _move(self, row: MediaRow, finding: Finding) -> FixResult:
        if not row.is_ready:
            return FixResult(Done.PERSON, "its newest upload failed: what it shows moves when that is repaired")
        found = row.found
        event = event_of(row.kind, found, f"reconcile:home:{found.thumbnail_event_id}:{found.thumbnail_occurred_at}")
        if isinstance(event, Reason):
            return FixResult(Done.PERSON, _WHY[event])
        self.announcer.before_each()
        contents = []
        for picture in row.pictures:
            content = self.media.retry.call(lambda key=picture.key: read_whole(self._storage(StoragePlace.LOCAL), key))  # type: ignore[misc]
            if picture.sha256 is not None and hashlib.sha256(content).hexdigest() != picture.sha256:
                return self._make_again(row, Finding(Trouble.DAMAGED, "", finding.place))
            contents.append(content)
        ready = moved(event, row, contents, self._storage(StoragePlace.OWN), self.media.retry)
        self.announcer.ready(ready)
        return FixResult(Done.ANNOUNCED, ready.upload_event_id)

    def _storage(self, place: StoragePlace) -> TenantStorage:
        return self.media.storages[place]


_WHY: Final = {
    Reason.NO_KEY: "the row has no video_path or image_path",
    Reason.BAD_KEY: "its video_path or image_path is not inside the company's folder",
    Reason.NO_COMPANY: "its AR content or company is missing",
    Reason.NO_EVENT: "a value of the row does not fit into an event",
    Reason.COMPANY_INACTIVE: "its company is not active",
    Reason.DELETED: "a tombstone says that the media was deleted",
    Reason.DONE_BEFORE: "it was announced, and the row shows the outcome",
}
