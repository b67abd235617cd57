"""How long replaced and deleted thumbnails stay readable: a cleanup waits, and which pictures it then leaves to a later one."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas import headers as h
from schemas.events import CleanupReason, ThumbnailCleanup
from schemas.topics import Topics
from streams.kafka.records import OutboundRecord
from streams.rows.queries import ShownRow


@dataclass(frozen=True)
class Grace:
    """`keep_s` seconds; with 0 a cleanup goes to work at once."""

    keep_s: float = 0.0

    def waiting(self, request: OutboundRecord, topics: Topics, now: datetime) -> OutboundRecord:
        """Return the record that asks for the same, `keep_s` after `now`."""
        if not self.keep_s:
            return request
        due_at = h.format_time(now + timedelta(seconds=self.keep_s))
        headers = (*request.headers, (h.RETRY_DUE_AT, due_at.encode()))
        return OutboundRecord(topics.cleanup_waiting, request.key, request.value, headers)

    def protects(self, request: ThumbnailCleanup, row: ShownRow | None, *, is_own: bool) -> bool:
        """Return whether a folder that the row does not show may have been shown after `request` was made.

        Then whatever changed the row has asked for a cleanup of its own, which comes later and deletes that folder, too.
        `is_own` says that the folder is of the request's own upload. Where that upload was shown when the request was
        made (superseded), older ones were not shown any more. After a deletion nothing from before it comes back.
        """
        if not self.keep_s or request.reason is CleanupReason.ROW_GONE:
            return False
        if not is_own and request.reason is CleanupReason.SUPERSEDED:
            return False
        if row is None:  # nobody knows since when
            return True
        return row.changed_at is not None and row.changed_at > request.produced_at


NO_GRACE = Grace()
