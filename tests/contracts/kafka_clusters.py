"""What the contract of the Kafka clients is asked of: the in-memory double, and a real cluster."""

import time
import uuid
from collections.abc import Callable
from typing import Any, Final, Protocol

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from service.kafka.clients import client_config, consumer_config, producer_config
from service.settings import KafkaSettings
from streams.kafka.ports import KafkaConsumer, KafkaProducer
from tests.doubles.memory_kafka.broker import MemoryBroker
from tests.doubles.memory_kafka.clock import VirtualClock
from tests.doubles.memory_kafka.consumer import MemoryConsumer
from tests.doubles.memory_kafka.producer import MemoryProducer

MAX_POLL_INTERVAL_S: Final = 6.0
"""A member that does not poll for longer is evicted; no broker allows much less."""


class TransactionalProducer(KafkaProducer, Protocol):
    def init_transactions(self) -> None: ...
    def begin_transaction(self) -> None: ...
    def commit_transaction(self) -> None: ...
    def abort_transaction(self) -> None: ...


class Cluster(Protocol):
    """Topics and clients, and the time in which they live."""

    def topic(self, partitions: int = 1) -> str: ...
    def consumer(self, group: str, **config: Any) -> KafkaConsumer: ...
    def producer(self, *, queue_size: int = ...) -> KafkaProducer: ...
    def transactional_producer(self) -> TransactionalProducer: ...
    def monotonic(self) -> float: ...
    def wait_until(self, what: Callable[[], bool], timeout_s: float) -> None: ...


class MemoryCluster:
    def __init__(self) -> None:
        self._clock = VirtualClock()
        self._broker = MemoryBroker(self._clock)

    def topic(self, partitions: int = 1) -> str:
        name = f"topic-{uuid.uuid4().hex[:8]}"
        self._broker.create_topic(name, partitions)
        return name

    def consumer(self, group: str, **config: Any) -> KafkaConsumer:
        return MemoryConsumer(self._broker, group, {"max.poll.interval.ms": MAX_POLL_INTERVAL_S * 1000} | config)

    def producer(self, *, queue_size: int = 1000) -> KafkaProducer:
        return MemoryProducer(self._broker, queue_size=queue_size)

    def transactional_producer(self) -> TransactionalProducer:
        return MemoryProducer(self._broker)

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def wait_until(self, what: Callable[[], bool], timeout_s: float) -> None:
        deadline = self.monotonic() + timeout_s
        while not what():
            assert self.monotonic() < deadline, "it did not happen in time"
            self._clock.wait(0.1)


class RealCluster:
    def __init__(self, servers: str) -> None:
        self._settings = KafkaSettings(kafka_bootstrap_servers=servers, kafka_session_timeout_s=MAX_POLL_INTERVAL_S)
        self._admin = AdminClient(client_config(self._settings))
        self._topics: list[str] = []

    def topic(self, partitions: int = 1) -> str:
        name = f"contract-{uuid.uuid4().hex[:8]}"
        for made in self._admin.create_topics([NewTopic(name, partitions, 1)]).values():
            made.result()
        self._topics.append(name)
        return name

    def consumer(self, group: str, **config: Any) -> KafkaConsumer:
        changes = {
            "max.poll.interval.ms": int(MAX_POLL_INTERVAL_S * 1000),
            "heartbeat.interval.ms": 100,
            "fetch.wait.max.ms": 20,
        }
        return Consumer(consumer_config(self._settings, group) | changes | config)

    def producer(self, *, queue_size: int = 1000) -> KafkaProducer:
        return Producer(producer_config(self._settings) | {"queue.buffering.max.messages": queue_size})

    def transactional_producer(self) -> TransactionalProducer:
        return Producer(producer_config(self._settings) | {"transactional.id": uuid.uuid4().hex})

    def monotonic(self) -> float:
        return time.monotonic()

    def wait_until(self, what: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.1)

    def close(self) -> None:
        """Delete what was made, also from a cluster that is not ours."""
        if self._topics:
            for gone in self._admin.delete_topics(self._topics).values():
                gone.result()
