"""One record in, its outcome out: the one boundary where any error becomes a retry or a dead letter."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import structlog

from schemas import headers as h
from schemas.cloudevents import context_headers, read_event, write_event
from schemas.errors import NEXT_ACTIONS, ErrorCode, Stage, ThumbnailError, TransientError
from schemas.events import (
    MEDIA_UPLOADED_TYPE,
    THUMBNAIL_CLEANUP_TYPE,
    THUMBNAIL_FAILED_TYPE,
    THUMBNAIL_READY_TYPE,
    DeadLetterInfo,
    ErrorInfo,
    MediaUploaded,
    ThumbnailCleanup,
    ThumbnailFailed,
    ThumbnailReady,
    derived_event_id,
)
from schemas.metrics import Metrics
from schemas.topics import THUMBNAIL_DLQ, THUMBNAIL_FAILED, THUMBNAIL_READY, THUMBNAIL_RETRIES, prefixed
from streams.cleanup_service import CleanupService
from streams.dead_letters import dead_letter, dead_letter_headers, error_headers, origin_headers
from streams.records import InboundRecord, OutboundRecord
from streams.retry_policy import GiveUp, RetryAt, RetryPolicy
from streams.thumbnail_service import Progress, ThumbnailService

log = structlog.get_logger(__name__)

Status = Literal["success", "failed", "retry"]


@dataclass(frozen=True)
class Outcome:
    """What must be acknowledged by the broker, in this order, before the record itself may be acknowledged."""

    status: Status
    records: tuple[OutboundRecord, ...]


@dataclass(frozen=True)
class _Delivery:
    """A record with what its headers say about earlier attempts."""

    record: InboundRecord
    attempt: int
    first_failed_at: datetime | None
    budget_from: datetime | None
    """From when its time budget counts: its last replay, else its first failure, or now for a first attempt."""


class EventHandler:
    """Turns records of media.uploaded, thumbnail.due and thumbnail.cleanup into outcomes; never raises an Exception."""

    def __init__(
        self,
        thumbnails: ThumbnailService,
        cleanup: CleanupService,
        policy: RetryPolicy,
        metrics: Metrics,
        *,
        group: str,
        topic_prefix: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._thumbnails: Final = thumbnails
        self._cleanup: Final = cleanup
        self._policy: Final = policy
        self._metrics: Final = metrics
        self._group: Final = group
        self._prefix: Final = topic_prefix
        self._now: Final = now

    async def handle(self, record: InboundRecord) -> Outcome:
        """The outcome of a record: a cleanup by its event type, anything else as an upload."""
        started = time.perf_counter()
        is_cleanup = h.get_header(record.headers, h.CE_TYPE) == THUMBNAIL_CLEANUP_TYPE
        outcome = await (self._handle_cleanup(record) if is_cleanup else self._handle_upload(record))
        task = "cleanup" if is_cleanup else "generate"
        self._metrics.task_execution_total.labels(task, outcome.status).inc()
        self._metrics.task_execution_duration_seconds.labels(task).observe(time.perf_counter() - started)
        return outcome

    async def _handle_upload(self, record: InboundRecord) -> Outcome:
        delivery, progress, upload = _delivery(record), Progress(), None
        started = time.perf_counter()
        try:
            upload = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, record.value, record.headers)
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
            log.exception("event_failed_unexpectedly", topic=record.topic, offset=record.offset)
            outcome = self._fail(delivery, _internal_error(exc), progress.stage, upload)
        if upload is not None:
            kind = upload.media.kind
            self._metrics.generation_total.labels(kind, outcome.status).inc()
            self._metrics.generation_duration_seconds.labels(kind).observe(time.perf_counter() - started)
        return outcome

    async def _handle_cleanup(self, record: InboundRecord) -> Outcome:
        delivery = _delivery(record)
        try:
            request = read_event(ThumbnailCleanup, THUMBNAIL_CLEANUP_TYPE, record.value, record.headers)
            deleted = await self._cleanup.clean(request)
        except ThumbnailError as error:
            return self._fail(delivery, error, Stage.CLEANUP, None)
        except Exception as exc:
            log.exception("cleanup_failed_unexpectedly", topic=record.topic, offset=record.offset)
            return self._fail(delivery, _internal_error(exc), Stage.CLEANUP, None)
        log.info("objects_cleaned", media=request.media.record_key, reason=request.reason, deleted=deleted)
        return Outcome("success", ())

    def _announce(self, record: InboundRecord, upload: MediaUploaded, ready: ThumbnailReady) -> Outcome:
        self._metrics.upload_to_ready_seconds.observe(max(0.0, (self._now() - upload.occurred_at).total_seconds()))
        log.info(
            "thumbnail_ready",
            company_id=upload.company_id,
            media=upload.media.record_key,
            attempt=ready.attempt,
            method=ready.frame.method,
            fallback=ready.storage.fallback,
            total_ms=ready.timings_ms.total,
            **_position(record),
        )
        headers = self._result_headers(record, upload, THUMBNAIL_READY_TYPE, ready.event_id)
        topic = prefixed(THUMBNAIL_READY, self._prefix)
        return Outcome("success", (OutboundRecord(topic, _key(upload), write_event(ready), headers),))

    def _fail(self, delivery: _Delivery, error: ThumbnailError, stage: Stage, upload: MediaUploaded | None) -> Outcome:
        first_failed_at = delivery.first_failed_at or self._now()
        decision = self._decide(delivery, error)
        context = {"error_code": error.code, "error": error.message, "stage": stage, "attempt": delivery.attempt}
        if upload is not None:
            context |= {"company_id": upload.company_id, "media": upload.media.record_key}
        if isinstance(decision, RetryAt):
            self._metrics.retries_total.labels(error.code).inc()
            log.warning("event_waits_for_retry", tier=decision.tier, **context, **_position(delivery.record))
            return Outcome("retry", (self._retry(delivery, error, stage, decision, first_failed_at),))
        self._metrics.dead_letters_total.labels(error.code).inc()
        log.error("event_given_up", why=decision.reason, **context, **_position(delivery.record))
        return Outcome("failed", self._give_up(delivery, error, stage, upload, first_failed_at))

    def _decide(self, delivery: _Delivery, error: ThumbnailError) -> RetryAt | GiveUp:
        now = self._now()
        return self._policy.decide(
            error, failed_attempts=delivery.attempt, first_failed_at=delivery.budget_from or now, now=now
        )

    def _retry(
        self, delivery: _Delivery, error: ThumbnailError, stage: Stage, decision: RetryAt, first_failed_at: datetime
    ) -> OutboundRecord:
        record = delivery.record
        facts = {
            **origin_headers(record, self._group),
            **error_headers(error, stage),
            h.RETRY_ATTEMPT: decision.retry,
            h.RETRY_DUE_AT: h.format_time(decision.due_at),
            h.FIRST_FAILED_AT: h.format_time(first_failed_at),
            h.LAST_FAILED_AT: h.format_time(self._now()),
        }
        topic = prefixed(THUMBNAIL_RETRIES[decision.tier - 1], self._prefix)
        return OutboundRecord(topic, record.key, record.value, h.with_headers(record.headers, facts))

    def _give_up(
        self,
        delivery: _Delivery,
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
        dlq_topic = prefixed(THUMBNAIL_DLQ, self._prefix)
        letter = dead_letter(dlq_topic, record, headers)
        if upload is None:
            return (letter,)
        failed = ThumbnailFailed(
            event_id=derived_event_id(upload.event_id, "failed"),
            upload_event_id=upload.event_id,
            occurred_at=upload.occurred_at,
            produced_at=now,
            company_id=upload.company_id,
            media=upload.media,
            error=ErrorInfo(
                code=error.code,
                message=error.message[:1024],
                stage=stage,
                retryable=isinstance(error, TransientError),
                next_action=NEXT_ACTIONS[error.code],
            ),
            attempts=delivery.attempt,
            first_failed_at=first_failed_at,
            dead_letter=DeadLetterInfo(topic=dlq_topic),
        )
        result_headers = self._result_headers(record, upload, THUMBNAIL_FAILED_TYPE, failed.event_id)
        topic = prefixed(THUMBNAIL_FAILED, self._prefix)
        return (letter, OutboundRecord(topic, _key(upload), write_event(failed), result_headers))

    def _result_headers(
        self, record: InboundRecord, upload: MediaUploaded, event_type: str, event_id: str
    ) -> h.Headers:
        context = context_headers(
            event_type=event_type, event_id=event_id, occurred_at=self._now(), subject=upload.media.record_key
        )
        links = {
            h.CORRELATION_ID: h.get_header(record.headers, h.CORRELATION_ID) or upload.event_id,
            h.CAUSATION_ID: upload.event_id,
        }
        trace = tuple((name, value) for name, value in record.headers if name in (h.TRACEPARENT, h.TRACESTATE))
        return h.with_headers(context, links) + trace


def _delivery(record: InboundRecord) -> _Delivery:
    retries = h.get_count(record.headers, h.RETRY_ATTEMPT)
    first_failed_at = h.parse_time(h.get_header(record.headers, h.FIRST_FAILED_AT))
    is_retry = h.get_header(record.headers, h.RETRY_ATTEMPT) is not None
    # A record that was replayed keeps its first failure for people to see; its budget begins anew.
    replayed_at = h.parse_time(h.get_header(record.headers, h.REPLAYED_AT))
    budget_from = (replayed_at or first_failed_at) if is_retry else None
    return _Delivery(record, retries + 1, first_failed_at, budget_from)


def _key(upload: MediaUploaded) -> bytes:
    return upload.media.record_key.encode()


def _position(record: InboundRecord) -> dict[str, object]:
    trace = h.get_header(record.headers, h.TRACEPARENT)
    position: dict[str, object] = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    return position | ({"trace_id": trace[3:35]} if trace else {})


def _internal_error(exc: Exception) -> ThumbnailError:
    error = TransientError(
        ErrorCode.INTERNAL_ERROR, f"An unexpected {type(exc).__name__} occurred; the log has the trace."
    )
    error.__cause__ = exc
    return error
