"""The persist role in this process, on a real broker: unknown companies, and rebalances under load."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.cloudevents import context_headers, write_event
from schemas.database import create_engine_for
from schemas.errors import ErrorCode
from schemas.events import THUMBNAIL_FAILED_TYPE, THUMBNAIL_READY_TYPE, ThumbnailReady
from schemas.metrics import Metrics
from schemas.tables import videos
from service.kafka.clients import consumer_config, producer_config
from service.kafka.topics import create_topics
from service.settings import KafkaSettings
from streams.kafka.client import read_records, send_and_wait
from streams.kafka.ports import KafkaClients
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.persist.limits import PersistLimits
from streams.persist.role import PersistOptions, PersistRole
from streams.rows.upsert import Result
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_database, a_media, failed, ready


class LoopRole(Protocol):
    def run(self) -> None: ...
    def stop(self) -> None: ...


@pytest.fixture
def settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    made = KafkaSettings(
        kafka_bootstrap_servers=kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_session_timeout_s=6,
        kafka_replication_factor=1,
    )
    create_topics(made)
    return made


@contextmanager
def running(role: LoopRole) -> Iterator[None]:
    """The role, in a thread; its exception is the test's."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            role.run()
        except BaseException as exc:  # noqa: BLE001 - handed to the test
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        role.stop()
        thread.join(30)
    assert errors == []


def wait_until(what: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Reader:
    """Follows one topic from its beginning."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self.records: list[InboundRecord] = []
        self._consumer = Consumer(consumer_config(settings, str(uuid.uuid4())))
        self._consumer.subscribe([f"{settings.kafka_topic_prefix}{topic}"])

    def has(self, count: int) -> bool:
        self.records += read_records(self._consumer, 100, 0.1)
        return len(self.records) >= count

    def close(self) -> None:
        self._consumer.close()


def a_result(settings: KafkaSettings, result: Result) -> OutboundRecord:
    is_ready = isinstance(result, ThumbnailReady)
    event_type = THUMBNAIL_READY_TYPE if is_ready else THUMBNAIL_FAILED_TYPE
    headers = context_headers(event_type=event_type, event_id=result.event_id, occurred_at=NOW, subject="x")
    topic = f"{settings.kafka_topic_prefix}thumbnail.{'ready' if is_ready else 'failed'}"
    return OutboundRecord(topic, result.media.record_key.encode(), write_event(result), headers)


USUAL_LIMITS = PersistLimits()


def a_persist_role(
    settings: KafkaSettings, engine: sa.Engine, group: str = "persist", limits: PersistLimits = USUAL_LIMITS
) -> PersistRole:
    consumer = consumer_config(settings, f"{settings.kafka_topic_prefix}{group}")
    clients = KafkaClients(Consumer(consumer), Producer(producer_config(settings)))
    return PersistRole(clients, PersistOptions(group, settings.topics, limits), engine, Metrics())


def statuses(engine: sa.Engine) -> dict[int, str]:
    with engine.connect() as connection:
        query = sa.select(videos.c.id, videos.c.thumbnail_status).where(videos.c.thumbnail_status.is_not(None))
        return {row.id: row.thumbnail_status for row in connection.execute(query)}


def test_an_upload_of_an_unknown_or_inactive_company_makes_no_second_dead_letter_and_touches_no_other_row(
    settings: KafkaSettings, postgres_url: str
) -> None:
    """Whether its media is another company's or nobody's; behind each result comes one that has a visible effect."""
    engine = a_database(postgres_url)
    unknown = [
        failed(2, a_media(number), code=code, company_id=77)
        for code in (ErrorCode.TENANT_UNKNOWN, ErrorCode.TENANT_INACTIVE)
        for number in (40, 999)
    ]
    records = [a_result(settings, result) for result in (*unknown, failed(1, a_media(40)))]
    marker = OutboundRecord(records[1].topic, records[1].key, b"not JSON", ())
    dead_letters, cleanups = Reader(settings, "thumbnail.ready.dlq"), Reader(settings, "thumbnail.cleanup")
    send_and_wait(Producer(producer_config(settings)), [*records, marker])
    with running(a_persist_role(settings, engine)):
        wait_until(lambda: statuses(engine) == {40: "failed"})
        wait_until(lambda: dead_letters.has(1) and cleanups.has(1))
    assert [record.value for record in dead_letters.records] == [b"not JSON"]
    assert [record.key for record in cleanups.records] == [b"video:40"]  # that of company 1's own failure
    assert (count_records(settings, "thumbnail.ready.dlq"), count_records(settings, "thumbnail.cleanup")) == (1, 1)
    with engine.connect() as connection:
        row = connection.execute(sa.select(videos).where(videos.c.id == 40)).mappings().one()
    assert (row["thumbnail_event_id"], row["thumbnail_error"]) == ("upload-1", "media.corrupt: Broken.")
    dead_letters.close()
    cleanups.close()
    engine.dispose()


def test_roles_that_come_and_go_under_load_lose_nothing_and_repeat_next_to_nothing(
    settings: KafkaSettings, postgres_url: str
) -> None:
    """A first success asks for no cleanup, a repeated one does: cleanups count what was done twice."""
    engine = a_database(postgres_url, range(1, 3001))
    producer = Producer(producer_config(settings))

    def send(numbers: range) -> None:
        send_and_wait(producer, [a_result(settings, ready(1, a_media(number))) for number in numbers])

    send(range(1, 1001))
    with running(a_persist_role(settings, create_engine_for(postgres_url))):
        wait_until(lambda: len(statuses(engine)) > 0)
        with running(a_persist_role(settings, create_engine_for(postgres_url))):
            send(range(1001, 2001))
            wait_until(lambda: len(statuses(engine)) > 1000)
        send(range(2001, 3001))
        wait_until(lambda: len(statuses(engine)) == 3000)
    assert count_records(settings, "thumbnail.cleanup") <= 2  # a record in hand at each of the rebalances
    assert count_records(settings, "thumbnail.ready.dlq") == 0
    engine.dispose()


def count_records(settings: KafkaSettings, topic: str) -> int:
    name = f"{settings.kafka_topic_prefix}{topic}"
    consumer = Consumer(consumer_config(settings, str(uuid.uuid4())))
    partitions = consumer.list_topics(name).topics[name].partitions
    count = sum(consumer.get_watermark_offsets(TopicPartition(name, number), timeout=10)[1] for number in partitions)
    consumer.close()
    return count
