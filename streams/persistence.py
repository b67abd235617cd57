"""The persist role: results into the database, one transaction a batch, offsets only after it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
import structlog
from confluent_kafka import Consumer, Producer
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from schemas import headers as h
from schemas.cloudevents import context_headers, read_event, write_event
from schemas.database import write_transaction
from schemas.errors import ErrorCode, PermanentError, Stage
from schemas.events import (
    THUMBNAIL_CLEANUP_TYPE,
    THUMBNAIL_FAILED_TYPE,
    THUMBNAIL_READY_TYPE,
    CleanupReason,
    ThumbnailCleanup,
    ThumbnailFailed,
    ThumbnailReady,
    derived_event_id,
    upload_version,
)
from schemas.metrics import Metrics
from schemas.topics import THUMBNAIL_CLEANUP, THUMBNAIL_FAILED, THUMBNAIL_READY, THUMBNAIL_READY_DLQ, prefixed
from streams.dead_letters import dead_letter, dead_letter_headers
from streams.kafka_io import commit_offsets, next_offsets, poll_quietly, read_records, send_and_wait
from streams.records import InboundRecord, OutboundRecord
from streams.result_rows import Result, RowOutcome, apply_results

log = structlog.get_logger(__name__)

BATCH: Final = 200
POLL_S: Final = 0.2
_WRITTEN: Final = frozenset({RowOutcome.APPLIED, RowOutcome.REPLACED})
BACKOFFS_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class PersistOptions:
    """librdkafka's settings, the group's name for dead letters, and the topics' prefix."""

    consumer: dict[str, Any]
    producer: dict[str, Any]
    group: str
    topic_prefix: str = ""


@dataclass(frozen=True)
class _Item:
    """A result with the record that brought it."""

    record: InboundRecord
    result: Result


class DatabaseDownError(Exception):
    """The database does not answer: nothing is wrong with the batch, and it is tried again."""


class PersistRole:
    """Consumes thumbnail.ready and thumbnail.failed.

    Side effects of a batch, in this order:
    1. One transaction writes all rows. Dying after it repeats the batch: the rows say «repeated», nothing changes.
    2. Dead letters and cleanup requests are sent, and acknowledged by all replicas. Dying after it sends them twice:
       a cleanup does not touch what a row shows. A repeated result asks for a cleanup too, because the process may have
       died between 1 and 2 the time before.
    3. Offsets are committed. Dying before it repeats the batch.
    """

    def __init__(
        self,
        options: PersistOptions,
        engine: sa.Engine,
        metrics: Metrics,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ready_topic: Final = prefixed(THUMBNAIL_READY, options.topic_prefix)
        self._failed_topic: Final = prefixed(THUMBNAIL_FAILED, options.topic_prefix)
        self._dlq_topic: Final = prefixed(THUMBNAIL_READY_DLQ, options.topic_prefix)
        self._cleanup_topic: Final = prefixed(THUMBNAIL_CLEANUP, options.topic_prefix)
        self._group: Final = options.group
        self._consumer: Final = Consumer(options.consumer)
        self._producer: Final = Producer(options.producer)
        self._engine: Final = engine
        self._metrics: Final = metrics
        self._now: Final = now
        self._stopping = False
        self.last_progress_at = time.monotonic()

    def stop(self) -> None:
        """Ask run() to end after the batch that it is working on; safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Work until stop(). Raises KafkaException when records cannot be consumed, sent or committed."""
        self._consumer.subscribe([self._ready_topic, self._failed_topic])
        try:
            while not self._stopping:
                records = read_records(self._consumer, BATCH, POLL_S)
                if records:
                    self._persist(records)
                self.last_progress_at = time.monotonic()
        finally:
            self._consumer.close()
            self._engine.dispose()

    def _persist(self, records: list[InboundRecord]) -> None:
        started = time.perf_counter()
        items, letters = self._read(records)
        outcomes, poison = self._write_patiently(items)
        if outcomes is None:
            return  # the database is still down: nothing was committed, the batch comes again
        letters += [self._letter(item.record, error) for item, error in poison]
        requests = [self._cleanup(item, outcome) for item, outcome in outcomes if _needs_cleanup(item, outcome)]
        send_and_wait(self._producer, [*letters, *requests])
        commit_offsets(self._consumer, next_offsets(records))
        self._observe(outcomes, len(letters), time.perf_counter() - started)

    def _read(self, records: list[InboundRecord]) -> tuple[list[_Item], list[OutboundRecord]]:
        """The results in `records`, and a dead letter for each record that holds none."""
        items, letters = [], []
        for record in records:
            try:
                items.append(_Item(record, self._result(record)))
            except PermanentError as error:
                letters.append(self._letter(record, error))
        return items, letters

    def _result(self, record: InboundRecord) -> Result:
        if record.topic == self._ready_topic:
            return read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, record.value, record.headers)
        return read_event(ThumbnailFailed, THUMBNAIL_FAILED_TYPE, record.value, record.headers)

    def _write_patiently(
        self, items: list[_Item]
    ) -> tuple[list[tuple[_Item, RowOutcome]] | None, list[tuple[_Item, PermanentError]]]:
        """Write, waiting for the database as long as it takes; None for the outcomes when stop() came first."""
        tries = 0
        while not self._stopping or tries == 0:
            try:
                outcomes, poison = self._write(items)
            except DatabaseDownError as exc:
                pause_s = BACKOFFS_S[min(tries, len(BACKOFFS_S) - 1)]
                tries += 1
                log.warning("database_down", reason=str(exc), retry_in_s=pause_s, waiting_results=len(items))
                poll_quietly(self._consumer, pause_s)
                self.last_progress_at = time.monotonic()  # waiting is progress: a restart would not help
                continue
            if tries:
                log.info("database_back", tries=tries)
                self._consumer.resume(self._consumer.assignment())
            return outcomes, poison
        return None, []

    def _write(self, items: list[_Item]) -> tuple[list[tuple[_Item, RowOutcome]], list[tuple[_Item, PermanentError]]]:
        """One transaction; when the database refuses the data, halves of it, until the poison record stands alone."""
        if not items:
            return [], []
        try:
            with write_transaction(self._engine) as connection:
                outcomes = apply_results(connection, [item.result for item in items], now=self._now())
        except (OperationalError, InterfaceError, PoolTimeoutError) as exc:
            raise DatabaseDownError(_first_line(exc)) from exc
        except SQLAlchemyError as exc:
            if isinstance(exc, DBAPIError) and exc.connection_invalidated:
                raise DatabaseDownError(_first_line(exc)) from exc
            if len(items) == 1:
                return [], [(items[0], PermanentError(ErrorCode.EVENT_MALFORMED, _refusal(exc)))]
            middle = len(items) // 2
            left, left_poison = self._write(items[:middle])
            right, right_poison = self._write(items[middle:])
            return left + right, left_poison + right_poison
        written = list(zip(items, outcomes, strict=True))
        foreign = [item for item, outcome in written if outcome is RowOutcome.OTHER_COMPANY]
        error = PermanentError(ErrorCode.EVENT_MALFORMED, "The row belongs to another company than the event says.")
        return written, [(item, error) for item in foreign]

    def _letter(self, record: InboundRecord, error: PermanentError) -> OutboundRecord:
        now = self._now()
        log.error(
            "result_refused", error_code=error.code, error=error.message, topic=record.topic, offset=record.offset
        )
        self._metrics.dead_letters_total.labels(error.code).inc()
        headers = dead_letter_headers(
            record, error, stage=Stage.PERSIST, group=self._group, attempts=1, first_failed_at=now, now=now
        )
        return dead_letter(self._dlq_topic, record, headers)

    def _cleanup(self, item: _Item, outcome: RowOutcome) -> OutboundRecord:
        result = item.result
        request = ThumbnailCleanup(
            event_id=derived_event_id(result.upload_event_id, f"cleanup:{outcome}"),
            upload_event_id=result.upload_event_id,
            occurred_at=result.occurred_at,
            produced_at=self._now(),
            company_id=result.company_id,
            media=result.media,
            version=upload_version(result.occurred_at, result.upload_event_id),
            reason=_reason(item, outcome),
        )
        context = context_headers(
            event_type=THUMBNAIL_CLEANUP_TYPE,
            event_id=request.event_id,
            occurred_at=request.produced_at,
            subject=result.media.record_key,
        )
        passed_on = (h.TRACEPARENT, h.TRACESTATE, h.CORRELATION_ID, h.CAUSATION_ID)
        headers = context + tuple((name, value) for name, value in item.record.headers if name in passed_on)
        return OutboundRecord(self._cleanup_topic, result.media.record_key.encode(), write_event(request), headers)

    def _observe(self, outcomes: list[tuple[_Item, RowOutcome]], letters: int, took_s: float) -> None:
        metrics = self._metrics
        metrics.persistence_batch_size.observe(len(outcomes) + letters)
        metrics.persistence_batch_duration_seconds.observe(took_s)
        metrics.task_execution_total.labels("persist", "success").inc(len(outcomes))
        metrics.task_execution_total.labels("persist", "failed").inc(letters)
        metrics.task_execution_duration_seconds.labels("persist").observe(took_s)
        now = self._now()
        for item, outcome in outcomes:
            if outcome is RowOutcome.STALE:
                metrics.stale_results_total.inc()
            elif outcome is RowOutcome.ROW_GONE:
                metrics.orphaned_results_total.inc()
            elif outcome in _WRITTEN and isinstance(item.result, ThumbnailReady):
                seconds = (now - item.result.occurred_at).total_seconds()
                metrics.upload_to_visible_seconds.observe(max(0.0, seconds))
            log.info(
                "result_persisted",
                outcome=outcome,
                media=item.result.media.record_key,
                company_id=item.result.company_id,
                topic=item.record.topic,
                partition=item.record.partition,
                offset=item.record.offset,
            )


def _needs_cleanup(item: _Item, outcome: RowOutcome) -> bool:
    """Whether objects may be left that no row shows: a media's first success leaves none."""
    if outcome is RowOutcome.APPLIED:
        return isinstance(item.result, ThumbnailFailed)
    return outcome is not RowOutcome.OTHER_COMPANY


def _reason(item: _Item, outcome: RowOutcome) -> CleanupReason:
    if outcome is RowOutcome.ROW_GONE:
        return CleanupReason.ROW_GONE
    if outcome is RowOutcome.STALE:
        return CleanupReason.STALE
    return CleanupReason.GIVEN_UP if isinstance(item.result, ThumbnailFailed) else CleanupReason.SUPERSEDED


def _first_line(exc: SQLAlchemyError) -> str:
    return str(getattr(exc, "orig", None) or exc).strip().partition("\n")[0][:300]


def _refusal(exc: SQLAlchemyError) -> str:
    # The statement and its parameters stay out: they hold the tenant's data.
    return f"The database refuses the result: {_first_line(exc)}"
