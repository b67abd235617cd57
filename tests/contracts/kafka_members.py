"""Consumers and members of groups, for the contract of the Kafka clients; one thread drives them in turns."""

from collections.abc import Callable, Sequence
from typing import cast

from confluent_kafka import KafkaException, Message, TopicPartition

from streams.kafka.ports import KafkaConsumer
from tests.contracts.kafka_clusters import Cluster

FOREVER_S = 60.0
QUIET_S = 0.5
"""So long nothing must come; what comes wrongly comes within a fetch, some 10 ms."""

Seen = tuple[int, int]
"""Partition and offset."""


def put(cluster: Cluster, topic: str, *values: bytes, partition: int = 0) -> None:
    producer = cluster.producer()
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(30) == 0


def seen(message: Message) -> Seen:
    assert message.error() is None, message.error()
    return cast(int, message.partition()), cast(int, message.offset())


def read(cluster: Cluster, consumer: KafkaConsumer, count: int) -> list[Seen]:
    """The next so many records, in order within each partition."""
    found: list[Seen] = []
    deadline = cluster.monotonic() + FOREVER_S
    while len(found) < count:
        assert cluster.monotonic() < deadline, f"only {found} came"
        found += map(seen, consumer.consume(count - len(found), 0.1))
    return sorted(found)


def poll_until(cluster: Cluster, consumers: Sequence[KafkaConsumer], what: Callable[[], bool]) -> list[list[Seen]]:
    """Poll them in turns; the records that each was given on the way."""
    found: list[list[Seen]] = [[] for _ in consumers]
    deadline = cluster.monotonic() + FOREVER_S
    while not what():
        assert cluster.monotonic() < deadline, "it did not happen in time"
        for consumer, records in zip(consumers, found, strict=True):
            records += map(seen, consumer.consume(100, 0.1))
    return found


def stays_silent(cluster: Cluster, consumer: KafkaConsumer) -> bool:
    until = cluster.monotonic() + QUIET_S
    while (left_s := until - cluster.monotonic()) > 0:
        if consumer.consume(1, left_s):
            return False
    return True


def places(topic: str, *numbers: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in numbers]


def numbers(partitions: Sequence[TopicPartition]) -> list[int]:
    return sorted(partition.partition for partition in partitions)


def commit(consumer: KafkaConsumer, topic: str, partition: int, offset: int) -> None:
    try:
        consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)
    except KafkaException:  # noqa: TRY203 - what leaves a callback of confluent-kafka 2.16 uncaught comes out of close() as none at all
        raise


def committed(cluster: Cluster, group: str, topic: str, partition: int = 0) -> int:
    consumer = cluster.consumer(group)
    try:
        return consumer.committed(places(topic, partition), 30)[0].offset
    finally:
        consumer.close()


class Member:
    """A consumer of a group, with a diary of its callbacks."""

    def __init__(self, cluster: Cluster, group: str, topic: str, on_revoke: Callable[[], None] | None = None) -> None:
        self.diary: list[tuple[str, list[int]]] = []
        self.consumer = cluster.consumer(group)

        def revoke(_consumer: object, partitions: list[TopicPartition]) -> None:
            self.diary.append(("revoke", numbers(partitions)))
            if on_revoke is not None:
                on_revoke()

        def assign(_consumer: object, partitions: list[TopicPartition]) -> None:
            self.diary.append(("assign", numbers(partitions)))

        self.consumer.subscribe([topic], on_assign=assign, on_revoke=revoke)

    def has(self, *partitions: int) -> bool:
        return numbers(self.consumer.assignment()) == [*partitions]


def share(cluster: Cluster, group: str, topic: str) -> tuple[Member, Member]:
    """A member that has paused both partitions, and then one that took one of them."""
    staying = Member(cluster, group, topic)
    poll_until(cluster, [staying.consumer], lambda: staying.has(0, 1))
    staying.consumer.pause(places(topic, 0, 1))
    guest = Member(cluster, group, topic)
    both = [staying.consumer, guest.consumer]
    poll_until(cluster, both, lambda: len(both[0].assignment()) == len(both[1].assignment()) == 1)
    return staying, guest
