"""The persist role: results into the database, one transaction a batch, offsets only after it."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

import sqlalchemy as sa
import structlog

from schemas.errors import PermanentError, Stage
from schemas.metrics import Metrics
from schemas.topics import UNPREFIXED, Topics
from streams.failures.dead_letter import Failure, make_dead_letter
from streams.kafka.client import (
    NotAcknowledgedError,
    assigned_to,
    next_offsets,
    poll_quietly,
    read_records,
)
from streams.kafka.ports import KafkaClients, KafkaConsumer, PartitionOffset, TopicPartition
from streams.kafka.positions import Positions
from streams.kafka.records import InboundRecord, OutboundRecord, read_delivery
from streams.kafka.waiting import ClusterWait
from streams.persist.batch import BatchWriter, DatabaseDownError, Written
from streams.persist.cleanups import cleanups_of
from streams.persist.counts import ResultCounts, end_spans
from streams.persist.limits import PersistGuard, PersistLimits
from streams.persist.paced_collector import PacedCollector
from streams.persist.reading import Batch, BatchReader
from streams.persist.states import StateSender
from streams.thumbnails.grace import NO_GRACE, Grace
from streams.tracing import NO_TRACING, Tracing

log = structlog.get_logger(__name__)

BATCH: Final = 1000
"""At most so many records a transaction. A batch is what came while the one before was written, so that few results
wait for nothing, and many share the cost of a commit."""
POLL_S: Final = 0.2
BACKOFFS_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
T = TypeVar("T")


@dataclass(frozen=True)
class PersistOptions:
    """The group's name for dead letters, the topics' names, when the role ends, and how long cleanups wait."""

    group: str
    topics: Topics = UNPREFIXED
    limits: PersistLimits = field(default_factory=PersistLimits)
    grace: Grace = NO_GRACE


class PersistRole:
    """Consumes thumbnail.ready, thumbnail.failed and thumbnail.deleted.

    Side effects of a batch, in this order:
    1. One transaction writes all rows. Dying after it repeats the batch: the rows say «repeated», nothing changes.
    2. The states of the batch's media are read from their rows and sent to thumbnail.state. Dying after it sends the same
       bytes once more, or newer ones. A repeated result sends its state too, because the process may have died between
       1 and 2 the time before.
    3. Dead letters and cleanup requests are sent, and acknowledged by all replicas. Dying after it sends them twice:
       a cleanup does not touch what a row shows. A repeated result asks for a cleanup too. It comes after 2, so that
       a reader of the states has the new URLs before the old ones go; and it waits for REPLACED_KEEP_S.
    4. Offsets are committed. Dying before it repeats the batch.

    While one batch is in 1, the next is read; and while a batch is in 2 to 4, the next is in 1. Batches are begun and
    committed in the order in which they were read, so that an offset is committed only when all before it are done.
    """

    def __init__(
        self,
        clients: KafkaClients,
        options: PersistOptions,
        engine: sa.Engine,
        metrics: Metrics,
        *,
        tracing: Tracing = NO_TRACING,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._topics, self._group, self._grace = options.topics, options.group, options.grace
        self._consumer: Final = clients.consumer
        self._monotonic: Final = clients.monotonic
        self._engine: Final = engine
        self._guard: Final = PersistGuard(options.limits, clients.monotonic)
        self._writer: Final = BatchWriter(engine, now)
        self._states: Final = StateSender(engine, options.topics.state, metrics)
        self._thread: Final = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._pending: Batch | None = None
        self._metrics: Final = metrics
        self._counts: Final = ResultCounts(metrics, now)
        self._tracing: Final = tracing
        self._now: Final = now
        self._read_batch: Final = BatchReader(options.topics, tracing).read
        self._stopping = False
        self.cluster: Final = ClusterWait(clients, lambda: self._stopping)
        self.last_progress_at = time.monotonic()
        self.database_problem: str | None = None
        """Why results wait for the database, while they do."""
        self.positions: Final = Positions()
        self.owned: frozenset[TopicPartition] = frozenset()
        """The partitions that the group has given to this role, as of its last round."""

    def stop(self) -> None:
        """Ask run() to end after the batches that it is working on; safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Work until stop(). Raises KafkaException when records cannot be consumed, sent or committed, and PersistStoppedError."""
        names = [self._topics.ready, self._topics.failed, self._topics.deleted]
        self._consumer.subscribe(names, on_assign=self.positions.starter(), on_revoke=self._on_revoke)
        try:
            with PacedCollector() as collector:
                while not self._stopping:
                    self._go_round()
                    collector.collect_when_due()
                    self.last_progress_at = time.monotonic()
                self._finish(None)
        finally:
            self._consumer.close()
            self._thread.shutdown()
            self._engine.dispose()

    def _go_round(self) -> None:
        """Read a batch while the one before is written, then settle that one while the new one is written."""
        records = read_records(self._consumer, 1, 0.0 if self._pending else POLL_S)
        if records:
            records += read_records(self._consumer, BATCH - 1, 0.0, after=records)
        self.positions.read_all(records)
        following = self._read_batch(records) if records else None
        self.owned = assigned_to(self._consumer)
        self._finish(following)

    def _finish(self, following: Batch | None) -> None:
        """Wait for the pending batch's rows, begin `following`, and do what is left of the pending one."""
        batch = self._pending
        written = None if batch is None else self._wait_for_rows(batch)
        if batch is not None and written is None:
            return  # stopped, and the database is still down: nothing was committed, both batches come again
        if following is not None:
            following.begun = time.perf_counter()
            following.writing = self._thread.submit(self._writer.write, following.items)
        # Nobody commits `following` before the earlier batch is settled: close() calls _on_revoke when settling fails.
        self._pending = None
        if batch is not None and written is not None and self._announce(batch, written):
            self._settle(batch, written)
        self._pending = following

    def _wait_for_rows(self, batch: Batch) -> Written | None:
        """Return the rows' outcomes, waiting for the database as long as it takes; None when stop() came first."""

        def begin_again() -> None:
            batch.writing = self._thread.submit(self._writer.write, batch.items)

        return self._until_database_works(batch, lambda: batch.writing.result(), begin_again)

    def _announce(self, batch: Batch, written: Written) -> bool:
        """Send the states of the batch's media, waiting for the database as long as it takes; False when stop() came first."""
        return self._until_database_works(batch, lambda: self._send_states(batch, written), lambda: None) is not None

    def _send_states(self, batch: Batch, written: Written) -> int:
        media = batch.media_to_announce(written)

        def send(records: list[OutboundRecord]) -> None:
            self.cluster.send_once(records, NO_TRACING)  # a state is the row's, whichever of several events changed it

        # Not under the lock: while the cluster takes nothing, other roles are to have their turns at it.
        return self.cluster.until_taken(self._topics.state, lambda: self._states.send(media, send))

    def _until_database_works(
        self, batch: Batch, action: Callable[[], T], before_again: Callable[[], None]
    ) -> T | None:
        """Return what `action` returns, waiting for the database; None when stop() came first."""
        tries = 0
        while True:
            try:
                result = action()
            except DatabaseDownError as exc:
                if self._stopping:
                    return None
                self._guard.check_fault(exc)
                pause_s = BACKOFFS_S[min(tries, len(BACKOFFS_S) - 1)]
                tries += 1
                self.database_problem = str(exc)
                log.warning("database_down", reason=str(exc), retry_in_s=pause_s, waiting_results=len(batch.items))
                poll_quietly(self._consumer, pause_s, self._monotonic)
                self.last_progress_at = time.monotonic()  # waiting is progress: a restart would not help
                before_again()
                continue
            if tries:
                self.database_problem = None
                self._guard.recovered()
                log.info("database_recovered", tries=tries)
                self._consumer.resume(self._consumer.assignment())
            return result

    def _on_revoke(self, _consumer: KafkaConsumer, _partitions: list[PartitionOffset]) -> None:
        """Commit what is written before others take the partitions; called while records are read.

        With the database down the batch stays pending, and is written and committed later: whoever has its partitions
        by then repeats it, and nothing changes.
        """
        batch = self._pending
        if batch is None:
            return
        try:
            written = batch.writing.result()
            self._send_states(batch, written)
        except DatabaseDownError:
            return
        self._pending = None
        self._settle(batch, written)

    def _settle(self, batch: Batch, written: Written) -> None:
        self._guard.check_refusals(written)
        refused = batch.refused + [(item.record, error) for item, error in written.rejected]
        dead_letters = [self._dead_letter(record, error) for record, error in refused]
        cleanups = cleanups_of(written, batch.deletions, self._topics, self._grace, self._now())
        try:
            self.cluster.send([*dead_letters, *cleanups], self._tracing)
        except NotAcknowledgedError:
            self._metrics.dead_letter_write_failures_total.inc(len(dead_letters))
            raise
        if self.cluster.commit(next_offsets(batch.records)):
            self._counts.count(written.outcomes, refused)
        end_spans(batch.received, written)
        self._counts.observe(written.outcomes, len(dead_letters), time.perf_counter() - batch.begun)

    def _dead_letter(self, record: InboundRecord, error: PermanentError) -> OutboundRecord:
        now = self._now()
        log.error("result_dead_lettered", error_code=error.code, error=error.message, **record.log_fields)
        failure = Failure(error, Stage.PERSIST, attempts=1, first_failed_at=now, failed_at=now)
        return make_dead_letter(self._topics.ready_dlq, read_delivery(record, self._topics), failure, self._group)
