"""The ingest role: reads notifications of buckets, and publishes the uploads and deletions that they are about."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
from sqlalchemy.exc import SQLAlchemyError

from schemas import headers as h
from schemas.database_faults import explain_database_fault, is_an_outage
from schemas.errors import Stage
from schemas.metrics import Metrics
from schemas.topics import UNPREFIXED, Topics
from streams.event_metrics import RecentIds, TaskType
from streams.failures.dead_letter import Failure, make_dead_letter
from streams.ingest.notifications import ObjectChange
from streams.ingest.placing import Placer, Reading, RowsOf, paths_wanted
from streams.ingest.rules import IngestRules
from streams.kafka.client import NotAcknowledgedError, assigned_to, next_offsets, poll_quietly, read_records
from streams.kafka.ports import KafkaClients, TopicPartition
from streams.kafka.positions import Positions
from streams.kafka.records import InboundRecord, OutboundRecord, bounded_by, place_of, read_delivery
from streams.kafka.waiting import ClusterWait
from streams.rows.by_path import PathRow
from streams.tracing import NO_TRACING, Span, Tracing

log = structlog.get_logger(__name__)

POLL_S: Final = 0.25
BATCH: Final = 500
ROW_POLL_S: Final = 1.0
BACKOFFS_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_NOT_BELIEVED: Final = h.WORKING_HEADERS - {h.REPLAY_COUNT, h.REPLAYED_AT, h.REPLAYED_FROM}
"""A replay comes back by the same topic, and is counted."""
MAX_TOLD: Final = 1000
"""So many folders without a rule are named in the log; a rule that is missing shows long before."""


class FindRows(Protocol):
    """The platform's rows, as streams.rows.by_path has them."""

    def find(self, paths: Collection[str]) -> Mapping[str, tuple[PathRow, ...]]:
        """Return the rows of each path that has some. Raises SQLAlchemyError."""


@dataclass(frozen=True)
class IngestOptions:
    """The group's name for dead letters, the topics' names, the rules, and for how long an upload waits for its row.

    `rows` is None where no rule looks anything up.
    """

    group: str
    rules: IngestRules
    topics: Topics = UNPREFIXED
    rows: FindRows | None = None
    row_wait_s: float = 30.0


class IngestRole:
    """Works on one batch after another; the package's docstring says what happens in which order, and what when it fails."""

    def __init__(
        self,
        clients: KafkaClients,
        options: IngestOptions,
        metrics: Metrics,
        *,
        tracing: Tracing = NO_TRACING,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._options: Final = options
        self._consumer: Final = clients.consumer
        self._monotonic: Final = clients.monotonic
        self._placer: Final = Placer(options.rules, options.topics)
        self._metrics: Final = metrics
        self._tracing: Final = tracing
        self._now: Final = now
        self._stopping = False
        self._rows_may_come_until_s = float("-inf")
        """By the clock of waits: nobody could write a row while the database was away."""
        self._seen: Final = RecentIds()
        self._told: Final[set[tuple[str, str]]] = set()
        self.cluster: Final = ClusterWait(clients, lambda: self._stopping)
        self.last_progress_at = time.monotonic()
        self.database_problem: str | None = None
        """Why a look-up waits for the database, while it does."""
        self.positions: Final = Positions()
        self.owned: frozenset[TopicPartition] = frozenset()
        """The partitions that the group has given to this role, as of its last round."""

    def stop(self) -> None:
        """Ask run() to end after the batch that it is working on; safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Work until stop(). Raises KafkaException when records cannot be consumed, sent or committed.

        Raises SQLAlchemyError when the database answers, and refuses a look-up.
        """
        self._consumer.subscribe([self._options.topics.notifications], on_assign=self.positions.starter())
        try:
            while not self._stopping:
                records = read_records(self._consumer, 1, POLL_S)
                if records:
                    records += read_records(self._consumer, BATCH - 1, 0.0, after=records)
                    self.positions.read_all(records)
                    self._work_on(records)
                self.owned = assigned_to(self._consumer)
                self.last_progress_at = time.monotonic()
        finally:
            self._consumer.close()

    def _work_on(self, records: list[InboundRecord]) -> None:
        started = time.perf_counter()
        received = [self._tracing.receive(_without_our_headers(record)) for record in records]
        readings = [self._read(record) for record, _ in received]
        if not self._place(readings):
            return  # stopped while a row or the database was away: nothing was committed, and the batch comes again
        refused = [reading for reading in readings if reading.error is not None]
        try:
            self.cluster.send([self._dead_letter(reading) for reading in refused], self._tracing)
        except NotAcknowledgedError:
            self._metrics.dead_letter_write_failures_total.inc(len(refused))
            raise
        if self.cluster.commit(next_offsets(records)):
            for reading in readings:
                self._count(reading)
        self._end(readings, [span for _, span in received])
        self._metrics.task_execution_duration_seconds.labels(TaskType.INGEST).observe(time.perf_counter() - started)
        self._metrics.last_progress_timestamp_seconds.set_to_current_time()

    def _read(self, record: InboundRecord) -> Reading:
        now = self._now()
        age_s = (now - bounded_by(now, record.timestamp)).total_seconds()
        wait_until_s = self._monotonic() + max(0.0, self._options.row_wait_s - age_s)
        return self._placer.read(read_delivery(record, self._options.topics), wait_until_s)

    def _place(self, readings: Sequence[Reading]) -> bool:
        """Send all events, once their rows are there or were waited for; False when stop() came first.

        Known uploads are sent before the wait for the rest: one upload without a row delays only those behind it.
        """
        while True:
            rows = self._look_up(paths_wanted(readings))
            if rows is None:
                return False
            for reading in readings:
                self._placer.place(reading, rows)
                if max(reading.wait_until_s, self._rows_may_come_until_s) <= self._monotonic():
                    self._placer.give_up(reading)
            self.cluster.send([record for reading in readings for record in reading.take()], self._tracing)
            if not paths_wanted(readings):
                return True
            if not self._wait(ROW_POLL_S):
                return False

    def _look_up(self, paths: set[str]) -> RowsOf | None:
        """Return the rows, waiting for the database as long as it takes; None when stop() came first."""
        if not paths or self._options.rows is None:
            return {}
        tries = 0
        while True:
            try:
                rows = self._options.rows.find(paths)
            except SQLAlchemyError as exc:
                if not is_an_outage(exc):
                    raise
                pause_s = BACKOFFS_S[min(tries, len(BACKOFFS_S) - 1)]
                tries += 1
                self.database_problem = explain_database_fault(exc)
                log.warning("database_down", reason=self.database_problem, retry_in_s=pause_s)
                if not self._wait(pause_s):
                    return None
            else:
                if tries:
                    self.database_problem = None
                    self._rows_may_come_until_s = self._monotonic() + self._options.row_wait_s
                    log.info("database_recovered", tries=tries)
                return rows

    def _wait(self, seconds: float) -> bool:
        """Stay in the group for a while; return False when the role is to stop."""
        poll_quietly(self._consumer, seconds, self._monotonic)
        self._consumer.resume(self._consumer.assignment())
        self.last_progress_at = time.monotonic()  # waiting is progress: a restart would not help
        return not self._stopping

    def _dead_letter(self, reading: Reading) -> OutboundRecord:
        if reading.error is None:
            raise AssertionError("the record has no error")
        now = self._now()
        failure = Failure(reading.error, Stage.EVENT, attempts=1, first_failed_at=now, failed_at=now)
        return make_dead_letter(self._options.topics.dlq, reading.delivery, failure, self._options.group)

    def _count(self, reading: Reading) -> None:
        """Count a record once: what could not be committed is counted by its next owner."""
        metrics = self._metrics
        if not self._seen.add(place_of(reading.delivery.record)):
            metrics.redelivered_total.labels(TaskType.INGEST).inc()
            return
        for outcome in reading.outcomes:
            metrics.notifications_total.labels(outcome).inc()
        status = "success" if reading.error is None else "failed"
        metrics.task_execution_total.labels(TaskType.INGEST, status).inc()
        if reading.error is not None:
            metrics.dead_letters_total.labels(reading.error.code).inc()

    def _end(self, readings: Sequence[Reading], spans: Sequence[Span]) -> None:
        for reading, span in zip(readings, spans, strict=True):
            error, fields = reading.error, reading.delivery.record.log_fields
            for change in reading.unmatched:
                self._tell(change, fields)
            if error is not None:
                log.error("notification_dead_lettered", error_code=error.code, error=error.message, **fields)
            else:
                outcomes = [str(outcome) for outcome in reading.outcomes]
                log.info("notification_read", outcomes=outcomes, media=reading.media, **fields)
            span.end(None if error is None else error.code)

    def _tell(self, change: ObjectChange, fields: Mapping[str, object]) -> None:
        """Say once of each bucket and first folder that no rule is for it."""
        folder = change.key.partition("/")[0] if "/" in change.key else ""
        where = (change.bucket, folder)
        if where not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(where)
            log.warning("notification_unmatched", bucket=change.bucket, folder=folder, key=change.key[:200], **fields)


def _without_our_headers(record: InboundRecord) -> InboundRecord:
    """Return the record without headers that only we may write: a false origin would lead its replay to another topic."""
    return replace(record, headers=h.without_headers(record.headers, _NOT_BELIEVED))
