"""The retry role in this process, on a real broker: due times under load, rebalances, restarts, kills, odd records."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from schemas import headers as h
from schemas.metrics import Metrics
from service.kafka.clients import producer_config, waiting_consumer_config
from service.kafka.topics import create_topics
from service.settings import KafkaSettings
from streams.kafka.client import send_and_wait
from streams.kafka.ports import KafkaClients
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.retry.role import RetryOptions, RetryRole
from tests.integration.test_roles_on_kafka import Reader, running, wait_until
from tests.servers.kafka.apache import ApacheKafka

FAR_AWAY = datetime(9999, 12, 31, tzinfo=UTC)
LATER_S = 300.0
"""When records are due that the role holds until the test puts its clock on."""


@dataclass
class Clock:
    """A role's own: no test has to be done with something before a due time comes by itself."""

    ahead_s: float = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.ahead_s)


def settings_for(servers: str, prefix: str) -> KafkaSettings:
    made = KafkaSettings(
        kafka_bootstrap_servers=servers,
        kafka_topic_prefix=prefix,
        kafka_session_timeout_s=6,
        kafka_replication_factor=1,
    )
    create_topics(made)
    return made


@pytest.fixture
def settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    return settings_for(kafka, topic_prefix)


def a_role(
    settings: KafkaSettings, delays_s: tuple[float, ...] = (600, 1200, 2400), clock: Clock | None = None
) -> RetryRole:
    """By default one whose tiers are longer than any test: a wait is bounded by them."""
    consumer, clock = waiting_consumer_config(settings, group_of(settings)), clock or Clock()
    clients = KafkaClients(Consumer(consumer), Producer(producer_config(settings)), clock.monotonic)
    return RetryRole(clients, RetryOptions(settings.topics, delays_s), Metrics(), now=clock.now)


def group_of(settings: KafkaSettings) -> str:
    return f"{settings.kafka_topic_prefix}retry"


def tier(settings: KafkaSettings, number: int) -> str:
    return f"{settings.kafka_topic_prefix}thumbnail.retry.{number}"


def due_in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def due_header(due_at: datetime) -> tuple[str, bytes]:
    return "retry-due-at", h.header_text(h.format_time(due_at))


def put(settings: KafkaSettings, *records: tuple[int, int, bytes, datetime]) -> None:
    """Tier, partition, value, due time of each."""
    producer = Producer(producer_config(settings))
    for number, partition, value, due_at in records:
        headers: Any = [due_header(due_at)]
        producer.produce(tier(settings, number), value, b"video:1", partition=partition, headers=headers)
    assert producer.flush(10) == 0


def lateness_s(record: InboundRecord) -> float:
    due_at = h.parse_time((record.value or b"").decode())
    assert due_at is not None
    return (record.timestamp - due_at).total_seconds()


@pytest.mark.timed
def test_under_load_no_record_is_early_and_each_comes_once(settings: KafkaSettings) -> None:
    """The value is the due time, so that it can be compared with when the broker got the record."""
    count = 1500
    waiting = []
    for number in range(count):
        due_at = due_in(2.0 + 4.0 * number / count)
        value = h.format_time(due_at).encode()
        key = b"video:%d" % number
        waiting.append(OutboundRecord(tier(settings, 1 + number % 3), key, value, (due_header(due_at),)))
    back = Reader(settings, "thumbnail.due")
    send_and_wait(Producer(producer_config(settings)), waiting)
    with running(a_role(settings)):
        wait_until(lambda: back.has(count))
    back.close()
    assert sorted(record.key or b"" for record in back.records) == sorted(record.key or b"" for record in waiting)
    late = sorted(lateness_s(record) for record in back.records)
    assert late[0] >= 0
    assert late[-1] < 3


def test_a_record_whose_times_cannot_be_read_holds_nothing_and_ends_no_role(settings: KafkaSettings) -> None:
    """Among them one that must wait until the end of times, which went from tier to tier for ever."""
    overflow, far = b"9999-12-31T23:59:59-14:00", b"9999-12-31T23:59:59Z"
    poison: tuple[tuple[tuple[str, bytes], ...], ...] = (
        (("retry-due-at", overflow),),
        (("retry-not-before", overflow), due_header(due_in(0))),
        (("retry-not-before", far), ("first-failed-at", overflow), due_header(due_in(0))),
        (("retry-not-before", far), due_header(due_in(0))),
    )
    back = Reader(settings, "thumbnail.due")
    waiting = [OutboundRecord(tier(settings, 1), b"video:1", b"%d" % n, headers) for n, headers in enumerate(poison)]
    send_and_wait(Producer(producer_config(settings)), waiting)
    with running(a_role(settings, delays_s=(0.2, 0.4))):
        wait_until(lambda: back.has(len(poison)))
    back.close()
    assert {record.value for record in back.records} == {b"0", b"1", b"2", b"3"}


def test_rebalances_while_partitions_wait_neither_lose_nor_hasten_nor_repeat(settings: KafkaSettings) -> None:
    back = Reader(settings, "thumbnail.due")
    due_at, clock = due_in(LATER_S), Clock()
    put(settings, *((number, partition, b"late", due_at) for number in (1, 2, 3) for partition in range(3)))
    first = a_role(settings, clock=clock)
    with running(first):
        wait_until(lambda: len(first._paused) == 9)
        second = a_role(settings, clock=clock)
        with running(second):
            wait_until(lambda: 0 < len(second._paused) < 9 and len(first._paused) + len(second._paused) == 9)
        wait_until(lambda: len(first._paused) == 9)  # the second has left, and its partitions are back
        assert not back.has(1)
        clock.ahead_s = LATER_S
        wait_until(lambda: back.has(9))
        wait_until(lambda: not first._held)
    assert not back.has(10)
    back.close()


def test_records_that_wait_survive_a_restart_of_the_broker(own_kafka: ApacheKafka) -> None:
    settings, clock = settings_for(own_kafka.bootstrap_servers, ""), Clock()
    put(settings, (1, 0, b"late", due_in(LATER_S)), (2, 0, b"far", FAR_AWAY))
    role = a_role(settings, clock=clock)
    with running(role):
        wait_until(lambda: len(role._paused) == 2)
        own_kafka.kill()
        own_kafka.start()
        back = Reader(settings, "thumbnail.due")
        assert not back.has(1)
        clock.ahead_s = LATER_S
        wait_until(lambda: back.has(1))
        wait_until(lambda: len(role._paused) == 1)
        back.close()
    assert [record.value for record in back.records] == [b"late"]


ODD: tuple[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]], ...] = (
    (b"video:1", b"{}", (("a", b"1"), ("b", None), ("a", b""), ("a", b"1"), ("retry-attempt", b"2"))),
    (None, b"\x00\xff", (("not UTF-8", b"\xff\xfe"), ("", b"no name"))),
    (b"", b"", ()),
    (b"video:2", None, (("tombstone", None),)),
    (b"video:3", b"x" * 3_000_000, (("large", b"y" * 10_000),)),
)


def test_key_value_and_headers_come_back_byte_for_byte(settings: KafkaSettings) -> None:
    waiting = [
        OutboundRecord(tier(settings, 1), key, value, (*headers[:1], due_header(due_in(0.2)), *headers[1:]))
        for key, value, headers in ODD
    ]
    unreadable = OutboundRecord(tier(settings, 2), b"video:4", b"due when?", (("retry-due-at", b"soon"),))
    back = Reader(settings, "thumbnail.due")
    send_and_wait(Producer(producer_config(settings)), [*waiting, unreadable])
    with running(a_role(settings)):
        wait_until(lambda: back.has(len(ODD) + 1))
    back.close()
    found = {(record.key, record.value, record.headers) for record in back.records}
    assert found == {*ODD, (b"video:4", b"due when?", ())}
