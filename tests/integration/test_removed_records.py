"""Records that are removed before they are read, and groups whose offsets are gone, on a real broker: each role says so."""

import asyncio
from collections.abc import Collection
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from structlog.testing import capture_logs

from schemas.metrics import Metrics
from service.kafka.clients import consumer_config, consumers_of, producer_config
from service.observability.removed_records import RemovedRecords
from service.settings import KafkaSettings
from streams.kafka.lag import GroupLag
from streams.kafka.positions import Positions
from tests.doubles.results import a_database
from tests.integration.test_retry_role import LATER_S, Clock, a_role, due_in, group_of, put, settings_for, tier
from tests.integration.test_roles_on_kafka import a_persist_role, running, wait_until
from tests.integration.test_worker_group import a_worker, until


@pytest.fixture
def settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    return settings_for(kafka, topic_prefix)


class Observer:
    """Looks after one role as its own process does, when the test wants it."""

    def __init__(self, settings: KafkaSettings, group: str, positions: Positions) -> None:
        self.metrics = Metrics()
        self._lag = GroupLag(consumers_of(settings, group))
        self._watch = RemovedRecords(self.metrics, settings.topics, group, positions)

    def look(self, owned: Collection[tuple[str, int]]) -> list[Any]:
        """What it logs: event, partition or number of partitions, records."""
        with capture_logs() as logs:
            self._watch.look(self._lag.read(owned), self._lag.offsets_at)
        names = ("event", "from_offset", "to_offset", "partitions", "records")
        return [tuple(line[name] for name in names if name in line) for line in logs]

    def counted(self, topic: str) -> float | None:
        return self.metrics.registry.get_sample_value("thumbnail_removed_unread_total", {"topic": topic})

    def close(self) -> None:
        self._lag.close()


def fill(settings: KafkaSettings, topic: str, count: int, **options: Any) -> None:
    """Into partition 0; a value that no role can read becomes a dead letter, or is handed on."""
    producer = Producer(producer_config(settings) | options)
    if options:
        producer.init_transactions(10)
        producer.begin_transaction()
    for number in range(count):
        producer.produce(f"{settings.kafka_topic_prefix}{topic}", b"%d" % number, partition=0)
    if options:
        producer.commit_transaction(10)
    assert producer.flush(10) == 0


def remove(settings: KafkaSettings, topic: str, before: int) -> None:
    """As retention does it, at once."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    place = TopicPartition(f"{settings.kafka_topic_prefix}{topic}", 0, before)
    for done in admin.delete_records([place]).values():
        done.result(20)


def commit(settings: KafkaSettings, group: str, topic: str, offset: int) -> None:
    consumer = Consumer(consumer_config(settings, group))
    consumer.commit(offsets=[TopicPartition(f"{settings.kafka_topic_prefix}{topic}", 0, offset)], asynchronous=False)
    consumer.close()


def committed(settings: KafkaSettings, group: str, topic: str) -> int:
    consumer = Consumer(consumer_config(settings, group))
    (found,) = consumer.committed([TopicPartition(f"{settings.kafka_topic_prefix}{topic}", 0)], timeout=10)
    consumer.close()
    return int(found.offset)


@pytest.mark.parametrize("left", [2, 0], ids=["a part", "all"])
def test_after_a_long_stop_the_worker_says_what_was_removed(settings: KafkaSettings, left: int) -> None:
    group = f"{settings.kafka_topic_prefix}group"
    fill(settings, "media.uploaded", 10)
    commit(settings, group, "media.uploaded", 3)
    remove(settings, "media.uploaded", 10 - left)

    async def scenario() -> None:
        async with a_worker(settings) as worker:
            observer = Observer(settings, group, worker.positions)
            await until(lambda: len(worker.owned()) == 15)
            await until(lambda: committed(settings, group, "media.uploaded") == 10 or left == 0)
            await until(lambda: worker.positions._next)
            assert observer.look(worker.owned()) == [("records_removed_unread", 3, 10 - left, 7 - left)]
            assert observer.look(worker.owned()) == [], "it is said once"
            assert observer.counted("media.uploaded") == 7 - left
            observer.close()

    asyncio.run(scenario())


def test_after_a_long_stop_the_persist_role_says_what_was_removed(settings: KafkaSettings, postgres_url: str) -> None:
    group = f"{settings.kafka_topic_prefix}persist"
    fill(settings, "thumbnail.ready", 10)
    commit(settings, group, "thumbnail.ready", 3)
    remove(settings, "thumbnail.ready", 8)
    role = a_persist_role(settings, a_database(postgres_url))
    observer = Observer(settings, group, role.positions)
    with running(role):
        wait_until(lambda: committed(settings, group, "thumbnail.ready") == 10)
        assert observer.look(role.owned) == [("records_removed_unread", 3, 8, 5)]
        assert observer.look(role.owned) == []
    observer.close()


def test_a_retry_role_whose_waiting_partition_is_overtaken_by_retention_says_so(settings: KafkaSettings) -> None:
    """Its first record holds the partition; those behind it are removed before it reads them."""
    clock = Clock()
    role = a_role(settings, clock=clock)
    observer = Observer(settings, group_of(settings), role.positions)
    commit(settings, group_of(settings), "thumbnail.retry.1", 0)
    put(settings, *[(1, 0, b"%d" % n, due_in(LATER_S if n == 0 else -60)) for n in range(500)])
    due = f"{settings.kafka_topic_prefix}thumbnail.due"
    with running(role):
        wait_until(lambda: (tier(settings, 1), 0) in role.positions._next)
        assert observer.look(role.owned) == []
        remove(settings, "thumbnail.retry.1", 480)
        clock.ahead_s = LATER_S
        wait_until(lambda: committed(settings, group_of(settings), "thumbnail.retry.1") == 500)
        (found,) = observer.look(role.owned)
        assert (found[0], found[2], found[3]) == ("records_removed_unread", 480, 480 - found[1])
        assert 0 < found[1] <= 200, "what it held was handed on"
    observer.close()
    consumer = Consumer(consumer_config(settings, "any"))
    handed_on = sum(consumer.get_watermark_offsets(TopicPartition(due, n), timeout=10)[1] for n in range(6))
    consumer.close()
    assert handed_on == 500 - found[3]


def test_the_end_of_a_transaction_that_is_removed_is_no_loss(settings: KafkaSettings) -> None:
    group = f"{settings.kafka_topic_prefix}group"
    fill(settings, "thumbnail.due", 4, **{"transactional.id": f"{settings.kafka_topic_prefix}t"})
    commit(settings, group, "thumbnail.due", 4)
    remove(settings, "thumbnail.due", 5)

    async def scenario() -> None:
        async with a_worker(settings) as worker:
            observer = Observer(settings, group, worker.positions)
            await until(lambda: len(worker.owned()) == 15 and worker.positions._next)
            assert observer.look(worker.owned()) == []
            observer.close()

    asyncio.run(scenario())


def test_a_group_whose_offsets_have_expired_is_named_with_what_it_reads_again(settings: KafkaSettings) -> None:
    group = f"{settings.kafka_topic_prefix}group"

    async def life(observe: bool) -> list[Any]:
        async with a_worker(settings) as worker:
            observer = Observer(settings, group, worker.positions)
            await until(lambda: len(worker.owned()) == 15 and worker.positions.open().uncommitted)
            if not observe:
                fill(settings, "media.uploaded", 10)
            await until(lambda: committed(settings, group, "media.uploaded") == 10)
            found = observer.look(worker.owned())
            observer.close()
            return found

    assert asyncio.run(life(observe=False)) == [], "a first start before the first upload"
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    admin.delete_consumer_groups([group])[group].result(20)
    assert asyncio.run(life(observe=True)) == [("group_offsets_missing", 1, 10)]
