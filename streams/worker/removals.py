"""Deletions of media, and cleanups: what takes thumbnails away."""

import uuid
from datetime import datetime
from typing import Final

from schemas import headers as h
from schemas.cloudevents import context_headers, read_event, says_type, write_event
from schemas.errors import ErrorCode, PermanentError
from schemas.events import THUMBNAIL_CLEANUP_TYPE, ThumbnailCleanup
from schemas.media_state import (
    MEDIA_DELETED_TYPE,
    THUMBNAIL_DELETED_TYPE,
    DeletedMedia,
    MediaDeletion,
    ThumbnailDeleted,
)
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.rows.last_write_wins import Row
from streams.rows.queries import DeletedRow
from streams.thumbnails.cleanup import CleanupService
from streams.thumbnails.staleness import UploadOrder, media_of_key
from streams.worker.clock_skew import latest_moment
from streams.worker.failure import Rules, Work
from streams.worker.outcome import Ending, Outcome

_JSON_NULL: Final = b"null"
_LONGEST_NULL: Final = 64
_NAMESPACE: Final = uuid.UUID("b9a4b4de-7a58-5f0e-8a31-3b6f7c0d9e42")


def is_deletion(record: InboundRecord) -> bool:
    """Return whether a record of media.uploaded says that a media was deleted: no value, JSON's null, or an event that says so."""
    return is_tombstone(record.value) or says_type(MEDIA_DELETED_TYPE, record.value, record.headers)


def is_tombstone(value: bytes | None) -> bool:
    """Return whether a value is none: also as JSON text, which is what `JSON.stringify(null)` writes."""
    return value is None or (len(value) < _LONGEST_NULL and value.strip() == _JSON_NULL)


class Removals:
    """Each method raises ThumbnailError for what fails."""

    def __init__(self, cleanup: CleanupService, order: UploadOrder, rules: Rules) -> None:
        self._cleanup: Final = cleanup
        self._order: Final = order
        self._rules: Final = rules

    async def apply_deletion(self, work: Work) -> Outcome:
        """Mark the row of a media that was deleted upstream, and announce that.

        1. The row is marked. Dying after it marks it again, which changes nothing.
        2. The announcement goes to persist, which has the media's state deleted, and then its pictures.
        """
        delivery = work.delivery
        if not is_tombstone(delivery.record.value):
            return await self._apply_event(work)
        at = self._tombstone_time(work)
        media = media_of_key(delivery.record.key)
        if media is None:
            return work.finish(Ending.TOMBSTONE_SEEN, details={"row_marked": False})
        row = await self._order.apply_deletion(media, at)
        key = (delivery.record.key or b"").decode()
        kind, row_id = media
        deleted = ThumbnailDeleted(
            event_id=str(uuid.uuid5(_NAMESPACE, f"{key} {at.isoformat()}")),
            occurred_at=at,
            produced_at=max(self._rules.now(), at),
            company_id=row.company_id if row else None,
            # Without a row and an event nobody knows its AR content; nothing needs it then.
            media=DeletedMedia(kind=kind, id=row_id, ar_content_id=row.ar_content_id if row else row_id),
        )
        return self._announce(work, deleted, row)

    def _tombstone_time(self, work: Work) -> datetime:
        """Return the time by which a tombstone counts: its record's, which its producer sets.

        But at most the time at which a worker first read it: it came to the broker before that. One whose time lies farther
        ahead than clocks may differ is refused.
        """
        delivery, now = work.delivery, self._rules.now()
        self._rules.skew.check("The tombstone's record time", delivery.written_at, latest_moment(delivery, now))
        return min(delivery.written_at, delivery.first_failed_at or now)

    async def _apply_event(self, work: Work) -> Outcome:
        """Apply a deletion that has its own time: by the clock that dated the media's uploads, as a rule."""
        delivery, record = work.delivery, work.delivery.record
        event = read_event(MediaDeletion, MEDIA_DELETED_TYPE, record.value, record.headers)
        work.company_id, work.event_id = event.company_id, event.event_id
        self._rules.skew.check("occurred_at", event.occurred_at, latest_moment(delivery, self._rules.now()))
        media: Row = (event.media.kind, event.media.row_id)
        row = await self._order.apply_deletion(media, event.occurred_at, event.company_id)
        if row is not None and row.company_id not in (None, event.company_id):
            raise PermanentError(
                ErrorCode.TENANT_NOT_OWNER,
                "The row of the deleted media belongs to another company than the event says.",
            )
        deleted = ThumbnailDeleted(
            event_id=str(uuid.uuid5(_NAMESPACE, f"{event.company_id} {event.media.record_key} {event.event_id}")),
            occurred_at=event.occurred_at,
            produced_at=max(self._rules.now(), event.occurred_at),
            company_id=event.company_id,
            media=event.media,
        )
        return self._announce(work, deleted, row)

    def _announce(self, work: Work, deleted: ThumbnailDeleted, row: DeletedRow | None) -> Outcome:
        context = context_headers(
            event_type=THUMBNAIL_DELETED_TYPE,
            event_id=deleted.event_id,
            occurred_at=deleted.produced_at,
            subject=deleted.media.record_key,
        )
        cause = work.event_id or deleted.event_id
        links = {h.CORRELATION_ID: work.delivery.correlation_id or cause, h.CAUSATION_ID: cause}
        headers = h.with_extensions(h.with_headers(context, links) + work.delivery.trace)
        key = deleted.media.record_key
        record = OutboundRecord(self._rules.topics.deleted, key.encode(), write_event(deleted), headers)
        return work.finish(Ending.TOMBSTONE_SEEN, record, details={"row_marked": row is not None, "media": key})

    async def clean(self, work: Work) -> Outcome:
        """Delete the objects that a cleanup asks for."""
        record = work.delivery.record
        request = read_event(ThumbnailCleanup, THUMBNAIL_CLEANUP_TYPE, record.value, record.headers)
        work.company_id = request.company_id
        deleted = await self._cleanup.clean(request)
        work.event_id = request.event_id
        details = {"media": request.media.record_key, "reason": request.reason, "deleted": deleted}
        return work.finish(Ending.CLEANED, details=details)
