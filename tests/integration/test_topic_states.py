"""How full the topics are and how far the groups have come, as a real broker reports it."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.topics import ALL_TOPICS
from service.kafka.connection import KafkaUnreachableError
from service.kafka.topics import create_topics
from service.settings import Settings
from service.status.topic_states import GroupBacklog, TopicBacklog, read_topics

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def settings(kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("KAFKA_REPLICATION_FACTOR", "1")
    monkeypatch.setenv("WORKER_GROUP", f"{topic_prefix}thumbnails")
    settings = Settings()
    create_topics(settings.kafka)
    return settings


def of(settings: Settings, topic: str) -> TopicBacklog:
    name = settings.kafka.kafka_topic_prefix + topic
    return next(state for state in read_topics(settings).states if state.name == name)


def produce(settings: Settings, topic: str, *ages_s: float, partition: int = 0, transaction: str = "") -> None:
    config: dict[str, str | int] = {"bootstrap.servers": settings.kafka.kafka_bootstrap_servers, "acks": "all"}
    producer = Producer(config | ({"transactional.id": transaction} if transaction else {}))
    if transaction:
        producer.init_transactions(10)
        producer.begin_transaction()
    for age_s in ages_s:
        at = NOW - timedelta(seconds=age_s)
        name = settings.kafka.kafka_topic_prefix + topic
        producer.produce(name, json.dumps({}), partition=partition, timestamp=int(at.timestamp() * 1000))
    assert producer.flush(10) == 0
    if transaction:
        producer.commit_transaction(10)


def commit(settings: Settings, suffix: str, topic: str, partition: int, offset: int) -> None:
    group = f"{settings.worker.worker_group}{suffix}"
    consumer = Consumer({"bootstrap.servers": settings.kafka.kafka_bootstrap_servers, "group.id": group})
    place = TopicPartition(settings.kafka.kafka_topic_prefix + topic, partition, offset)
    consumer.commit(offsets=[place], asynchronous=False)
    consumer.close()


def test_the_topic_of_notifications_is_told_where_it_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_NOTIFICATIONS_TOPIC", f"{settings.kafka.kafka_topic_prefix}buckets")
    named = Settings()
    create_topics(named.kafka)
    produce(named, "buckets", 60, 30)
    commit(named, "-ingest", "buckets", 0, 1)
    found = of(named, "buckets")
    assert (found.partitions, found.records) == (3, 2)
    (group,) = found.groups
    assert (group.group, group.lag_records) == (f"{named.worker.worker_group}-ingest", 1)
    assert group.oldest_unprocessed_at == NOW - timedelta(seconds=30)


def test_every_topic_is_told_with_the_groups_that_read_it(settings: Settings) -> None:
    prefix, group = settings.kafka.kafka_topic_prefix, settings.worker.worker_group
    states = read_topics(settings).states
    assert [(state.name, state.partitions, state.records) for state in states] == [
        (prefix + topic.name, topic.partitions, 0) for topic in ALL_TOPICS
    ]
    readers = {state.name.removeprefix(prefix): [found.group for found in state.groups] for state in states}
    assert readers["media.uploaded"] == readers["thumbnail.cleanup"] == [group]
    assert readers["thumbnail.ready"] == [f"{group}-persist"]
    assert readers["thumbnail.retry.2"] == [f"{group}-retry"]
    assert readers["thumbnail.dlq"] == []


def test_lag_counts_from_the_committed_offset_and_tells_the_oldest_record_after_it(settings: Settings) -> None:
    group = settings.worker.worker_group
    produce(settings, "media.uploaded", 300, 200, 100, partition=0)
    produce(settings, "media.uploaded", 250, partition=4)
    assert of(settings, "media.uploaded").groups == (GroupBacklog(group, 4, NOW - timedelta(seconds=300)),)
    commit(settings, "", "media.uploaded", 0, 1)
    assert of(settings, "media.uploaded").groups == (GroupBacklog(group, 3, NOW - timedelta(seconds=250)),)
    commit(settings, "", "media.uploaded", 0, 3)
    commit(settings, "", "media.uploaded", 4, 1)
    state = of(settings, "media.uploaded")
    assert (state.records, state.groups) == (4, (GroupBacklog(group, 0, None),))


def test_the_end_of_a_transaction_is_no_lag(settings: Settings) -> None:
    """A group commits the offset after the last record; the marker stands behind it for ever."""
    produce(settings, "thumbnail.due", 60, transaction=f"{settings.worker.worker_group}-replay")
    assert of(settings, "thumbnail.due").groups[0].lag_records >= 1
    commit(settings, "", "thumbnail.due", 0, 1)
    assert of(settings, "thumbnail.due").groups == (GroupBacklog(settings.worker.worker_group, 0, None),)


def test_topics_that_do_not_exist_have_no_partitions(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", "nobody-made-these.")
    states = read_topics(Settings()).states
    assert {(state.partitions, state.records, state.groups) for state in states} == {(0, 0, ())}


@pytest.mark.timed
def test_many_topics_are_asked_in_little_time(settings: Settings) -> None:
    produce(settings, "media.uploaded", *range(200))
    read_topics(settings)
    assert _seconds(lambda: read_topics(settings)) < 2


def test_a_broker_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("service.kafka.connection.CONNECT_TIMEOUT_S", 3.0)
    with pytest.raises(KafkaUnreachableError, match=r"^No Kafka broker answers at 127\.0\.0\.1:1"):
        read_topics(Settings())


def _seconds(action: Callable[[], object]) -> float:
    started = time.monotonic()
    action()
    return time.monotonic() - started


def test_records_that_were_removed_before_their_group_read_them_are_counted(settings: Settings) -> None:
    produce(settings, "media.uploaded", *[30.0] * 5)
    produce(settings, "thumbnail.due", 30.0, transaction=f"{settings.kafka.kafka_topic_prefix}t")
    commit(settings, "", "media.uploaded", 0, 2)
    commit(settings, "", "thumbnail.due", 0, 1)
    admin = AdminClient({"bootstrap.servers": settings.kafka.kafka_bootstrap_servers})
    names = settings.kafka.topics
    for done in admin.delete_records([TopicPartition(names.uploads, 0, 4), TopicPartition(names.due, 0, 2)]).values():
        done.result(20)
    (uploads,) = of(settings, "media.uploaded").groups
    assert (uploads.removed_unread, uploads.lag_records) == (2, 1)
    (due,) = of(settings, "thumbnail.due").groups
    assert due.removed_unread == 0, "the end of a transaction"
