"""The in-memory Kafka and Apache Kafka keep the same promises: what is sent, and what is read of it."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from tests.contracts.kafka_clusters import Cluster
from tests.contracts.kafka_members import FOREVER_S, QUIET_S, Member, commit, places, put, read, stays_silent

ODD: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
    (None, None, []),
    (b"", b"", [("null", None), ("empty", b""), ("twice", b"1"), ("twice", b"2")]),
    (b"\xff\x00", b"\x00\xff", [("not UTF-8", b"\xff\xfe"), ("", b"no name")]),
]


def test_keys_values_and_headers_come_as_they_were_sent_nulls_included(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    producer = cluster.producer()
    for key, value, headers in ODD:
        producer.produce(topic, value, key, headers=headers)
        producer.produce(topic, value, key, headers=headers, partition=0, timestamp=1234)
    assert producer.flush(30) == 0
    consumer = Member(cluster, group, topic).consumer
    messages: list[Message] = []
    deadline = cluster.monotonic() + FOREVER_S
    while len(messages) < 6 and cluster.monotonic() < deadline:
        messages += consumer.consume(6, 0.1)
    consumer.close()
    found = [(message.key(), message.value(), message.headers() or []) for message in messages]
    assert found == [record for record in ODD for _ in range(2)]
    assert {message.timestamp()[0] for message in messages} == {1}
    times = [message.timestamp()[1] for message in messages]
    assert times[1::2] == [1234] * 3
    assert min(times[::2]) > 1_000_000_000_000


def test_equal_keys_share_a_partition_and_keep_their_order(cluster: Cluster, group: str) -> None:
    topic = cluster.topic(5)
    producer = cluster.producer()
    for number in range(60):
        producer.produce(topic, b"%d" % number, b"key %d" % (number % 6))
    producer.flush(30)
    consumer = Member(cluster, group, topic).consumer
    messages: list[Message] = []
    while len(messages) < 60:
        messages += consumer.consume(60, 0.1)
    consumer.close()
    for key in {message.key() for message in messages}:
        of_key = [message for message in messages if message.key() == key]
        assert len({message.partition() for message in of_key}) == 1
        values = [int(message.value() or b"") for message in of_key]
        assert values == sorted(values)


def test_flush_returns_when_each_record_has_had_its_report_and_its_offset(cluster: Cluster) -> None:
    topic = cluster.topic()
    producer = cluster.producer()
    reports: list[tuple[KafkaError | None, Any]] = []
    for value in (b"0", b"1"):
        producer.produce(topic, value, on_delivery=lambda error, message: reports.append((error, message.offset())))
    assert reports == []
    assert producer.flush(30) == 0
    assert reports == [(None, 0), (None, 1)]


def test_a_full_queue_refuses_a_record_until_a_poll_has_made_room(cluster: Cluster) -> None:
    topic = cluster.topic()
    producer = cluster.producer(queue_size=2)
    producer.produce(topic, b"0")
    producer.produce(topic, b"1")
    with pytest.raises(BufferError):
        producer.produce(topic, b"2")
    deadline = cluster.monotonic() + FOREVER_S
    while cluster.monotonic() < deadline:
        producer.poll(0.1)
        try:
            producer.produce(topic, b"2")
        except BufferError:
            continue
        break
    assert producer.flush(30) == 0


def test_a_record_for_no_partition_and_one_that_is_too_large_are_refused_at_once(cluster: Cluster) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0")
    producer = cluster.producer()
    producer.produce(topic, b"0")
    producer.flush(30)  # it knows the topic now
    for value, partition, code in (
        (b"x", 7, KafkaError._UNKNOWN_PARTITION),
        (b"x" * (16 * 1024**2 + 1), 0, KafkaError.MSG_SIZE_TOO_LARGE),
    ):
        with pytest.raises(KafkaException) as caught:
            producer.produce(topic, value, partition=partition)
        assert caught.value.args[0].code() == code


def with_transactions(cluster: Cluster) -> str:
    """0 committed, 1 its marker, 2 aborted, 3 its marker, 4 committed, 5 its marker, 6 open."""
    topic = cluster.topic()
    producer = cluster.transactional_producer()
    producer.init_transactions()
    for end in (producer.commit_transaction, producer.abort_transaction, producer.commit_transaction, None):
        producer.begin_transaction()
        producer.produce(topic, b"x")
        assert producer.flush(30) == 0
        if end is not None:
            end()
    return topic


@pytest.mark.parametrize(
    ("isolation", "offsets", "end"), [("read_committed", [0, 4], 6), ("read_uncommitted", [0, 2, 4, 6], 7)]
)
def test_markers_are_gaps_and_only_what_is_committed_shows(
    cluster: Cluster, group: str, isolation: str, offsets: list[int], end: int
) -> None:
    """A consumer with «enable.partition.eof» is given the end, once, as an error with the offset to go on from."""
    topic = with_transactions(cluster)
    consumer = cluster.consumer(group, **{"isolation.level": isolation, "enable.partition.eof": True})
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), 30) == (0, end)
    asked = [TopicPartition(topic, 0, moment) for moment in (-2, 0, -1)]
    assert [consumer.offsets_for_times([one], 30)[0].offset for one in asked] == [0, 0, end]
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[Message] = []
    deadline = cluster.monotonic() + FOREVER_S
    while not any(message.error() for message in found):
        assert cluster.monotonic() < deadline
        found += consumer.consume(10, 0.1)
    *records, last = found
    assert [message.offset() for message in records] == offsets
    error = last.error()
    assert error is not None
    assert (error.code(), last.offset()) == (KafkaError._PARTITION_EOF, end)
    assert consumer.poll(QUIET_S) is None
    consumer.unassign()
    assert consumer.assignment() == []
    consumer.close()


def test_a_group_sees_only_what_is_committed_unless_it_asks_for_more(cluster: Cluster, group: str) -> None:
    topic = with_transactions(cluster)
    consumer = Member(cluster, group, topic).consumer
    assert read(cluster, consumer, 2) == [(0, 0), (0, 4)]
    assert stays_silent(cluster, consumer)
    consumer.close()


def test_the_offset_for_a_time_is_that_of_the_first_record_as_young(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    producer = cluster.producer()
    for moment in (1000, 2000, 3000):
        producer.produce(topic, b"x", timestamp=moment)
    producer.flush(30)
    consumer = cluster.consumer(group)
    answers = [
        consumer.offsets_for_times([TopicPartition(topic, 0, moment)], 30)[0].offset for moment in (1, 2000, 2001, 3001)
    ]
    assert answers[:3] == [0, 1, 2]
    assert answers[3] < 0
    consumer.close()


def test_an_assigned_partition_without_an_offset_goes_on_from_the_groups_own(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0", b"1")
    consumer = cluster.consumer(group)
    commit(consumer, topic, 0, 1)
    consumer.assign(places(topic, 0))
    assert read(cluster, consumer, 1) == [(0, 1)]
    consumer.close()


def test_a_topic_is_listed_with_its_partitions_and_a_missing_one_with_an_error(cluster: Cluster, group: str) -> None:
    topic = cluster.topic(partitions=3)
    consumer = cluster.consumer(group)

    def numbers_of(name: str) -> list[int]:
        return sorted(consumer.list_topics(name, timeout=30).topics[name].partitions)

    cluster.wait_until(lambda: numbers_of(topic) == [0, 1, 2], FOREVER_S)
    missing = f"{topic}-missing"
    error = consumer.list_topics(missing, timeout=30).topics[missing].error
    assert error is not None
    assert error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
    assert topic in consumer.list_topics(timeout=30).topics
    consumer.close()
