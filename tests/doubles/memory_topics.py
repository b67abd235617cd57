"""A small in-memory Kafka for tests of readers."""

from collections.abc import Mapping
from typing import Any

from tests.doubles.memory_kafka.broker import MemoryBroker
from tests.doubles.memory_kafka.clock import VirtualClock
from tests.doubles.memory_kafka.consumer import MemoryConsumer
from tests.doubles.memory_kafka.producer import MemoryProducer


class Kafka:
    """A topic `t` with three partitions, and the consumers that were made."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.broker = MemoryBroker(self.clock)
        self.broker.create_topic("t", 3)
        self.made: list[MemoryConsumer] = []

    def make_consumer(self, config: Mapping[str, Any]) -> MemoryConsumer:
        self.made.append(MemoryConsumer(self.broker, "group", config))
        return self.made[-1]

    def put(self, partition: int, *values: bytes) -> None:
        for value in values:
            self.broker.put(("t", partition), value)

    def transact(self, *values: bytes, commit: bool = True) -> None:
        """Write to partition 0; the end of the transaction takes an offset."""
        producer = MemoryProducer(self.broker)
        producer.begin_transaction()
        for value in values:
            producer.produce("t", value, partition=0)
        producer.flush()
        if commit:
            producer.commit_transaction()
        else:
            producer.abort_transaction()

    def commit(self, partition: int, offset: int) -> None:
        self.broker.group("group").committed["t", partition] = offset
