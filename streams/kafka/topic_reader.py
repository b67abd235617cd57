"""Reads whole topics without joining a group: what one holds now, or the newest records and then each one as it comes."""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaError
from confluent_kafka import TopicPartition as PartitionOffset

from streams.kafka.client import read_records
from streams.kafka.ports import MakeConsumer, TopicPartition
from streams.kafka.reader import COMMITTED_ONLY, SMALL_FETCHES, Extent, PartitionReader, explained
from streams.kafka.records import InboundRecord

PROBE_EVERY_S: Final = 2.0
PROBE_TIMEOUT_S: Final = 2.5
"""An operator looks on: a broker that says nothing for longer is away."""
BATCH: Final = 200
_WAIT_S: Final = 0.2
_SETTINGS: Final = {
    "log_level": 0,
    "auto.offset.reset": "earliest",  # a topic that was deleted and created again begins at its beginning
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
    "reconnect.backoff.max.ms": 1000,  # an operator looks on
    "topic.metadata.refresh.interval.ms": 10_000,
    "fetch.message.max.bytes": 256 * 1024,
    "queued.max.messages.kbytes": 8 * 1024,
}


class TopicReader:
    """Reads one topic. Close it, or use it in a `with`. Every method raises TopicReadError."""

    def __init__(self, make_consumer: MakeConsumer, topic: str, *, small: bool = False) -> None:
        """Fetch little ahead if `small`: for callers that want one record of each partition."""
        self.topic: Final = topic
        self._reader: Final = PartitionReader(make_consumer(COMMITTED_ONLY | (SMALL_FETCHES if small else {})))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()

    def extents(self) -> dict[int, Extent]:
        """Return what each partition holds now."""
        found = self._reader.extents(self._reader.partitions(self.topic))
        return {number: extent for (_, number), extent in found.items()}

    def since(self, moment: datetime) -> dict[int, Extent]:
        """Return what each partition holds of records that were written at `moment` or later."""
        extents = self.extents()
        asked = [(self.topic, number) for number in extents]
        found = self._reader.offsets_at(asked, int(moment.timestamp() * 1000))
        # A negative offset means that no record is as young.
        return {
            number: Extent(offset if (offset := found[self.topic, number]) >= 0 else extent.high, extent.high)
            for number, extent in extents.items()
        }

    def read(self, extents: Mapping[int, Extent]) -> Iterator[InboundRecord]:
        """Yield every record within `extents`, in order within each partition."""
        return self._reader.read({(self.topic, number): extent for number, extent in extents.items()})


class TopicTail:
    """Begin it, read it while it is whole, and begin it again after that. One thread at a time."""

    def __init__(self, make_consumer: MakeConsumer, topics: tuple[str, ...], newest: int) -> None:
        """Begin with the `newest` records of each partition."""
        self._consumer: Final = make_consumer(_SETTINGS | {"error_cb": self._on_error})
        self._reader: Final = PartitionReader(self._consumer, ask_timeout_s=PROBE_TIMEOUT_S)
        self._topics: Final = topics
        self._newest: Final = newest
        self._partitions: list[TopicPartition] = []
        self._is_cut_off = False
        self._probe_at = 0.0

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    def begin(self) -> None:
        """Go to the newest records. Raises TopicReadError, UnknownTopicError when a topic is missing."""
        self._partitions = self._find_partitions()
        extents = self._reader.extents(self._partitions)
        starts = [PartitionOffset(*where, extents[where].newest(self._newest).low) for where in self._partitions]
        with explained(", ".join(self._topics)):
            self._consumer.assign(starts)
        self._is_cut_off = False
        self._probe_at = time.monotonic() + PROBE_EVERY_S

    def read(self) -> list[InboundRecord]:
        """Return what came, in order within each partition; empty when nothing came for a moment. Raises TopicReadError."""
        with explained(", ".join(self._topics)):
            records = read_records(self._consumer, 1, _WAIT_S)
            return records + (read_records(self._consumer, BATCH - 1, 0.0) if records else [])

    def is_whole(self) -> bool:
        """Return False when all brokers are away, or the topics have other partitions now. Raises TopicReadError."""
        if self._is_cut_off or time.monotonic() >= self._probe_at:
            if self._find_partitions() != self._partitions or self._is_cut_off:
                return False
            self._probe_at = time.monotonic() + PROBE_EVERY_S
        return True

    def _find_partitions(self) -> list[TopicPartition]:
        return [partition for topic in self._topics for partition in self._reader.partitions(topic)]

    def _on_error(self, error: KafkaError) -> None:
        # Not for a single broker that is down: then the others answer.
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - librdkafka's public constants begin so
            self._is_cut_off = True
