"""Records and offsets, read from the broker as anybody could. Shares no code with the product."""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

TOPICS: Final = (
    "media.uploaded",
    "thumbnail.due",
    "thumbnail.retry.1",
    "thumbnail.retry.2",
    "thumbnail.retry.3",
    "thumbnail.ready",
    "thumbnail.failed",
    "thumbnail.deleted",
    "thumbnail.state",
    "thumbnail.cleanup",
    "thumbnail.cleanup.waiting",
    "thumbnail.dlq",
    "thumbnail.ready.dlq",
    "thumbnail.dlq.parked",
)
GROUPS: Final = {
    "thumbnails": ("media.uploaded", "thumbnail.due", "thumbnail.cleanup"),
    "thumbnails-persist": ("thumbnail.ready", "thumbnail.failed", "thumbnail.deleted"),
    "thumbnails-retry": ("thumbnail.retry.1", "thumbnail.retry.2", "thumbnail.retry.3", "thumbnail.cleanup.waiting"),
}
_READ_TIMEOUT_S: Final = 60.0
_MOST_MARKS: Final = 50
"""A replay leaves a mark for each of its batches in each partition; more than so many are work."""


@dataclass(frozen=True)
class Record:
    """One Kafka record, byte for byte."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    def header(self, name: str) -> str:
        """The last value of a name, as text; empty where there is none."""
        values = [value for known, value in self.headers if known == name]
        return (values[-1] or b"").decode("utf-8", "replace") if values else ""

    @property
    def place(self) -> tuple[str, str, str]:
        """Topic, partition and offset, as headers name them."""
        return self.topic, str(self.partition), str(self.offset)

    @property
    def key_text(self) -> str:
        return (self.key or b"").decode("utf-8", "replace")

    @cached_property
    def event(self) -> dict[str, Any]:
        """The JSON object in the value; empty where there is none."""
        try:
            found = json.loads(self.value or b"")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def read_topic(bootstrap_servers: str, topic: str) -> list[Record]:
    """Every committed record of a topic."""
    consumer = _consumer(bootstrap_servers, f"oracle-{uuid.uuid4()}")
    try:
        starts = [TopicPartition(topic, partition, 0) for partition in _ends(consumer, topic)]
        return list(_read(consumer, starts))
    finally:
        consumer.close()


def _read(consumer: Consumer, starts: list[TopicPartition]) -> Iterator[Record]:
    """From `starts` to the ends of their partitions, which may be marks of transactions and no records."""
    consumer.assign(starts)
    reading = {(start.topic, start.partition) for start in starts}
    deadline = time.monotonic() + _READ_TIMEOUT_S
    while reading:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{sorted(reading)} do not come to their ends")
        for message in consumer.consume(500, 0.1):  # it waits that long unless there are so many
            error = message.error()
            if error is None:
                yield _record(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                reading.discard((message.topic(), message.partition()))


def _record(message: Any) -> Record:
    return Record(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        timestamp_ms=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
        headers=tuple(message.headers() or ()),
    )


def read_lags(bootstrap_servers: str) -> tuple[dict[tuple[str, str, int], int], int]:
    """What each group has not committed, and how many records there are in all. Raises KafkaException."""
    lags: dict[tuple[str, str, int], int] = {}
    total = 0
    for group, topics in GROUPS.items():
        consumer = _consumer(bootstrap_servers, group)
        try:
            for topic in topics:
                ends = _ends(consumer, topic)
                total += sum(end - begin for begin, end in ends.values())
                places = [TopicPartition(topic, partition) for partition in ends]
                for place in consumer.committed(places, timeout=10):
                    begin, end = ends[place.partition]
                    behind = end - (place.offset if place.offset >= 0 else begin)
                    if behind and not _are_marks(consumer, topic, place.partition, end - behind, behind):
                        lags[group, topic, place.partition] = behind
        finally:
            consumer.close()
    return lags, total


def _are_marks(consumer: Consumer, topic: str, partition: int, start: int, behind: int) -> bool:
    """Whether nothing but the marks of ended transactions is there from `start` on."""
    if not 0 < behind <= _MOST_MARKS:
        return False
    return next(_read(consumer, [TopicPartition(topic, partition, start)]), None) is None


def _consumer(bootstrap_servers: str, group: str) -> Consumer:
    # It never subscribes, so that it is no member of the group and disturbs none.
    settings: dict[str, Any] = {"bootstrap.servers": bootstrap_servers, "group.id": group, "log_level": 0}
    return Consumer(settings | {"enable.partition.eof": True, "enable.auto.commit": False})


def _ends(consumer: Consumer, topic: str) -> dict[int, tuple[int, int]]:
    metadata = consumer.list_topics(topic, timeout=10).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    return {
        partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        for partition in metadata.partitions
    }


def are_in_sync(bootstrap_servers: str, brokers: int) -> bool:
    """Whether so many brokers answer for each other, and every partition has all of its replicas in sync."""
    try:
        metadata = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0}).list_topics(timeout=5)
    except KafkaException:
        return False
    partitions = [partition for topic in metadata.topics.values() for partition in topic.partitions.values()]
    return len(metadata.brokers) == brokers and all(len(item.isrs) == len(item.replicas) for item in partitions)
