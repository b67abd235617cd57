"""The persist and retry roles in this process, on a real broker: poison, repeats, and due times."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas import headers as h
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
from streams.persist.role import PersistOptions, PersistRole
from streams.retry.role import RetryOptions, RetryRole
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


def a_persist_role(settings: KafkaSettings, engine: sa.Engine, group: str = "persist") -> PersistRole:
    consumer = consumer_config(settings, f"{settings.kafka_topic_prefix}{group}")
    clients = KafkaClients(Consumer(consumer), Producer(producer_config(settings)))
    return PersistRole(clients, PersistOptions(group, settings.topics), engine, Metrics())


def statuses(engine: sa.Engine) -> dict[int, str]:
    with engine.connect() as connection:
        query = sa.select(videos.c.id, videos.c.thumbnail_status).where(videos.c.thumbnail_status.is_not(None))
        return {row.id: row.thumbnail_status for row in connection.execute(query)}


def test_a_poison_record_is_found_and_its_neighbours_are_written(settings: KafkaSettings, postgres_url: str) -> None:
    engine = a_database(postgres_url)
    results: list[Result] = [ready(1, a_media(number)) for number in range(40, 47)]
    results.append(failed(1, a_media(47), message="a text that PostgreSQL cannot hold: \0"))
    results.append(ready(1, a_media(48), company_id=2))
    records = [a_result(settings, result) for result in results]
    not_json = OutboundRecord(records[0].topic, b"video:49", b"not JSON", ())
    letters = Reader(settings, "thumbnail.ready.dlq")
    send_and_wait(Producer(producer_config(settings)), [*records, not_json])
    with running(a_persist_role(settings, engine)):
        wait_until(lambda: letters.has(3))
        wait_until(lambda: len(statuses(engine)) == 7)
    letters.close()
    engine.dispose()

    told = {record.key: record for record in letters.records}
    assert set(told) == {b"video:47", b"video:48", b"video:49"}
    assert {h.get_header(record.headers, "error-code") for record in letters.records} == {"event.malformed"}
    assert "NUL" in (h.get_header(told[b"video:47"].headers, "error-message") or "")
    assert "another company" in (h.get_header(told[b"video:48"].headers, "error-message") or "")
    assert told[b"video:49"].value == b"not JSON"


def test_an_upload_of_an_unknown_company_makes_no_second_dead_letter_and_touches_no_row(
    settings: KafkaSettings, postgres_url: str
) -> None:
    """Whether its media is another company's or nobody's; behind each result comes one that has a visible effect."""
    engine = a_database(postgres_url)
    unknown = [failed(2, a_media(number), code=ErrorCode.TENANT_UNKNOWN, company_id=77) for number in (40, 999)]
    records = [a_result(settings, result) for result in (*unknown, failed(1, a_media(40)))]
    marker = OutboundRecord(records[1].topic, records[1].key, b"not JSON", ())
    letters, cleanups = Reader(settings, "thumbnail.ready.dlq"), Reader(settings, "thumbnail.cleanup")
    send_and_wait(Producer(producer_config(settings)), [*records, marker])
    with running(a_persist_role(settings, engine)):
        wait_until(lambda: statuses(engine) == {40: "failed"})
        wait_until(lambda: letters.has(1) and cleanups.has(1))
    assert [record.value for record in letters.records] == [b"not JSON"]
    assert [record.key for record in cleanups.records] == [b"video:40"]  # that of company 1's own failure
    assert (count_records(settings, "thumbnail.ready.dlq"), count_records(settings, "thumbnail.cleanup")) == (1, 1)
    with engine.connect() as connection:
        row = connection.execute(sa.select(videos).where(videos.c.id == 40)).mappings().one()
    assert (row["thumbnail_event_id"], row["thumbnail_error"]) == ("upload-1", "media.corrupt: Broken.")
    letters.close()
    cleanups.close()
    engine.dispose()


def test_a_repeated_batch_changes_nothing_and_asks_for_a_cleanup_again(
    settings: KafkaSettings, postgres_url: str
) -> None:
    """As after a kill between the transaction and the commit of the offsets: another group reads all anew."""
    engine = a_database(postgres_url)
    records = [a_result(settings, ready(number, a_media(42))) for number in (1, 2)]
    send_and_wait(Producer(producer_config(settings)), records)
    cleanups = Reader(settings, "thumbnail.cleanup")
    with running(a_persist_role(settings, engine)):
        wait_until(lambda: cleanups.has(1))
    with engine.connect() as connection:
        before = connection.execute(sa.select(videos)).all()
    with running(a_persist_role(settings, engine, "again")):
        wait_until(lambda: cleanups.has(3))
    with engine.connect() as connection:
        assert connection.execute(sa.select(videos)).all() == before
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


def a_retry(settings: KafkaSettings, tier: int, number: int, due_in_s: float) -> OutboundRecord:
    due_at = datetime.now(UTC) + timedelta(seconds=due_in_s)
    headers = (
        ("own", b"\xff raw"),
        ("retry-attempt", b"1"),
        ("retry-due-at", h.header_text(h.format_time(due_at))),
        ("first-failed-at", h.header_text(h.format_time(datetime.now(UTC)))),
    )
    return OutboundRecord(f"{settings.kafka_topic_prefix}thumbnail.retry.{tier}", b"video:1", b"%d" % number, headers)


def a_retry_role(settings: KafkaSettings) -> RetryRole:
    consumer = consumer_config(settings, f"{settings.kafka_topic_prefix}retry")
    clients = KafkaClients(Consumer(consumer), Producer(producer_config(settings)))
    return RetryRole(clients, RetryOptions(settings.topics), Metrics())


def test_retries_come_back_when_they_are_due_never_early_and_unchanged(settings: KafkaSettings) -> None:
    back, producer = Reader(settings, "thumbnail.due"), Producer(producer_config(settings))
    send_and_wait(producer, [a_retry(settings, 1, 5, due_in_s=0), a_retry(settings, 2, 6, due_in_s=0)])
    with running(a_retry_role(settings)):
        wait_until(lambda: back.has(2))  # the role has its partitions: how long it takes to join is not looked at here
        waiting = [a_retry(settings, 2, number, due_in_s=1.0 + number) for number in range(4)]
        waiting.append(a_retry(settings, 1, 9, due_in_s=0.5))
        send_and_wait(producer, waiting)
        wait_until(lambda: back.has(7))
    back.close()
    back.records = back.records[2:]

    by_value = {record.value: record for record in back.records}
    in_order = [record.value for record in sorted(back.records, key=lambda r: r.timestamp_ms) if record.value != b"9"]
    assert in_order == [b"0", b"1", b"2", b"3"]
    for sent in waiting:
        record = by_value[sent.value]
        due_at = h.parse_time(h.get_header(sent.headers, "retry-due-at"))
        assert due_at is not None
        late_s = (record.timestamp - due_at).total_seconds()
        assert late_s >= 0
        assert late_s < 3
        assert record.key == sent.key
        assert record.headers == tuple(header for header in sent.headers if header[0] != "retry-due-at")


def test_a_wait_longer_than_the_last_tiers_is_made_of_several_and_uses_up_no_attempt(settings: KafkaSettings) -> None:
    back, waits = Reader(settings, "thumbnail.due"), Reader(settings, "thumbnail.retry.2")
    producer = Producer(producer_config(settings))
    consumer = consumer_config(settings, f"{settings.kafka_topic_prefix}retry")
    clients = KafkaClients(Consumer(consumer), Producer(producer_config(settings)))
    options = RetryOptions(settings.topics, delays_s=(0.5, 1.0))
    send_and_wait(producer, [a_retry(settings, 1, 1, due_in_s=0)])
    with running(RetryRole(clients, options, Metrics())):
        wait_until(lambda: back.has(1))  # the role is at work
        waiting = a_retry(settings, 1, 7, due_in_s=0.2)
        not_before = datetime.now(UTC) + timedelta(seconds=2.5)
        headers = h.with_headers(waiting.headers, {h.RETRY_NOT_BEFORE: h.format_time(not_before)})
        send_and_wait(producer, [replace(waiting, headers=headers)])
        wait_until(lambda: back.has(2))
        wait_until(lambda: waits.has(1))
    back.close()
    waits.close()

    record = back.records[1]
    assert record.timestamp - not_before > timedelta(milliseconds=-1)  # headers hold whole milliseconds
    assert (record.key, record.value) == (waiting.key, waiting.value)
    assert record.headers == tuple(header for header in waiting.headers if header[0] != "retry-due-at")


def test_a_retry_role_that_is_stopped_while_waiting_loses_nothing(settings: KafkaSettings) -> None:
    back = Reader(settings, "thumbnail.due")
    send_and_wait(
        Producer(producer_config(settings)), [a_retry(settings, 1, n, due_in_s=0.1 if n < 3 else 4.0) for n in range(6)]
    )
    with running(a_retry_role(settings)):
        wait_until(lambda: back.has(3))
    with running(a_retry_role(settings)):
        wait_until(lambda: back.has(6))
    back.close()
    assert sorted(record.value or b"" for record in back.records) == [b"%d" % number for number in range(6)]
