"""The retry role: holds each failed record, and each cleanup, until it is due, then hands it to the worker, never early."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from schemas import headers as h
from schemas.metrics import Metrics
from schemas.topics import RETRY_DELAYS_S, UNPREFIXED, Topics
from streams.event_metrics import RecentIds, TaskType, exemplar_of
from streams.failures.marks import Mark
from streams.kafka.client import (
    assigned_to,
    next_offsets,
    partitions_of,
    pause,
    read_records,
    resume_at,
)
from streams.kafka.ports import KafkaClients, KafkaConsumer, PartitionOffset, TopicPartition
from streams.kafka.positions import Positions
from streams.kafka.records import InboundRecord, place_of
from streams.kafka.waiting import ClusterWait
from streams.retry.cancellations import Cancellations
from streams.retry.hops import HopRules
from streams.tracing import NO_TRACING, Tracing

log = structlog.get_logger(__name__)

POLL_S: Final = 0.25
BATCH: Final = 200


@dataclass(frozen=True)
class RetryOptions:
    """The topics' names, and the worker's settings that bound each wait.

    These are the delay of each retry topic in seconds, the largest part of it that is added by chance, and the time budget.
    """

    topics: Topics = UNPREFIXED
    delays_s: tuple[float, ...] = RETRY_DELAYS_S
    jitter: float = 0.1
    budget_s: float = 86_400.0
    cancellations: Cancellations | None = None
    """What people have cancelled; None where nobody can."""


@dataclass(frozen=True)
class _Waiting:
    """A record, and when it may be handed on: see HopRules.due_at.

    `read_s` and `due_s` are by the monotonic clock: a wait takes its time, whatever happens to the system's clock.
    """

    record: InboundRecord
    due_at: datetime
    read_s: float
    due_s: float

    def moment(self, now: datetime, now_s: float) -> datetime:
        """Return the present time by the clocks that wrote the record's times: the system's may have been set back."""
        return max(now, self.due_at, self.record.timestamp + timedelta(seconds=now_s - self.read_s))


class RetryRole:
    """Pauses a partition until its first record is due, and keeps polling, so that group membership lives.

    Side effects, in this order:
    1. The record is produced to thumbnail.due and acknowledged by all replicas. Dying here sends it twice: the worker's
       results are the same both times. A record that must wait longer than its tier is produced to a retry topic again.
       A cancelled record also goes to the worker, which gives it up. A cleanup is produced to thumbnail.cleanup.
    2. Its offset is committed. Dying before the first leaves the record where it is.
    """

    def __init__(
        self,
        clients: KafkaClients,
        options: RetryOptions,
        metrics: Metrics,
        *,
        tracing: Tracing = NO_TRACING,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._topics: Final = [*options.topics.retries, options.topics.cleanup_waiting]
        self._cleanups: Final = options.topics.cleanup_waiting
        self._rules: Final = HopRules(options.delays_s, options.jitter, options.budget_s, options.topics)
        self._cancellations: Final = options.cancellations
        self._consumer: Final = clients.consumer
        self._monotonic: Final = clients.monotonic
        self._metrics: Final = metrics
        self._tracing: Final = tracing
        self._now: Final = now
        self._held: Final[dict[TopicPartition, deque[_Waiting]]] = {}
        """Records that were fetched and are not handed on, of each partition in its order: no more than one batch."""
        self._paused: Final[dict[TopicPartition, int]] = {}
        """Partitions whose first held record is not due, and the offset to go on from after the held ones."""
        self._stopping = False
        self.cluster: Final = ClusterWait(clients, lambda: self._stopping)
        self._seen: Final = RecentIds()
        self._shown_tiers: frozenset[int] = frozenset()
        """The tiers whose next due time the metric shows."""
        self._next_dues_s: tuple[float, ...] = ()
        """When the first held record of each tier is due, as of its last round; another thread may read it."""
        self.last_progress_at = time.monotonic()
        self.positions: Final = Positions()
        self.owned: frozenset[TopicPartition] = frozenset()
        """The partitions that the group has given to this role, as of its last round."""

    @property
    def overdue(self) -> int:
        """Return in how many tiers a record should have been handed on by now."""
        now_s = self._monotonic()
        return sum(due_s <= now_s for due_s in self._next_dues_s)

    def stop(self) -> None:
        """Ask run() to end after the batch that it is working on; safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Work until stop(). Raises KafkaException when records cannot be consumed, handed on or committed."""
        start = self.positions.starter()
        self._consumer.subscribe(self._topics, on_assign=start, on_revoke=self._forget, on_lost=self._forget)
        try:
            while not self._stopping:
                self._read()
                self._hand_on_what_is_due()
                self._show_what_is_next()
                self.owned = assigned_to(self._consumer)
                self.last_progress_at = time.monotonic()
        finally:
            self._consumer.close()
            if self._cancellations is not None:
                self._cancellations.close()

    def _read(self) -> None:
        """Hold what is there, or comes before the next record is due: a batch that is waited for would be late.

        Records are held before more are read, because a read may revoke partitions together with their held records.
        """
        soonest_s = min((held[0].due_s for held in self._held.values()), default=None)
        wait_s = POLL_S if soonest_s is None else soonest_s - self._monotonic()
        first = read_records(self._consumer, 1, min(max(wait_s, 0.0), POLL_S))
        self._hold(first)
        if first:
            self._hold(read_records(self._consumer, BATCH - 1, 0.0, after=first))

    def _forget(self, _consumer: KafkaConsumer, partitions: list[PartitionOffset]) -> None:
        for partition in partitions_of(partitions):
            self._held.pop(partition, None)
            self._paused.pop(partition, None)

    def _hold(self, records: list[InboundRecord]) -> None:
        now, now_s = self._now(), self._monotonic()
        self.positions.read_all(records)
        for record in records:
            partition = (record.topic, record.partition)
            # What was on its way when its partition was paused is read again after the held ones: it may not be all.
            if partition not in self._paused:
                due_at = self._rules.due_at(record, now)
                waiting = _Waiting(record, due_at, now_s, now_s + (due_at - now).total_seconds())
                self._held.setdefault(partition, deque()).append(waiting)

    def _hand_on_what_is_due(self) -> None:
        """From the first record that is not due on, its partition waits; the others go on."""
        now_s = self._monotonic()
        due: list[_Waiting] = []
        for partition, held in list(self._held.items()):
            while held and held[0].due_s <= now_s:
                due.append(held.popleft())
            if held and partition not in self._paused:
                pause(self._consumer, partition)
                self._paused[partition] = held[-1].record.offset + 1
            if not held:
                del self._held[partition]
        if due:
            self._hand_on(due)
        for partition in [partition for partition in self._paused if partition not in self._held]:
            resume_at(self._consumer, partition, self._paused.pop(partition))

    def _hand_on(self, due: list[_Waiting]) -> None:
        started, now, now_s = time.perf_counter(), self._now(), self._monotonic()
        received = [self._tracing.receive(waiting.record) for waiting in due]
        moments = [waiting.moment(now, now_s) for waiting in due]
        cancelled = self._find_cancelled(due)
        hops = [
            self._rules.next_hop(record, at) if mark is None else self._rules.cancelled(record, mark)
            for (record, _), at, mark in zip(received, moments, cancelled, strict=True)
        ]
        self.cluster.send([hop.record for hop in hops], self._tracing)
        records = [waiting.record for waiting in due]
        if self.cluster.commit(next_offsets(records)):
            self._count(records)
        self._metrics.task_execution_duration_seconds.labels("retry").observe(time.perf_counter() - started)
        self._metrics.last_progress_timestamp_seconds.set_to_current_time()
        for (record, span), hop, waiting, mark in zip(received, hops, due, cancelled, strict=True):
            span.set_attributes({"thumbnail.retry.waited_s": round((now - record.timestamp).total_seconds(), 3)})
            span.end()
            number = h.get_header(record.headers, h.RETRY_ATTEMPT)
            if hop.late_s is not None and record.topic != self._cleanups:
                late_s = min(hop.late_s, now_s - waiting.due_s)  # not by the hour that the system's clock was set on
                self._metrics.retry_lateness_seconds.observe(late_s, exemplar_of(h.trace_id(record.headers)))
            if record.topic == self._cleanups:
                continue  # the worker's line `objects_cleaned` follows
            if mark is not None:
                log.info("retry_cancelled", retry=number, by=mark.by, note=mark.note, **record.log_fields)
                continue
            log.info("retry_republished", retry=number, to=hop.record.topic, **record.log_fields)

    def _find_cancelled(self, due: list[_Waiting]) -> list[Mark | None]:
        if self._cancellations is None:
            return [None] * len(due)
        self._cancellations.look()
        return [self._cancellations.of(waiting.record) for waiting in due]

    def _count(self, committed: list[InboundRecord]) -> None:
        """Count each record once: what could not be committed is handed on, and counted, by its next owner."""
        for record in committed:
            if self._seen.add(place_of(record)):
                self._metrics.task_execution_total.labels(TaskType.RETRY, "success").inc()
            else:
                self._metrics.redelivered_total.labels(TaskType.RETRY).inc()

    def _show_what_is_next(self) -> None:
        """Set when the first held record of each tier is due; remove a tier in which none waits."""
        gauge, next_dues_s = self._metrics.next_retry_due_timestamp_seconds, []
        now, now_s = self._now().timestamp(), self._monotonic()
        for tier, topic in enumerate(self._topics, start=1):
            dues_s = [held[0].due_s for partition, held in self._held.items() if partition[0] == topic]
            next_dues_s += [min(dues_s)] if dues_s else []
            if topic == self._cleanups:
                continue
            if dues_s:
                gauge.labels(tier).set(now + min(dues_s) - now_s)
            elif tier in self._shown_tiers:
                gauge.remove(tier)
            self._shown_tiers = self._shown_tiers | {tier} if dues_s else self._shown_tiers - {tier}
        self._next_dues_s = tuple(next_dues_s)
