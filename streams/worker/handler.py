"""One record in, its outcome out: the one boundary where any error becomes a retry or a dead letter."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from schemas import headers as h
from schemas.cloudevents import read_event
from schemas.errors import ErrorCode, PermanentError, Stage, ThumbnailError, TransientError
from schemas.events import (
    MEDIA_UPLOADED_TYPE,
    THUMBNAIL_CLEANUP_TYPE,
    CleanupReason,
    MediaUploaded,
    ThumbnailCleanup,
    ThumbnailReady,
)
from schemas.metrics import Metrics
from schemas.topics import UNPREFIXED, Topics
from storage.breaker import ConnectionPausedError
from storage.factory import provider_label
from streams.dlq.guard import DeadLetterFloodError, DeadLetterGuard
from streams.dlq.size import fits
from streams.dlq.write import dead_letter, dead_letter_headers, error_headers, origin_headers
from streams.kafka.delivery import Delivery, believed, origin_topic, read_delivery, written_at
from streams.kafka.records import InboundRecord, OutboundRecord, place_of
from streams.retry.policy import GiveUp, RetryAt, RetryPolicy
from streams.tally import Status, Tally, TallyBook, TaskType
from streams.thumbnails.cleanup import CleanupService
from streams.thumbnails.events_out import Announcements, Failure
from streams.thumbnails.service import Progress, ThumbnailService
from streams.thumbnails.staleness import Stale, UploadOrder
from streams.tracing import Fact, StageTime
from streams.worker.clock_skew import ClockSkew, latest_moment

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What must be acknowledged by the broker, in this order, before the record itself may be acknowledged.

    The rest is for its trace: the code that it failed with, the stages of the work, and whose it was.
    """

    status: Status
    records: tuple[OutboundRecord, ...]
    tally: Tally = field(default_factory=Tally)
    error_code: ErrorCode | None = None
    stages: tuple[StageTime, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)


class EventHandler:
    """Turns records of media.uploaded, thumbnail.due and thumbnail.cleanup into outcomes.

    Whoever calls it binds the record's log fields: they stand in every line, also in those of the storage.

    Raises no Exception but DeadLetterFloodError: then the record has no outcome, and the process must end.

    Everything of a record is read inside a guard, its headers and its time too: whatever is in them, it has an outcome.
    """

    def __init__(
        self,
        thumbnails: ThumbnailService,
        cleanup: CleanupService,
        policy: RetryPolicy,
        metrics: Metrics,
        *,
        order: UploadOrder,
        guard: DeadLetterGuard,
        group: str,
        topics: Topics = UNPREFIXED,
        skew: ClockSkew = ClockSkew(),  # noqa: B008 - immutable
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._thumbnails: Final = thumbnails
        self._cleanup: Final = cleanup
        self._policy: Final = policy
        self._metrics: Final = metrics
        self._book: Final = TallyBook(metrics)
        self._order: Final = order
        self._guard: Final = guard
        self._group: Final = group
        self._topics: Final = topics
        self._skew: Final = skew
        self._now: Final = now

    async def handle(self, record: InboundRecord) -> Outcome:
        """Return the outcome of a record: a cleanup by its topic, a tombstone by its null value, else an upload."""
        started = time.perf_counter()
        record = believed(record, self._topics)
        origin = origin_topic(record, self._topics)
        if origin == self._topics.cleanup:
            # Not by its event type: whoever may write uploads must not be able to delete.
            outcome, task = await self._guarded(self._handle_cleanup, record), TaskType.CLEANUP
        elif record.value is None and origin == self._topics.uploads:
            outcome, task = await self._guarded(self._handle_tombstone, record), None
        else:
            outcome, task = await self._guarded(self._handle_upload, record), TaskType.GENERATE
        tally = replace(
            outcome.tally,
            event=(outcome.tally.event if outcome.tally.event is not None else place_of(record), _attempt_of(record)),
            task=task,
            took_s=time.perf_counter() - started,
            trace_id=h.trace_id(record.headers),
        )
        return replace(outcome, tally=tally)

    def acknowledged(self, outcome: Outcome) -> None:
        """Count the outcome: its record is acknowledged, and will not be handed to another process."""
        self._book.count(outcome.status, outcome.tally)

    def not_sent(self, record: OutboundRecord) -> None:
        """Count what the broker did not take, if it was a dead letter."""
        if record.topic == self._topics.dlq:
            self._metrics.dead_letter_write_failures_total.inc()

    async def _guarded(self, handle: Callable[[InboundRecord], Awaitable[Outcome]], record: InboundRecord) -> Outcome:
        """Return what `handle` does. Where even its way to fail fails, the record is a dead letter at once.

        That is without our working headers and its time, which may be to blame; a retry without them would never end.
        """
        try:
            return await handle(record)
        except DeadLetterFloodError:
            raise
        except Exception as exc:
            log.exception("event_failed_unexpectedly")
            bare = replace(record, headers=h.without_headers(record.headers, h.WORKING_HEADERS), timestamp_ms=0)
            error = PermanentError(ErrorCode.INTERNAL_ERROR, _internal_error(exc).message)
            return self._fail(read_delivery(bare), error, Stage.EVENT, None)

    async def _handle_upload(self, record: InboundRecord) -> Outcome:
        delivery, progress, upload = read_delivery(record), Progress(), None
        try:
            said = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, record.value, record.headers)
            latest = latest_moment(delivery, self._now())
            # A failure is announced with a time that can be: under a later one, every upload after it would be stale.
            upload = said.model_copy(update={"occurred_at": min(said.occurred_at, latest)})
            self._skew.check("occurred_at", said.occurred_at, latest)
            upload = said
            stale = await self._order.stale(upload, record) if delivery.is_again else None
            if stale is not None:
                return self._drop(record, upload, stale)
            ready = await self._thumbnails.create(
                upload,
                progress,
                attempt=delivery.attempt,
                is_final=lambda error: isinstance(self._decide(delivery, error), GiveUp),
            )
            outcome = self._announce(record, upload, ready)
        except ThumbnailError as error:
            outcome = self._fail(delivery, error, progress.stage, upload)
        except Exception as exc:
            log.exception("event_failed_unexpectedly")
            outcome = self._fail(delivery, _internal_error(exc), progress.stage, upload)
        if upload is not None:
            event = (record.key, upload.event_id, upload.occurred_at)
            outcome = replace(outcome, tally=replace(outcome.tally, event=event, kind=upload.media.kind))
        return _with_trail(outcome, progress, delivery, upload)

    def _drop(self, record: InboundRecord, upload: MediaUploaded, stale: Stale) -> Outcome:
        """Not decoded; but an earlier attempt may have been killed after it had stored something."""
        media = upload.media.record_key
        log.info("retry_dropped", why=stale, company_id=upload.company_id, media=media)
        reason = CleanupReason.ROW_GONE if stale is Stale.ROW_GONE else CleanupReason.STALE
        event = (record.key, upload.event_id, upload.occurred_at)
        return Outcome("success", (self._of(record, upload).cleanup(reason),), Tally(event, stale=stale))

    async def _handle_tombstone(self, record: InboundRecord) -> Outcome:
        """A media was deleted upstream. At worst its waiting retries find the row gone, or work.

        A dead letter only when its time lies ahead: clamped to ours it would cancel an upload that came after it.
        """
        delivery, at = read_delivery(record), written_at(record)
        try:
            self._skew.check("The tombstone's record time", at, latest_moment(delivery, self._now()))
            is_marked = await self._order.cancel(record.key, at)
        except PermanentError as error:
            return self._fail(delivery, error, Stage.EVENT, None)
        except ThumbnailError as error:
            return self._fail_tombstone(delivery, error)
        except Exception as exc:
            log.exception("tombstone_failed_unexpectedly")
            return self._fail_tombstone(delivery, _internal_error(exc))
        log.info("tombstone_seen", row_marked=is_marked)
        return Outcome("success", ())

    def _fail_tombstone(self, delivery: Delivery, error: ThumbnailError) -> Outcome:
        decision = self._decide(delivery, error)
        if isinstance(decision, RetryAt):
            first_failed_at = self._first_failed_at(delivery)
            waiting = self._retry(delivery, error, Stage.EVENT, decision, first_failed_at)
            if fits(waiting):
                return Outcome("retry", (waiting,), Tally(error=error.code), error.code)
            decision = GiveUp("the record is too large for the retry topics")
        log.error("tombstone_given_up", why=decision.reason, error=error.message)
        return Outcome("failed", (), error_code=error.code)

    async def _handle_cleanup(self, record: InboundRecord) -> Outcome:
        delivery, company_id = read_delivery(record), None
        try:
            request = read_event(ThumbnailCleanup, THUMBNAIL_CLEANUP_TYPE, record.value, record.headers)
            company_id = request.company_id
            deleted = await self._cleanup.clean(request)
        except ThumbnailError as error:
            return self._fail(delivery, error, Stage.CLEANUP, None, company_id)
        except Exception as exc:
            log.exception("cleanup_failed_unexpectedly")
            return self._fail(delivery, _internal_error(exc), Stage.CLEANUP, None, company_id)
        log.info("objects_cleaned", media=request.media.record_key, reason=request.reason, deleted=deleted)
        return Outcome("success", (), Tally(request.event_id))

    def _announce(self, record: InboundRecord, upload: MediaUploaded, ready: ThumbnailReady) -> Outcome:
        # Only thumbnails end a row of failures: each upload that is given up has a cleanup, and that one succeeds.
        self._guard.succeeded(_partition(record), upload.company_id)
        log.info(
            "thumbnail_ready",
            company_id=upload.company_id,
            media=upload.media.record_key,
            attempt=ready.attempt,
            method=ready.frame.method,
            fallback=ready.storage.fallback,
            total_ms=ready.timings_ms.total,
        )
        ready_after_s = max(0.0, (self._now() - upload.occurred_at).total_seconds())
        return Outcome("success", (self._of(record, upload).ready(ready),), Tally(ready_after_s=ready_after_s))

    def _fail(
        self,
        delivery: Delivery,
        error: ThumbnailError,
        stage: Stage,
        upload: MediaUploaded | None,
        company_id: int | None = None,
    ) -> Outcome:
        """`company_id` says whose it is where there is no `upload`."""
        first_failed_at = self._first_failed_at(delivery)
        decision = self._decide(delivery, error)
        context = {"error_code": error.code, "error": error.message, "stage": stage, "attempt": delivery.attempt}
        if upload is not None:
            context |= {"company_id": upload.company_id, "media": upload.media.record_key}
        if isinstance(decision, RetryAt):
            waiting = self._retry(delivery, error, stage, decision, first_failed_at)
            if fits(waiting):
                log.warning("event_waits_for_retry", tier=decision.tier, **context)
                waits_for = provider_label(error.provider) if isinstance(error, ConnectionPausedError) else None
                return Outcome("retry", (waiting,), Tally(error=error.code, waits_for=waits_for), error.code)
            decision = GiveUp("the record is too large for the retry topics")
        if h.get_header(delivery.record.headers, h.REPLAY_COUNT) is None:
            # What was replayed failed before: that somebody replayed too much says nothing about a deploy.
            owner = company_id if upload is None else upload.company_id
            self._guard.check(_partition(delivery.record), error.code, owner)
        log.error("event_given_up", why=decision.reason, **context)
        records = self._give_up(delivery, error, stage, upload, first_failed_at)
        return Outcome("failed", records, Tally(error=error.code), error.code)

    def _first_failed_at(self, delivery: Delivery) -> datetime:
        """One that lies ahead is not handed on: the time budget would never end."""
        now = self._now()
        return min(delivery.first_failed_at or now, now)

    def _decide(self, delivery: Delivery, error: ThumbnailError) -> RetryAt | GiveUp:
        now = self._now()
        return self._policy.decide(
            error,
            failed_attempts=delivery.attempt,
            first_failed_at=delivery.budget_from or now,
            now=now,
            last_code=h.get_header(delivery.record.headers, h.ERROR_CODE),
        )

    def _retry(
        self, delivery: Delivery, error: ThumbnailError, stage: Stage, decision: RetryAt, first_failed_at: datetime
    ) -> OutboundRecord:
        record = delivery.record
        facts = {
            **origin_headers(record, self._group),
            **error_headers(error, stage),
            h.RETRY_ATTEMPT: decision.retry,
            h.RETRY_DUE_AT: h.format_time(decision.due_at),
            **({h.RETRY_NOT_BEFORE: h.format_time(decision.not_before)} if decision.not_before else {}),
            h.FIRST_FAILED_AT: h.format_time(first_failed_at),
            h.LAST_FAILED_AT: h.format_time(self._now()),
        }
        return OutboundRecord(
            self._topics.retries[decision.tier - 1], record.key, record.value, h.with_headers(record.headers, facts)
        )

    def _give_up(
        self,
        delivery: Delivery,
        error: ThumbnailError,
        stage: Stage,
        upload: MediaUploaded | None,
        first_failed_at: datetime,
    ) -> tuple[OutboundRecord, ...]:
        """The dead letter first: dying after it repeats both, dying before it repeats the attempt."""
        record, now = delivery.record, self._now()
        headers = dead_letter_headers(
            record,
            error,
            stage=stage,
            group=self._group,
            attempts=delivery.attempt,
            first_failed_at=first_failed_at,
            now=now,
        )
        letter = dead_letter(self._topics.dlq, record, headers)
        if upload is None:
            return (letter,)
        failure = Failure(error, stage, delivery.attempt, first_failed_at)
        return (letter, self._of(record, upload).failed(failure))

    def _of(self, record: InboundRecord, upload: MediaUploaded) -> Announcements:
        return Announcements(self._topics, record, upload, self._now())


def _with_trail(outcome: Outcome, progress: Progress, delivery: Delivery, upload: MediaUploaded | None) -> Outcome:
    stages = tuple(progress.stages) if outcome.error_code is None else progress.failed(outcome.error_code)
    facts: dict[str, Fact] = {"thumbnail.status": outcome.status, "thumbnail.attempt": delivery.attempt}
    if upload is not None:
        facts |= {"thumbnail.company_id": upload.company_id, "thumbnail.kind": upload.media.kind.value}
    return replace(outcome, stages=stages, facts=facts)


def _partition(record: InboundRecord) -> str:
    return f"{record.topic} partition {record.partition}"


def _attempt_of(record: InboundRecord) -> tuple[str | None, ...]:
    """What tells an event's attempts apart, waits and replays included, and is the same when one is delivered again."""
    return tuple(h.get_header(record.headers, name) for name in (h.LAST_FAILED_AT, h.REPLAYED_AT))


def _internal_error(exc: Exception) -> ThumbnailError:
    error = TransientError(
        ErrorCode.INTERNAL_ERROR, f"An unexpected {type(exc).__name__} occurred; the log has the trace."
    )
    error.__cause__ = exc
    return error
