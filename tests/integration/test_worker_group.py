"""The worker's Faust client as a member of its group, on a real broker: what it is given, and what it logs."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from service.kafka.clients import producer_config
from service.kafka.topics import create_topics
from service.observability.log_limits import LimitLibraries, RepeatLimit
from service.settings import KafkaSettings
from streams.worker.faust.client import FaustClient, FaustStream
from streams.worker.options import WorkerOptions
from tests.servers.kafka.apache import ApacheKafka

SOON_S: Final = 1.0
"""After so long Faust's own look takes a partition for stuck; 300 s unless it is set."""


@pytest.fixture
def settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    made = KafkaSettings(kafka_bootstrap_servers=kafka, kafka_topic_prefix=topic_prefix, kafka_replication_factor=1)
    create_topics(made)
    return made


@asynccontextmanager
async def a_worker(
    settings: KafkaSettings, unacknowledged: list[bytes] | None = None, **options: Any
) -> AsyncIterator[FaustClient]:
    """A member that acknowledges every event at once, or puts its value into `unacknowledged`."""
    client = FaustClient(
        WorkerOptions(
            settings.kafka_bootstrap_servers,
            f"{settings.kafka_topic_prefix}group",
            concurrency=2,
            topics=settings.topics,
            session_timeout_s=6,
            heartbeat_s=0.5,
            commit_interval_s=0.2,
            **options,
        )
    )
    client.app.conf.stream_processing_timeout = SOON_S
    client.app.conf.broker_commit_livelock_soft_timeout = SOON_S

    async def consume(events: FaustStream) -> None:
        while True:
            try:
                event = await anext(events)
            except StopAsyncIteration:
                return
            if unacknowledged is None:
                await events.ack(event)
            else:
                unacknowledged.append(events.record(event).value or b"")
                events.forget(event)

    client.declare_agents(consume, lambda _partitions: None)
    await client.app.start()
    try:
        yield client
    finally:
        await client.app.stop()


async def until(what: Callable[[], object], timeout_s: float = 40.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not what():  # noqa: ASYNC110 - the clients have no event for it
            await asyncio.sleep(0.1)


def shares(clients: Sequence[FaustClient]) -> list[Counter[str]]:
    """How many partitions of each topic each of them has."""
    return [Counter(topic.rpartition(".")[2] for topic, _ in client.owned()) for client in clients]


def is_divided(clients: Sequence[FaustClient]) -> bool:
    owned = [partition for client in clients for partition in client.owned()]
    return len(owned) == len(set(owned)) == 15


def test_what_comes_during_a_rebalance_of_a_new_group_is_read_after_it(settings: KafkaSettings) -> None:
    """Faust drops it, and seeks to what is committed: which is nothing in a new group, or in a new partition."""
    topic = f"{settings.kafka_topic_prefix}media.uploaded"
    producer, seen = Producer(producer_config(settings)), list[bytes]()

    async def scenario() -> None:
        async with a_worker(settings, seen) as client:
            await until(lambda: is_divided([client]))
            consumer: Any = client.app.consumer
            for partition in range(6):  # what is asked for just then comes in time, or is asked for again
                consumer.stop_flow()  # as when a rebalance begins
                producer.produce(topic, b"%d" % partition, partition=partition)
                producer.flush(10)
                await consumer.wait_for_stopped_flow()
                await consumer.perform_seek()  # as when it ends
                consumer.resume_flow()
                await until(lambda: b"%d" % partition in seen, timeout_s=10)  # noqa: B023 - awaited here

    asyncio.run(scenario())


def test_a_fourth_worker_and_a_restarted_one_get_their_share(settings: KafkaSettings) -> None:
    """Faust's own division left the fourth without uploads: three had two partitions each."""

    async def scenario() -> None:
        async with AsyncExitStack() as group:
            clients = [await group.enter_async_context(a_worker(settings)) for _ in range(3)]
            await until(lambda: is_divided(clients))
            assert shares(clients) == [Counter(uploaded=2, due=2, cleanup=1)] * 3
            for _ in ("the fourth", "its successor"):
                async with a_worker(settings) as fourth:
                    await until(lambda: is_divided([*clients, fourth]))
                    found = shares([*clients, fourth])
                    assert sorted(share["uploaded"] for share in found) == [1, 1, 2, 2]
                    assert {share["uploaded"] + share["cleanup"] for share in found} == {2, 3}
                    assert all(share["due"] == share["uploaded"] for share in found)

    asyncio.run(scenario())


class Lines(logging.Handler):
    """What would be shown, warnings and worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(LimitLibraries(RepeatLimit()))
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{record.levelname} {record.name}: {record.getMessage()}")


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def test_a_healthy_worker_logs_no_warning_while_it_idles_rebalances_and_gets_bursts(
    settings: KafkaSettings, lines: Lines
) -> None:
    """Faust's own look logged an error for each partition when a rebalance came later than 5 minutes after the start."""

    def publish(count: int) -> None:
        producer = Producer(producer_config(settings))
        for number in range(count):
            producer.produce(settings.topics.uploads, b"x", f"video:{number}".encode())
        assert producer.flush(10) == 0

    async def scenario() -> None:
        async with a_worker(settings) as first:
            await until(lambda: is_divided([first]))
            await asyncio.sleep(1.5 * SOON_S)  # idle
            async with a_worker(settings) as second:
                await until(lambda: is_divided([first, second]))
                await asyncio.sleep(1.5 * SOON_S)
                await asyncio.to_thread(publish, 2000)
                await asyncio.sleep(1.5 * SOON_S)
            await until(lambda: is_divided([first]))
            await asyncio.sleep(1.5 * SOON_S)

    asyncio.run(scenario())
    assert lines.texts == []


def test_the_first_start_on_a_new_cluster_is_no_error_and_a_broker_that_dies_is_one(
    own_kafka: ApacheKafka, lines: Lines
) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=own_kafka.bootstrap_servers, kafka_replication_factor=1)
    create_topics(settings)

    async def scenario() -> list[str]:
        async with a_worker(settings) as worker:
            await until(lambda: is_divided([worker]))
            before = list(lines.texts)
            await asyncio.to_thread(own_kafka.kill)
            await until(lambda: lines.texts != before)
            await asyncio.to_thread(own_kafka.start)
            return before

    assert asyncio.run(scenario()) == []
