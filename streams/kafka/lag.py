"""How far a consumer group is behind, in records and in time, without a consumer that joins it."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.kafka.client import Place
from streams.kafka.group_offsets import committed_of, ends_of

ASK_TIMEOUT_S: Final = 10.0
"""A broker that has just been made first makes the topic of offsets, when it is asked for any."""
FETCH_TIMEOUT_S: Final = 5.0

_SMALL_FETCHES: Final = {
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    # One record of each partition is wanted; the broker gives at least one batch, whatever its size.
    "fetch.message.max.bytes": 1024,
    "queued.min.messages": 1,
    "fetch.wait.max.ms": 20,
    "log_level": 0,
    "error_cb": lambda _error: None,
}


@dataclass(frozen=True)
class Head:
    """The oldest record of a partition that was not processed."""

    offset: int
    timestamp_ms: int


@dataclass(frozen=True)
class PartitionLag:
    """What of a partition is not processed: `records` at most, since a marker of a transaction counts as one.

    `head` is None where there is nothing, and where it could not be read in time.
    """

    records: int
    head: Head | None


class LagReader:
    """Asks two questions of the cluster a reading, and reads the oldest unprocessed record of partitions that have one.

    A head that was read before is not read again. `group` is the one that is asked about; nothing joins it, or commits
    for it. One thread at a time.
    """

    def __init__(self, config: Mapping[str, Any], group: str) -> None:
        """`config` is what reaches the cluster. Connects at the first reading."""
        self._group: Final = group
        self._consumer: Final = Consumer(dict(config) | _SMALL_FETCHES | {"group.id": group})
        self._heads: dict[Place, tuple[int, Head | None]] = {}
        """By their place: the offset that was read from, and what was found."""

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def read(self, places: Iterable[Place]) -> dict[Place, PartitionLag]:
        """The lag of each of `places`. Raises KafkaException when no broker answers in time."""
        wanted = sorted(places)
        if not wanted:
            self._heads.clear()
            return {}
        found, ends = (
            committed_of(self._consumer, wanted, ASK_TIMEOUT_S),
            ends_of(self._consumer, wanted, ASK_TIMEOUT_S),
        )
        # Where it has committed nothing, the group begins with the earliest.
        committed = {place: found.get(place, 0) for place in wanted}
        behind = {place: committed[place] for place in wanted if ends[place] > committed[place]}
        # That nothing was there is not remembered: something may have come since.
        self._heads = {
            place: (at, head) for place, (at, head) in self._heads.items() if head and behind.get(place) == at
        }
        self._fetch({place: start for place, start in behind.items() if place not in self._heads})
        return {place: self._lag(place, behind.get(place), ends[place]) for place in wanted}

    def _lag(self, place: Place, start: int | None, end: int) -> PartitionLag:
        if start is None:
            return PartitionLag(0, None)
        if place not in self._heads:
            return PartitionLag(end - start, None)
        _, head = self._heads[place]
        # Without a head there is nothing but markers of transactions, or what retention has deleted meanwhile.
        return PartitionLag(0 if head is None else end - head.offset, head)

    def _fetch(self, starts: Mapping[Place, int]) -> None:
        """Read the first record from each start on; a partition that gives none in time is asked again next time."""
        missing = dict(starts)
        if not missing:
            return
        self._consumer.assign([TopicPartition(*place, start) for place, start in missing.items()])
        until = time.monotonic() + FETCH_TIMEOUT_S
        try:
            while missing and time.monotonic() < until:
                message = self._consumer.poll(0.2)
                if message is None:
                    continue
                place, error = (message.topic() or "", message.partition() or 0), message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    if error.fatal() or not error.retriable():
                        raise KafkaException(error)
                elif place in missing:
                    head = None if error is not None else Head(message.offset() or 0, message.timestamp()[1])
                    self._heads[place] = (missing.pop(place), head)
        finally:
            self._consumer.unassign()
