"""The consumer of the in-memory broker."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, OFFSET_INVALID, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as Partition
from confluent_kafka.admin._metadata import ClusterMetadata, PartitionMetadata, TopicMetadata

from streams.kafka.ports import RebalanceCallback, TopicPartition
from tests.doubles.memory_kafka.broker import Group, MemoryBroker
from tests.doubles.memory_kafka.client import ScriptedClient


class MemoryConsumer(ScriptedClient):
    """Joins its group as confluent-kafka's does, with the range assignor. `config` has librdkafka's names."""

    def __init__(self, broker: MemoryBroker, group: str, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(broker)
        given = config or {}
        self._group: Group = broker.group(group)
        self._starts_at_end = given.get("auto.offset.reset") == "latest"
        self._tells_ends = bool(given.get("enable.partition.eof"))
        self._committed_only = given.get("isolation.level", "read_committed") == "read_committed"
        self.max_poll_interval_s = given.get("max.poll.interval.ms", 300_000) / 1000
        self.topics: list[str] = []
        self.polled_at = 0.0
        self.is_evicted = False
        self._callbacks: dict[str, RebalanceCallback | None] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._ended: dict[TopicPartition, int] = {}
        """Where the end of a partition was last reported."""
        self._paused: set[TopicPartition] = set()
        self._is_closed = False
        self._callback_assigned = self._knows_of_eviction = False

    def subscribe(
        self,
        topics: list[str],
        on_assign: RebalanceCallback | None = None,
        on_revoke: RebalanceCallback | None = None,
        on_lost: RebalanceCallback | None = None,
    ) -> None:
        self._arrive("subscribe")
        self.topics = list(topics)
        self._callbacks = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost or on_revoke}
        self.polled_at = self._broker.clock.monotonic()
        self._group.join(self)

    def holds_partitions(self) -> bool:
        return bool(self._positions)

    def poll(self, timeout: float = -1) -> Message | None:
        return next(iter(self.consume(1, timeout)), None)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        self._arrive("consume")
        self._check_open()
        clock, found = self._broker.clock, self._reported()
        deadline = clock.monotonic() + (timeout if timeout >= 0 else math.inf)
        while True:
            self.polled_at = clock.monotonic()
            if len(found) < num_messages:
                found = self._serve_rebalance(found)
                found += self._take(num_messages - len(found))
            left_s = deadline - clock.monotonic()
            if len(found) >= num_messages or left_s <= 0:
                return found
            clock.wait(min(left_s, self.max_poll_interval_s), until=self._has_something)

    def _check_open(self) -> None:
        self._stop_the_dead()
        if self._is_closed:
            raise RuntimeError("Consumer closed")

    def _reported(self) -> list[Message]:
        """An error that comes in a record's place."""
        fault = self._fault("consume")
        if isinstance(fault, Exception):
            raise fault
        self._group.expire(self._broker.clock.monotonic())
        if fault is None and self.is_evicted and not self._knows_of_eviction:
            self._knows_of_eviction = True
            fault = KafkaError(KafkaError._MAX_POLL_EXCEEDED)
        return [] if fault is None else [Message(error=fault, timestamp=(0, -1))]

    def _has_something(self) -> bool:
        return self._must_rebalance() or bool(self._take(1, peek=True))

    def _must_rebalance(self) -> bool:
        return self.is_evicted or self in self._group.revoking or any(who is self for who, _ in self._group.assigned)

    def _serve_rebalance(self, found: list[Message]) -> list[Message]:
        """Call what is due of the callbacks; what was found of a partition that goes away is dropped."""
        self._group.expire(self._broker.clock.monotonic())
        if self.is_evicted:
            self._give_up("lost")
            self.is_evicted = self._knows_of_eviction = False
            self._group.join(self)
        if self in self._group.revoking:
            found = [message for message in found if message.error() is not None]
            self._give_up("revoke")
            self._group.revoked(self)
        for who, places in list(self._group.assigned):
            if who is self:
                self._group.assigned.remove((who, places))
                self._call_back("assign", [Partition(*place) for place in places])
        return found

    def _give_up(self, why: Literal["revoke", "lost"]) -> None:
        self._arrive("revoke")
        self._call_back(why, [Partition(*place) for place in sorted(self._positions)])

    def _call_back(self, why: str, partitions: list[Partition]) -> None:
        """Call it, and do what it left undone."""
        callback = self._callbacks.get(why)
        self._callback_assigned = False
        try:
            if callback is not None:
                callback(self, partitions)
        finally:
            if not self._callback_assigned:
                self.assign(partitions if why == "assign" else [])

    def _take(self, limit: int, *, peek: bool = False) -> list[Message]:
        """Up to `limit` records and ends of partitions."""
        found: list[Message] = []
        for place in sorted(self._positions.keys() - self._paused):
            log, position = self._broker.log(place), self._positions[place]
            end = log.end(committed_only=self._committed_only)
            for entry in log.entries[position:end]:
                if len(found) >= limit:
                    break
                position = entry.offset + 1
                if entry.message is not None and entry.is_shown(committed_only=self._committed_only):
                    found.append(entry.message)
            if self._tells_ends and position >= end and len(found) < limit and self._ended.get(place) != position:
                found.append(_end_of(place, position))
                if not peek:
                    self._ended[place] = position
            if not peek:
                self._positions[place] = position
        return found

    def assign(self, partitions: list[Partition]) -> None:
        self._arrive("assign")
        self._check_open()
        self._callback_assigned = True
        self._ended.clear()
        self._positions = {(one.topic, one.partition): self._first_position(one) for one in partitions}

    def _first_position(self, partition: Partition) -> int:
        place = partition.topic, partition.partition
        wanted = partition.offset if partition.offset != OFFSET_INVALID else self._group.committed.get(place)
        if wanted is not None and wanted >= 0:
            return wanted
        at_end = wanted == OFFSET_END or (wanted != OFFSET_BEGINNING and self._starts_at_end)
        return self._broker.log(place).end(committed_only=self._committed_only) if at_end else 0

    def unassign(self) -> None:
        self.assign([])

    def assignment(self) -> list[Partition]:
        self._check_open()
        return [Partition(*place) for place in sorted(self._positions)]

    def pause(self, partitions: list[Partition]) -> None:
        self._arrive("pause")
        self._check_open()
        self._paused |= {(one.topic, one.partition) for one in partitions}

    def resume(self, partitions: list[Partition]) -> None:
        self._arrive("resume")
        self._check_open()
        self._paused -= {(one.topic, one.partition) for one in partitions}

    def seek(self, partition: Partition) -> None:
        self._arrive("seek")
        self._check_open()
        self._raise_fault("seek")
        place = partition.topic, partition.partition
        if place not in self._positions:
            raise KafkaException(KafkaError(KafkaError._STATE, "Failed to seek: Local: Erroneous state"))
        self._positions[place] = partition.offset

    def commit(self, *, offsets: list[Partition], asynchronous: Literal[False]) -> list[Partition]:  # noqa: ARG002
        self._arrive("commit")
        self._check_open()
        self._raise_fault("commit")
        self._group.expire(self._broker.clock.monotonic())
        if self.is_evicted:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "Commit failed: Broker: Unknown member"))
        for one in offsets:
            self._broker.log((one.topic, one.partition))
        for one in offsets:
            self._group.committed[one.topic, one.partition] = one.offset
            self._broker.journal.append(f"committed {one.topic}[{one.partition}]@{one.offset}")
        return offsets

    def committed(self, partitions: list[Partition], timeout: float = -1) -> list[Partition]:  # noqa: ARG002
        self._check_open()
        found = self._group.committed
        return [Partition(p.topic, p.partition, found.get((p.topic, p.partition), OFFSET_INVALID)) for p in partitions]

    def offsets_for_times(self, partitions: list[Partition], timeout: float = -1) -> list[Partition]:  # noqa: ARG002
        self._check_open()
        self._raise_fault("offsets_for_times")
        return [Partition(one.topic, one.partition, self._offset_at(one)) for one in partitions]

    def _offset_at(self, asked: Partition) -> int:
        log = self._broker.log((asked.topic, asked.partition))
        if asked.offset == OFFSET_END:
            return log.end(committed_only=self._committed_only)
        young = (entry.offset for entry in log.entries if entry.timestamp_ms >= asked.offset)
        return 0 if asked.offset == OFFSET_BEGINNING else next(young, OFFSET_END)

    def get_watermark_offsets(
        self,
        partition: Partition,
        timeout: float = -1,  # noqa: ARG002
        cached: bool = False,  # noqa: ARG002
    ) -> tuple[int, int]:
        self._check_open()
        return 0, self._broker.log((partition.topic, partition.partition)).end(committed_only=self._committed_only)

    def list_topics(self, topic: str = "", timeout: float = -1) -> ClusterMetadata:  # noqa: ARG002
        self._check_open()
        cluster = ClusterMetadata()
        for name in [topic] if topic else self._broker.topics():
            found = cluster.topics[name] = TopicMetadata()
            found.partitions = {number: PartitionMetadata() for number in range(self._broker.partitions_of(name))}
            if not found.partitions:
                found.error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
        return cluster

    def close(self) -> None:
        self._arrive("close")
        if self._is_closed:
            return
        try:
            if self.topics and self._positions:
                self._give_up("lost" if self.is_evicted else "revoke")
        finally:
            self._is_closed = True
            self._group.leave(self)

    def kill(self) -> None:
        """Besides, the group notices, as after the session's timeout."""
        super().kill()
        self._positions = {}
        self._group.leave(self)


def _end_of(place: TopicPartition, offset: int) -> Message:
    error = KafkaError(KafkaError._PARTITION_EOF)
    return Message(topic=place[0], partition=place[1], offset=offset, error=error, timestamp=(0, -1))
