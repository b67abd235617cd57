"""Tracks what a role reads of its partitions, and where records that it should have read never came."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from confluent_kafka import KafkaException

from streams.kafka.client import partitions_of
from streams.kafka.ports import KafkaConsumer, PartitionOffset, RebalanceCallback, TopicPartition
from streams.kafka.records import InboundRecord

ASK_TIMEOUT_S: Final = 5.0
MAX_GAPS: Final = 10_000
"""So many are kept while nobody asks: each transaction of a producer leaves one."""


@dataclass(frozen=True)
class Gap:
    """Offsets of one partition that were passed over: from `start` to before `end`.

    They hold the markers of transactions, records of aborted ones, or records that were removed.
    """

    partition: TopicPartition
    start: int
    end: int


@dataclass(frozen=True)
class Open:
    """Questions that only the broker can answer: gaps, and partitions that were begun without a committed offset.

    `uncommitted` has the Unix time in milliseconds of each beginning.
    """

    gaps: tuple[Gap, ...] = ()
    uncommitted: Mapping[TopicPartition, int] = field(default_factory=dict)


class Positions:
    """Threads may share it: a role says what it reads, and its observer asks."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now: Final = now
        self._lock: Final = Lock()
        self._next: Final[dict[TopicPartition, int]] = {}
        self._gaps: list[Gap] = []
        self._uncommitted: Final[dict[TopicPartition, int]] = {}

    def begin(self, committed: Mapping[TopicPartition, int | None]) -> None:
        """Take the group's offsets of partitions that were assigned; None where it has committed none.

        A topic of which the group has none at all is an open question; a single partition may be a new one.
        """
        known = {topic for (topic, _), offset in committed.items() if offset is not None}
        with self._lock:
            for partition, offset in committed.items():
                self._next.pop(partition, None)
                if offset is not None:
                    self._next[partition] = offset
                elif partition[0] not in known:
                    self._uncommitted[partition] = int(self._now() * 1000)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Track partitions no more that were taken away."""
        with self._lock:
            for partition in partitions:
                self._next.pop(partition, None)

    def read(self, partition: TopicPartition, offset: int) -> None:
        """Note that a record was read, in the order of its partition; one that comes again changes nothing."""
        with self._lock:
            expected = self._next.get(partition, offset)
            if offset > expected and len(self._gaps) < MAX_GAPS:
                self._gaps.append(Gap(partition, expected, offset))
            self._next[partition] = max(expected, offset + 1)

    def read_all(self, records: Iterable[InboundRecord]) -> None:
        """Note that records were read."""
        for record in records:
            self.read((record.topic, record.partition), record.offset)

    def passed_over(self, ends: Mapping[TopicPartition, int]) -> tuple[Gap, ...]:
        """Return the gaps in front of ends up to which no record is left, and go on from there."""
        with self._lock:
            gaps = tuple(
                Gap(partition, self._next[partition], end)
                for partition, end in ends.items()
                if self._next.get(partition, end) < end
            )
            self._next.update({gap.partition: gap.end for gap in gaps})
            self._gaps += gaps
            return gaps

    def open(self) -> Open:
        """Return the questions that are open."""
        with self._lock:
            return Open(tuple(self._gaps), dict(self._uncommitted))

    def answered(self, questions: Open) -> None:
        """Close questions that open() returned."""
        with self._lock:
            del self._gaps[: len(questions.gaps)]
            for partition in questions.uncommitted:
                self._uncommitted.pop(partition, None)

    def starter(self) -> RebalanceCallback:
        """Return what starts partitions that were assigned to a librdkafka consumer, as `on_assign`.

        It resumes them, because librdkafka 2.16 remembers the pause of a partition that went to another member.
        """

        def start(consumer: KafkaConsumer, partitions: list[PartitionOffset]) -> None:
            self.forget(partitions_of(partitions))
            try:
                found = consumer.committed(partitions, timeout=ASK_TIMEOUT_S)
            except KafkaException:
                found = []  # nothing but this check needs them: the consumer asks by itself
            self.begin(
                {
                    (one.topic, one.partition): one.offset if one.offset >= 0 else None
                    for one in found
                    if one.error is None
                }
            )
            consumer.assign(partitions)
            consumer.resume(partitions)

        return start
