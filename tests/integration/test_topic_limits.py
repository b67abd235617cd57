"""What brokers refuse on media.uploaded, what a cluster refuses of our settings, and partitions that are added."""

import os
import time

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from schemas.cloudevents import MAX_EVENT_BYTES
from schemas.topics import DAY_MS, UPLOAD_BYTES, Topic
from service.kafka.check import check_kafka
from service.kafka.clients import consumers_of, make_producer
from service.kafka.topics import create_topics
from tests.integration.test_durable_topics import (
    run_create,
    settings,
    value_of,
    values,
    wait_until_equal,
    wait_until_listed,
)


def code_of(error: KafkaError | None) -> int | None:
    return None if error is None else error.code()


def test_partitions_are_added_only_when_asked_for(kafka: str, topic_prefix: str) -> None:
    made = settings(kafka, topic_prefix, 1)
    admin = AdminClient({"bootstrap.servers": kafka})
    (future,) = admin.create_topics([NewTopic(f"{topic_prefix}media.uploaded", 2, 1)]).values()
    future.result(30)
    create_topics(made)
    wait_until_listed(made)
    left = run_create(made, "--update")
    assert left.exit_code == 1
    assert "has 2 partitions instead of 6: --add-partitions adds them. Keys move" in left.output
    done = run_create(made, "--update", "--add-partitions")
    assert done.exit_code == 0, done.output
    assert f"Changed {topic_prefix}media.uploaded: partitions 2 -> 6" in done.output
    wait_until_equal(lambda: check_kafka(made).problem, None)


def test_a_cluster_that_refuses_a_setting_gets_the_topics_without_it(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Kafka 3.5, which does not know how far ahead a timestamp may be."""
    of_topic = Topic.advised_config
    monkeypatch.setattr(
        Topic, "advised_config", lambda topic, replicas: {"no.such.setting": "1"} | of_topic(topic, replicas)
    )
    made = settings(kafka, topic_prefix, 1)
    done = run_create(made)
    assert done.exit_code == 0, done.output
    (sentence,) = [line for line in done.output.splitlines() if "refuses" in line]
    assert sentence.startswith(f"The cluster refuses no.such.setting on {topic_prefix}media.uploaded, ")
    assert sentence.endswith("thumbnail.dlq.replays: made without it.")
    wait_until_listed(made)
    assert values(made, "segment.ms") == {str(DAY_MS)}
    assert value_of(made, f"{topic_prefix}media.uploaded", "max.message.bytes") == str(UPLOAD_BYTES)
    assert check_kafka(made).problem is None


def test_the_broker_refuses_what_is_far_too_large_or_ahead_and_takes_the_largest_upload_of_the_contract(
    kafka: str, topic_prefix: str
) -> None:
    made = settings(kafka, topic_prefix, 1)
    create_topics(made)
    topic = f"{topic_prefix}media.uploaded"
    refusals: list[int | None] = []
    producer = make_producer(made)
    context: dict[str, str | bytes | None] = {"ce_id": "x" * 128, "baggage": "y" * 8192}
    for size, ahead_s in ((MAX_EVENT_BYTES, 0), (1_100_000, 0), (10, 2 * 3600)):
        at_ms = int((time.time() + ahead_s) * 1000)
        producer.produce(
            topic,
            os.urandom(size),
            b"video:1",
            timestamp=at_ms,
            headers=context,
            on_delivery=lambda error, _record: refusals.append(code_of(error)),
        )
        assert producer.flush(30) == 0
    assert refusals == [None, KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_TIMESTAMP]


def test_many_uploads_at_once_of_a_client_with_its_defaults_are_taken(kafka: str, topic_prefix: str) -> None:
    made = settings(kafka, topic_prefix, 1)
    create_topics(made)
    producer = Producer({"bootstrap.servers": kafka})  # a client that nobody configured
    refusals: list[int | None] = []
    for _ in range(2000):  # all for one partition: a megabyte, which librdkafka sends in one batch where it fits
        producer.produce(
            f"{topic_prefix}media.uploaded",
            os.urandom(500),
            b"video:1",
            on_delivery=lambda error, _record: refusals.append(code_of(error)),
        )
    assert producer.flush(30) == 0
    assert refusals == [None] * 2000


def test_records_of_new_partitions_are_read_within_a_minute(kafka: str, topic_prefix: str) -> None:
    made, topic = settings(kafka, topic_prefix, 1), f"{topic_prefix}thumbnail.ready"
    create_topics(made)
    consumer = consumers_of(made, f"{topic_prefix}group")({})
    consumer.subscribe([topic])
    try:
        deadline = time.monotonic() + 30
        while not consumer.assignment():
            assert time.monotonic() < deadline
            consumer.poll(0.1)
        admin = AdminClient({"bootstrap.servers": kafka})
        (future,) = admin.create_partitions([NewPartitions(topic, 7)]).values()
        future.result(30)
        raised_at = time.monotonic()
        wait_until_equal(lambda: len(admin.list_topics(topic, timeout=10).topics[topic].partitions), 7)
        producer = make_producer(made)
        producer.produce(topic, b"new", partition=6)
        assert producer.flush(30) == 0
        while (record := consumer.poll(0.5)) is None:
            assert time.monotonic() - raised_at < 60, "the new partition is not read"
        assert (record.partition(), record.value()) == (6, b"new")
    finally:
        consumer.close()
