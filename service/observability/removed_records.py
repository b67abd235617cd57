"""Finds records that were removed before a role read them, and groups that have lost their offsets."""

from collections.abc import Callable, Collection, Mapping
from typing import Final

import structlog

from schemas.metrics import Metrics
from schemas.topics import ALL_TOPICS, MEDIA_NOTIFICATIONS, Topics
from streams.kafka.lag import PartitionLag
from streams.kafka.ports import BEGINNING, END, TopicPartition
from streams.kafka.positions import Gap, Positions

log = structlog.get_logger(__name__)

OffsetsAt = Callable[[Collection[TopicPartition], int], Mapping[TopicPartition, int]]
"""Returns the first offset at or after a moment of each partition, negative without any."""


def topic_label(topics: Topics, name: str) -> str:
    """Return the value of a metric's label: the topic's name without KAFKA_TOPIC_PREFIX."""
    known = (topic.name for topic in (*ALL_TOPICS, MEDIA_NOTIFICATIONS) if topics.name_of(topic) == name)
    return next(known, "other")


def removed(committed: int, low: int, *, is_uploads: bool) -> int:
    """Return how many records were removed between two offsets, at most.

    One offset alone on a topic of ours is taken for the marker of a transaction, such as a replay's.
    """
    count = max(0, low - committed)
    return count if is_uploads or count > 1 else 0


class RemovedRecords:
    """Looks after a role's positions. A look asks the broker only when something was passed over."""

    def __init__(self, metrics: Metrics, topics: Topics, group: str, positions: Positions) -> None:
        self._counter: Final = metrics.removed_unread_total
        self._topics: Final = topics
        self._group: Final = group
        self._positions: Final = positions

    def look(self, lags: Mapping[TopicPartition, PartitionLag], offsets_at: OffsetsAt) -> None:
        """Log and count what was removed unread. `lags` are of the role's partitions; what `offsets_at` raises goes on."""
        for topic in {topic for topic, _ in lags}:
            self._counter.labels(topic_label(self._topics, topic))  # a series that begins with 0 has an increase
        self._positions.passed_over({where: lag.end for where, lag in lags.items() if not lag.records})
        questions = self._positions.open()
        partitions = {gap.partition for gap in questions.gaps} | questions.uncommitted.keys()
        if not partitions:
            return
        lows = offsets_at(partitions, BEGINNING)
        found = self._records_of(questions.uncommitted, lows, offsets_at)
        self._positions.answered(questions)
        for gap in questions.gaps:
            self._report(gap, min(lows[gap.partition], gap.end))
        for topic, (count, records) in found.items():
            log.warning("group_offsets_missing", topic=topic, group=self._group, partitions=count, records=records)

    def _report(self, gap: Gap, low: int) -> None:
        topic, partition = gap.partition
        count = removed(gap.start, low, is_uploads=topic == self._topics.uploads)
        if count:
            self._counter.labels(topic_label(self._topics, topic)).inc(count)
            log.error(
                "records_removed_unread",
                topic=topic,
                partition=partition,
                group=self._group,
                from_offset=gap.start,
                to_offset=low,
                records=count,
            )

    @staticmethod
    def _records_of(
        begun: Mapping[TopicPartition, int], lows: Mapping[TopicPartition, int], offsets_at: OffsetsAt
    ) -> dict[str, tuple[int, int]]:
        """Return by topic how many partitions held records as they were begun without an offset, and how many records."""
        found: dict[str, tuple[int, int]] = {}
        for where, begun_ms in begun.items():
            first_later = offsets_at([where], begun_ms)[where]
            end = first_later if first_later >= 0 else offsets_at([where], END)[where]
            if end > lows[where]:
                partitions, records = found.get(where[0], (0, 0))
                found[where[0]] = (partitions + 1, records + end - lows[where])
        return found
