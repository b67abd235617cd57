"""Following topics from their newest records on, on the in-memory Kafka."""

import pytest
from confluent_kafka import KafkaError

from streams.kafka.reader import TopicReadError, UnknownTopicError
from streams.kafka.topic_reader import TopicTail
from tests.doubles.memory_topics import Kafka


@pytest.fixture
def kafka(kafka_in_memory: Kafka) -> Kafka:
    return kafka_in_memory


@pytest.fixture
def tail(kafka: Kafka) -> TopicTail:
    return TopicTail(kafka.make_consumer, ("t",), newest=2)


def values(tail: TopicTail) -> list[bytes | None]:
    return [record.value for record in tail.read()]


def test_it_begins_with_the_newest_of_each_partition_and_goes_on_with_what_comes(kafka: Kafka, tail: TopicTail) -> None:
    kafka.put(0, b"a", b"b", b"c")
    kafka.put(1, b"d")
    tail.begin()
    assert values(tail) == [b"b", b"c", b"d"]
    assert values(tail) == []
    kafka.put(2, b"e")
    assert values(tail) == [b"e"]
    assert tail.is_whole()


def test_after_another_begin_the_newest_come_again(kafka: Kafka, tail: TopicTail) -> None:
    kafka.put(0, b"a", b"b")
    tail.begin()
    assert values(tail) == [b"a", b"b"]
    kafka.put(0, b"c")
    tail.begin()
    assert values(tail) == [b"b", b"c"]


def test_it_is_not_whole_when_a_topic_has_got_partitions(
    kafka: Kafka, tail: TopicTail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.kafka.topic_reader.PROBE_EVERY_S", 0.0)
    tail.begin()
    assert tail.is_whole()
    kafka.broker.create_topic("t", 4)
    assert not tail.is_whole()


def test_a_topic_that_is_missing_is_named(kafka: Kafka) -> None:
    with pytest.raises(UnknownTopicError, match=r"^The topic other does not exist"):
        TopicTail(kafka.make_consumer, ("t", "other"), newest=1).begin()


def test_what_does_not_pass_is_one_sentence_and_what_passes_is_waited_for(kafka: Kafka, tail: TopicTail) -> None:
    kafka.put(0, b"a")
    tail.begin()
    kafka.made[0].fail("consume", KafkaError(KafkaError._TRANSPORT))
    assert values(tail) == []
    kafka.made[0].fail("consume", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(TopicReadError, match=r"^t cannot be read: .*authorization failed"):
        tail.read()
    assert values(tail) == [b"a"]
