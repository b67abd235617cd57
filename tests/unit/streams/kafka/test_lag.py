"""How far a group is behind, on the in-memory Kafka: one rule for markers, in metrics and in status."""

import pytest

from streams.kafka.lag import GroupLag, PartitionLag
from tests.doubles.memory_topics import Kafka

WHERE = ("t", 0)


@pytest.fixture
def kafka(kafka_in_memory: Kafka) -> Kafka:
    return kafka_in_memory


@pytest.fixture
def lag(kafka: Kafka) -> GroupLag:
    return GroupLag(kafka.make_consumer, monotonic=kafka.clock.monotonic)


def seen(lag: GroupLag) -> tuple[int, bytes | None]:
    """The number of records, and the head's value."""
    found = lag.read([WHERE])[WHERE]
    return found.records, found.head.value if found.head else None


def test_the_lag_begins_with_the_first_record_that_is_not_committed(kafka: Kafka, lag: GroupLag) -> None:
    assert seen(lag) == (0, None)
    kafka.put(0, b"a", b"b", b"c")
    assert seen(lag) == (3, b"a")
    kafka.commit(0, 2)
    assert seen(lag) == (1, b"c")
    kafka.commit(0, 3)
    assert seen(lag) == (0, None)


def test_each_partition_has_its_own(kafka: Kafka, lag: GroupLag) -> None:
    kafka.put(0, b"a")
    kafka.put(1, b"b", b"c")
    kafka.commit(1, 1)
    found = lag.read([("t", number) for number in range(3)])
    assert {where[1]: (one.records, one.head and one.head.value) for where, one in found.items()} == {
        0: (1, b"a"),
        1: (1, b"c"),
        2: (0, None),
    }
    assert lag.read([]) == {}


def test_the_end_of_a_transaction_is_no_lag(kafka: Kafka, lag: GroupLag) -> None:
    kafka.transact(b"a", b"b")
    kafka.commit(0, 2)  # the marker stands at 2, and no consumer ever commits behind it
    assert seen(lag) == (0, None)
    kafka.put(0, b"c")
    assert seen(lag) == (1, b"c"), "it counts from the head on, and not from the marker"


def test_records_of_an_aborted_transaction_are_no_lag(kafka: Kafka, lag: GroupLag) -> None:
    kafka.transact(b"never", commit=False)
    assert seen(lag) == (0, None)


def test_a_head_that_is_known_is_not_read_again(kafka: Kafka, lag: GroupLag) -> None:
    kafka.put(0, b"a")
    first = lag.read([WHERE])

    def must_not_read() -> None:
        raise AssertionError("it reads again")

    kafka.made[0].before("consume", must_not_read)
    assert lag.read([WHERE]) == first
    kafka.put(0, b"b")
    assert seen(lag) == (2, b"a")


def test_a_head_that_is_not_read_in_time_leaves_an_upper_bound_and_is_asked_for_again(kafka: Kafka) -> None:
    lag = GroupLag(lambda _settings: kafka.make_consumer({}), monotonic=kafka.clock.monotonic)
    kafka.transact(b"a")
    kafka.commit(0, 1)  # only the marker is left, and nobody says that the partition has ended
    assert lag.read([WHERE]) == {WHERE: PartitionLag(1, None)}
    kafka.put(0, b"b")
    assert seen(lag) == (1, b"b")
