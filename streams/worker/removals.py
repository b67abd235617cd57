"""Tombstones of deleted media, and cleanups: what takes thumbnails away."""

from typing import Final

from schemas.cloudevents import read_event
from schemas.events import THUMBNAIL_CLEANUP_TYPE, ThumbnailCleanup
from streams.thumbnails.cleanup import CleanupService
from streams.thumbnails.staleness import UploadOrder
from streams.worker.clock_skew import latest_moment
from streams.worker.failure import Rules, Work
from streams.worker.outcome import Ending, Outcome


class Removals:
    """Each method raises ThumbnailError for what fails."""

    def __init__(self, cleanup: CleanupService, order: UploadOrder, rules: Rules) -> None:
        self._cleanup: Final = cleanup
        self._order: Final = order
        self._rules: Final = rules

    async def apply_tombstone(self, work: Work) -> Outcome:
        """Mark the row of a media that was deleted upstream. At worst its waiting retries find the row gone, or work.

        It counts by its record's time, which its producer sets, but at most by the time at which a worker first read
        it: it came to the broker before that. One whose time lies farther ahead than clocks may differ is refused.
        """
        delivery, now = work.delivery, self._rules.now()
        self._rules.skew.check("The tombstone's record time", delivery.written_at, latest_moment(delivery, now))
        counts_from = min(delivery.written_at, delivery.first_failed_at or now)
        is_marked = await self._order.apply_tombstone(delivery.record.key, counts_from)
        return work.finish(Ending.TOMBSTONE_SEEN, details={"row_marked": is_marked})

    async def clean(self, work: Work) -> Outcome:
        """Delete the objects that a cleanup asks for."""
        record = work.delivery.record
        request = read_event(ThumbnailCleanup, THUMBNAIL_CLEANUP_TYPE, record.value, record.headers)
        work.company_id = request.company_id
        deleted = await self._cleanup.clean(request)
        work.event_id = request.event_id
        details = {"media": request.media.record_key, "reason": request.reason, "deleted": deleted}
        return work.finish(Ending.CLEANED, details=details)
