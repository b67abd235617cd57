"""The parts of confluent-kafka's consumer and producer that this package uses, so that a double can stand in for them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import confluent_kafka
from confluent_kafka import KafkaError, Message
from confluent_kafka.admin._metadata import ClusterMetadata

METADATA_REFRESH_MS: Final = 30_000
"""How often every client asks for its topics' partitions: new ones are read within a minute, instead of five by default."""

TopicPartition = tuple[str, int]
"""A topic and the number of one of its partitions."""
PartitionOffset = confluent_kafka.TopicPartition
"""The client's: a partition, and an offset in it."""

BEGINNING: Final = confluent_kafka.OFFSET_BEGINNING
END: Final = confluent_kafka.OFFSET_END
"""Moments that ask for a partition's first offset, and for the one after its last record."""

RebalanceCallback = Callable[[Any, list[PartitionOffset]], None]
"""Takes the consumer and the partitions."""
DeliveryCallback = Callable[[KafkaError | None, Message], None]
"""Takes None, or the reason why the record was not acknowledged."""


class KafkaConsumer(Protocol):
    """A consumer as `confluent_kafka.Consumer`; `tests/contracts/test_kafka_contract.py` holds its promises."""

    def subscribe(
        self,
        topics: list[str],
        on_assign: RebalanceCallback = ...,
        on_revoke: RebalanceCallback = ...,
        on_lost: RebalanceCallback = ...,
    ) -> None:
        """Join the group; the callbacks are called inside `consume`, `poll` and `close`."""

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        """Return `num_messages` records and errors, or fewer once `timeout` is over."""

    def poll(self, timeout: float = -1) -> Message | None:
        """Return the next record or error, or None once `timeout` is over."""

    def assign(self, partitions: list[PartitionOffset]) -> None:
        """Read exactly these partitions, each from its offset, or from the group's committed one."""

    def unassign(self) -> None:
        """Read no partition."""

    def assignment(self) -> list[PartitionOffset]:
        """Return the partitions that are read, paused ones included."""

    def pause(self, partitions: list[PartitionOffset]) -> None:
        """Return no records of these until `resume`, also when they leave and come back meanwhile."""

    def resume(self, partitions: list[PartitionOffset]) -> None:
        """Go on after the last record that was returned."""

    def seek(self, partition: PartitionOffset) -> None:
        """Go on from the offset in `partition`, which must be assigned."""

    def commit(self, *, offsets: list[PartitionOffset], asynchronous: Literal[False]) -> list[PartitionOffset]:
        """Commit and wait for it. Raises KafkaException when the group refuses."""

    def committed(self, partitions: list[PartitionOffset], timeout: float = -1) -> list[PartitionOffset]:
        """Return the group's offsets; a negative one where it has none."""

    def offsets_for_times(self, partitions: list[PartitionOffset], timeout: float = -1) -> list[PartitionOffset]:
        """Return the first offset at or after each moment, in milliseconds; -2 and -1 ask for start and end."""

    def get_watermark_offsets(
        self, partition: PartitionOffset, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        """Return the first offset and the end, as the isolation level shows it."""

    def list_topics(self, topic: str = ..., timeout: float = -1) -> ClusterMetadata:
        """Return one topic, or all, with their partitions; the error of a topic that is missing stands in it."""

    def close(self) -> None:
        """Call `on_revoke` for what is assigned, then leave the group."""


MakeConsumer = Callable[[Mapping[str, Any]], KafkaConsumer]
"""Returns a consumer of one group; takes librdkafka's settings that differ from the role's."""


class KafkaProducer(Protocol):
    """A producer as `confluent_kafka.Producer`."""

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        *,
        partition: int = -1,
        on_delivery: DeliveryCallback | None = None,
        timestamp: int = 0,
        headers: Any = None,
    ) -> None:
        """Queue a record. Raises BufferError when the queue is full, KafkaException when the record cannot be sent."""

    def poll(self, timeout: float = -1) -> int:
        """Call the delivery callbacks that are due; return their number."""

    def flush(self, timeout: float = -1) -> int:
        """Wait until every queued record is acknowledged or refused; return how many are neither in time."""


@dataclass(frozen=True)
class KafkaClients:
    """A role's consumer and producer, made in the composition root, for one run of one role.

    The role's `run()` closes the consumer as its last act: that leaves the group, and calls `on_revoke` for the last
    time. Nobody closes the producer: it holds nothing once `send_and_wait` has returned.
    """

    consumer: KafkaConsumer
    producer: KafkaProducer
    monotonic: Callable[[], float] = time.monotonic
    """The clock by which the consumer's waits are measured, in seconds."""
