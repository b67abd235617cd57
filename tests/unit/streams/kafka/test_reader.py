"""Reading to the end of a topic as it is when one asks, on the in-memory Kafka."""

import pytest
from confluent_kafka import KafkaError

from streams.kafka.reader import (
    COMMITTED_ONLY,
    SILENCE_TIMEOUT_S,
    Extent,
    PartitionReader,
    SilenceError,
    TopicReadError,
    UnknownTopicError,
)
from streams.kafka.topic_reader import TopicReader
from tests.doubles.memory_topics import Kafka


@pytest.fixture
def kafka(kafka_in_memory: Kafka) -> Kafka:
    return kafka_in_memory


def reader_of(kafka: Kafka) -> PartitionReader:
    return PartitionReader(kafka.make_consumer(COMMITTED_ONLY), monotonic=kafka.clock.monotonic)


def values(kafka: Kafka, extents: dict[int, Extent]) -> list[bytes | None]:
    with TopicReader(kafka.make_consumer, "t") as reader:
        return [record.value for record in reader.read(extents)]


def test_the_extents_are_what_the_topic_holds_now(kafka: Kafka) -> None:
    kafka.put(0, b"a", b"b")
    kafka.put(2, b"c")
    with TopicReader(kafka.make_consumer, "t") as reader:
        assert reader.extents() == {0: Extent(0, 2), 1: Extent(0, 0), 2: Extent(0, 1)}


def test_a_reading_ends_where_the_topic_ended_when_one_asked(kafka: Kafka) -> None:
    kafka.put(0, b"a", b"b")
    kafka.put(1, b"c")
    with TopicReader(kafka.make_consumer, "t") as reader:
        extents = reader.extents()
        kafka.put(0, b"too late")
        assert [record.value for record in reader.read(extents)] == [b"a", b"b", b"c"]


def test_a_record_that_came_later_is_not_read_where_the_topic_ended_with_a_marker(kafka: Kafka) -> None:
    kafka.transact(b"a")
    with TopicReader(kafka.make_consumer, "t") as reader:
        extents = reader.extents()
        kafka.put(0, b"too late")
        assert [record.value for record in reader.read(extents)] == [b"a"]


def test_a_part_of_a_partition_can_be_read(kafka: Kafka) -> None:
    kafka.put(0, b"a", b"b", b"c", b"d")
    assert values(kafka, {0: Extent(1, 3)}) == [b"b", b"c"]
    assert values(kafka, {0: Extent(2, 2)}) == []


def test_a_reader_can_read_again(kafka: Kafka) -> None:
    kafka.put(0, b"a")
    with TopicReader(kafka.make_consumer, "t") as reader:
        assert [record.value for record in reader.read(reader.extents())] == [b"a"]
        kafka.put(0, b"b")
        assert [record.value for record in reader.read(reader.extents())] == [b"a", b"b"]


def test_a_partition_that_ends_with_a_marker_or_an_aborted_transaction_ends(kafka: Kafka) -> None:
    kafka.transact(b"a")
    kafka.transact(b"never", commit=False)
    kafka.put(1, b"b")
    with TopicReader(kafka.make_consumer, "t") as reader:
        assert [record.value for record in reader.read(reader.extents())] == [b"a", b"b"]


def test_only_records_of_a_moment_or_later_are_in_the_extents_since_then(kafka: Kafka) -> None:
    kafka.put(0, b"old")
    kafka.put(1, b"old")
    kafka.clock.wait(60)
    moment = kafka.clock.now()
    kafka.put(0, b"new")
    with TopicReader(kafka.make_consumer, "t") as reader:
        assert reader.since(moment) == {0: Extent(1, 2), 1: Extent(1, 1), 2: Extent(0, 0)}


def test_the_first_record_of_each_partition_is_found_past_markers(kafka: Kafka) -> None:
    kafka.transact(b"a")
    kafka.put(0, b"b")
    kafka.put(1, b"c", b"d")
    found = reader_of(kafka).first_records({("t", 0): 1, ("t", 1): 0, ("t", 2): 0})
    assert {where[1]: record and record.value for where, record in found.items()} == {0: b"b", 1: b"c", 2: None}


def test_a_topic_that_does_not_exist_is_one_sentence(kafka: Kafka) -> None:
    with (
        TopicReader(kafka.make_consumer, "other") as reader,
        pytest.raises(UnknownTopicError, match=r"^The topic other does not exist: run `thumbnails topics create`"),
    ):
        reader.extents()


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError.UNKNOWN_LEADER_EPOCH])
def test_a_broker_that_comes_back_soon_ends_no_reading(kafka: Kafka, code: int) -> None:
    kafka.put(0, b"a")
    with TopicReader(kafka.make_consumer, "t") as reader:
        extents = reader.extents()
        kafka.made[-1].fail("consume", KafkaError(code))
        assert [record.value for record in reader.read(extents)] == [b"a"]


@pytest.mark.parametrize("code", [KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_LEADER_EPOCH])
def test_a_leader_that_is_just_elected_is_asked_again(kafka: Kafka, code: int) -> None:
    kafka.put(0, b"a")
    with TopicReader(kafka.make_consumer, "t") as reader:
        reader.extents()
        kafka.made[-1].fail("offsets_for_times", KafkaError(code))
        assert reader.extents()[0].count == 1


def test_an_error_that_does_not_pass_ends_the_reading(kafka: Kafka) -> None:
    kafka.put(0, b"a")
    with TopicReader(kafka.make_consumer, "t") as reader:
        extents = reader.extents()
        kafka.made[-1].fail("consume", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
        with pytest.raises(TopicReadError, match=r"^t cannot be read: "):
            list(reader.read(extents))


def test_a_partition_that_says_nothing_for_too_long_ends_the_reading(kafka: Kafka) -> None:
    kafka.put(0, b"a")
    consumer = kafka.make_consumer({})  # nobody says where the end is, and no record comes
    reader = PartitionReader(consumer, monotonic=kafka.clock.monotonic)
    started = kafka.clock.monotonic()
    with pytest.raises(SilenceError, match=r"^t gave nothing for 30 s: is the broker up"):
        list(reader.read({("t", 0): Extent(1, 2)}))
    assert kafka.clock.monotonic() - started == pytest.approx(SILENCE_TIMEOUT_S, abs=1)


def test_the_caller_may_take_its_time_for_a_record(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.kafka.reader.BATCH", 1)
    kafka.put(0, b"a", b"b")
    taken = []
    for record in reader_of(kafka).read({("t", 0): Extent(0, 2)}):
        taken.append(record.value)
        kafka.clock.wait(2 * SILENCE_TIMEOUT_S)
    assert taken == [b"a", b"b"]
