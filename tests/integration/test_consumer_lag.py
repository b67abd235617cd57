"""Lag and waiting dead letters on a real broker: how many, since when, and what reading it costs."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from service.kafka.clients import consumer_config, consumers_of, producer_config
from service.settings import KafkaSettings
from streams.dlq.backlog import DlqBacklog
from streams.dlq.ledger import Mark, MarkState, mark_record
from streams.kafka.client import send_and_wait
from streams.kafka.lag import GroupLag
from streams.kafka.reader import TopicReadError
from streams.kafka.records import InboundRecord
from tests.doubles.pipeline import NOW
from tests.integration.test_retry_role import settings_for

T = TypeVar("T")
BASE_MS = int(time.time() * 1000) - 60_000


@pytest.fixture
def settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    return settings_for(kafka, topic_prefix)


def produce(settings: KafkaSettings, topic: str, count: int, **options: Any) -> None:
    producer = Producer(producer_config(settings) | options)
    if "transactional.id" in options:
        producer.init_transactions(10)
        producer.begin_transaction()
    for number in range(count):
        producer.produce(f"{settings.kafka_topic_prefix}{topic}", b"x", partition=0, timestamp=BASE_MS + number)
    if "transactional.id" in options:
        producer.commit_transaction(10)
    assert producer.flush(10) == 0


def settled(ask: Callable[[], T]) -> T:
    """The first answer: a broker that has just made a topic may not lead it yet, and a role asks again, too."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ask()
        except TopicReadError:
            assert time.monotonic() < deadline, "the topics were not ready in time"
            time.sleep(0.1)


def commit(settings: KafkaSettings, topic: str, offset: int) -> None:
    consumer = Consumer(consumer_config(settings, "group"))
    try:
        place = TopicPartition(f"{settings.kafka_topic_prefix}{topic}", 0, offset)
        consumer.commit(offsets=[place], asynchronous=False)
    finally:
        consumer.close()


def test_the_lag_begins_with_the_first_record_that_is_not_committed(settings: KafkaSettings) -> None:
    place = (f"{settings.kafka_topic_prefix}media.uploaded", 0)
    reader = GroupLag(consumers_of(settings, "group"))
    try:
        assert settled(lambda: reader.read([place]))[place].records == 0
        produce(settings, "media.uploaded", 5)
        lag = reader.read([place])[place]
        assert (lag.records, lag.head and lag.head.timestamp_ms) == (5, BASE_MS)
        commit(settings, "media.uploaded", 3)
        lag = reader.read([place])[place]
        assert (lag.records, lag.head and lag.head.timestamp_ms) == (2, BASE_MS + 3)
        started = time.process_time()
        assert reader.read([place])[place] == lag
        assert time.process_time() - started < 0.1, "a head that is known is not read again"
        commit(settings, "media.uploaded", 5)
        assert (reader.read([place])[place].records, reader.read([])) == (0, {})
    finally:
        reader.close()


def test_the_end_of_a_transaction_is_no_lag(settings: KafkaSettings) -> None:
    place = (f"{settings.kafka_topic_prefix}thumbnail.due", 0)
    produce(settings, "thumbnail.due", 2, **{"transactional.id": f"{settings.kafka_topic_prefix}t"})
    reader = GroupLag(consumers_of(settings, "group"))
    try:
        assert settled(lambda: reader.read([place]))[place].records >= 2
        commit(settings, "thumbnail.due", 2)  # the marker stands at 2, and nothing is behind it
        assert reader.read([place])[place].records == 0
        produce(settings, "thumbnail.due", 1)
        assert reader.read([place])[place].records == 1
    finally:
        reader.close()


def test_dead_letters_wait_until_the_ledger_knows_what_became_of_them(settings: KafkaSettings) -> None:
    topic, ledger = (f"{settings.kafka_topic_prefix}thumbnail.{name}" for name in ("dlq", "dlq.replays"))
    backlog = DlqBacklog(consumers_of(settings, "group"), (topic,), ledger)
    now_ms = int(time.time() * 1000)

    def mark(offset: int, state: MarkState) -> None:
        dead_letter = InboundRecord(topic, 0, offset, now_ms, None, b"x", ())
        send_and_wait(Producer(producer_config(settings)), [mark_record(ledger, dead_letter, Mark(state, NOW, "x"))])

    try:
        assert settled(backlog.poll).count == 0
        producer = Producer(producer_config(settings))
        for number in range(3):
            producer.produce(topic, b"x", partition=0, timestamp=now_ms + number)
        assert producer.flush(10) == 0
        first = backlog.poll()
        assert (first.count, first.oldest_at and round(first.oldest_at.timestamp() * 1000)) == (3, now_ms)
        mark(0, MarkState.SENDING)
        assert backlog.poll() == first, "perhaps it was sent, perhaps not"
        mark(0, MarkState.REPLAYED)
        second = backlog.poll()
        assert (second.count, second.oldest_at and round(second.oldest_at.timestamp() * 1000)) == (2, now_ms + 1)
        mark(1, MarkState.PARKED)
        mark(2, MarkState.REPLAYED)
        assert (backlog.poll().count, backlog.poll().oldest_at) == (0, None)
    finally:
        backlog.close()
