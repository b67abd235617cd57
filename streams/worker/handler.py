"""One record in, its outcome out: the one boundary where any error becomes a retry or a dead letter."""

from typing import Final

import structlog

from schemas.cloudevents import read_event
from schemas.errors import ErrorCode, PermanentError, Stage, ThumbnailError
from schemas.events import MEDIA_UPLOADED_TYPE, CleanupReason, MediaUploaded, ThumbnailReady, is_live
from streams.event_metrics import TaskType
from streams.failures.guard import DeadLetterFloodError
from streams.failures.marks import born_mark
from streams.kafka.records import Delivery, InboundRecord, read_delivery, unread_delivery
from streams.thumbnails.service import Progress, ThumbnailService
from streams.thumbnails.staleness import Stale, UploadOrder
from streams.worker.clock_skew import latest_moment
from streams.worker.failure import Failures, Rules, Work, internal_error
from streams.worker.outcome import Ending, Outcome
from streams.worker.removals import Removals, is_deletion

log = structlog.get_logger(__name__)


class EventHandler:
    """Turns records of media.uploaded, thumbnail.due and thumbnail.cleanup into outcomes.

    The observer binds the record's log fields: they stand in every line, also in those of the storage.

    Raises no Exception but DeadLetterFloodError: then the record has no outcome, and the process must end.

    Everything of a record is read inside a guard, its headers and its time too: whatever is in them, it has an outcome.
    """

    def __init__(
        self, thumbnails: ThumbnailService, order: UploadOrder, removals: Removals, failures: Failures, rules: Rules
    ) -> None:
        self._thumbnails: Final = thumbnails
        self._order: Final = order
        self._removals: Final = removals
        self._failures: Final = failures
        self._rules: Final = rules

    async def handle(self, record: InboundRecord) -> Outcome:
        """Return the outcome of a record. Where even its way to fail fails, it is a dead letter at once.

        That is without our working headers and its time, which may be to blame; a retry without them would never end.
        """
        try:
            return await self._attempt(self._begin(record))
        except DeadLetterFloodError:
            raise
        except Exception as exc:
            log.exception("event_internal_error")
            bare = Work(unread_delivery(record), self._task_of(record.topic, record))
            return self._failures.fail(bare, PermanentError(ErrorCode.INTERNAL_ERROR, internal_error(exc).message))

    def _begin(self, record: InboundRecord) -> Work:
        delivery = read_delivery(record, self._rules.topics)
        task = self._task_of(delivery.origin_topic, record)
        return Work(delivery, task, Progress(Stage.CLEANUP if task is TaskType.CLEANUP else Stage.EVENT))

    def _task_of(self, origin_topic: str, record: InboundRecord) -> TaskType | None:
        """Return what a record asks for, by the topic that it was first read from; None for a deletion.

        Not by the type of a cleanup: whoever may write uploads must not be able to delete what a row shows.
        """
        if origin_topic == self._rules.topics.cleanup:
            return TaskType.CLEANUP
        return None if origin_topic == self._rules.topics.uploads and is_deletion(record) else TaskType.GENERATE

    async def _attempt(self, work: Work) -> Outcome:
        try:
            if work.task is TaskType.CLEANUP:
                return await self._removals.clean(work)
            if work.task is None:
                return await self._removals.apply_deletion(work)
            return await self._handle_upload(work)
        except DeadLetterFloodError:
            raise
        except ThumbnailError as error:
            return self._failures.fail(work, error)
        except Exception as exc:  # noqa: BLE001 - not swallowed: it is logged, and becomes a retry
            return self._failures.unexpected(work, exc)

    async def _handle_upload(self, work: Work) -> Outcome:
        delivery, record = work.delivery, work.delivery.record
        said = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, record.value, record.headers)
        latest = latest_moment(delivery, self._rules.now())
        work.company_id = said.company_id
        # A failure is announced with a time that can be: under a later one, every upload after it would be stale.
        work.upload = said.model_copy(update={"occurred_at": min(said.occurred_at, latest)})
        with self._failures.limiter.attempt(said.company_id, is_again=delivery.is_again):
            self._rules.skew.check("occurred_at", said.occurred_at, latest)
            work.upload = said
            place = await self._order.place_of(said, delivery)
            work.given_up, stale = place.given_up, place.stale
            if stale is not None:
                return self._drop(work, said, stale)
            _refuse_cancelled(delivery)
            ready = await self._thumbnails.create(
                said,
                work.progress,
                attempt=delivery.attempt,
                is_final=lambda error: self._failures.is_final(delivery, error),
                version=self._rules.announcements(work, said).version,
            )
            # Once more: "delete" is often pressed right after an upload, and nobody is to get a URL that is dead soon.
            if await self._order.was_deleted(said):
                return self._drop(work, said, Stale.DELETED)
        return self._announce(work, said, ready)

    def _drop(self, work: Work, upload: MediaUploaded, stale: Stale) -> Outcome:
        """Return the outcome of what is not decoded; an earlier attempt may have been killed after it had stored something."""
        reason = CleanupReason.ROW_GONE if stale is Stale.ROW_GONE else CleanupReason.STALE
        announced = self._rules.announcements(work, upload)
        rules = self._rules
        cleanup = rules.grace.waiting(announced.cleanup(reason), rules.topics, rules.now())
        work.stale = stale
        details = {"why": stale, "company_id": upload.company_id, "media": upload.media.record_key}
        return work.finish(Ending.DROPPED, cleanup, details=details)

    def _announce(self, work: Work, upload: MediaUploaded, ready: ThumbnailReady) -> Outcome:
        self._failures.succeeded(work.delivery, upload.company_id)
        if is_live(upload.event_id):
            work.ready_after_s = max(0.0, (self._rules.now() - upload.occurred_at).total_seconds())
        details = {
            "company_id": upload.company_id,
            "media": upload.media.record_key,
            "attempt": ready.attempt,
            "method": ready.frame.method,
            "fallback": ready.storage.fallback,
            "total_ms": ready.timings_ms.total,
        }
        if ready.source.contradicts:
            details["contradicts"] = ready.source.contradicts
        announced = self._rules.announcements(work, upload).ready(
            ready, is_beside_others=work.progress.is_beside_others
        )
        return work.finish(Ending.READY, announced, details=details)


def _refuse_cancelled(delivery: Delivery) -> None:
    """Raise PermanentError where somebody cancelled the upload while it waited for a retry."""
    mark = born_mark(delivery.record)
    if mark is not None:
        after = f" after {delivery.last_code}" if delivery.last_code else ""
        why = f": {mark.note}" if mark.note else "."
        raise PermanentError(
            ErrorCode.UPLOAD_CANCELLED, f"Cancelled by {mark.by} while it waited for a retry{after}{why}"
        )
