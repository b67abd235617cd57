"""A topic that is followed: only what is new is read, and a topic that was created again is read from its beginning."""

import pytest

from streams.kafka.follower import Listener, TopicFollower
from streams.kafka.reader import Extent, TopicReadError
from streams.kafka.records import InboundRecord
from tests.doubles.memory_topics import Kafka


class Case:
    """A follower of `t`, and what it gave since the last look."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self.follower = TopicFollower(kafka.make_consumer, "t")
        self.given: list[tuple[int, int, bytes | None]] = []
        self.forgotten: list[int] = []
        self.first_offset = 0

    def look(self) -> list[tuple[int, int, bytes | None]]:
        self.given = []
        self.follower.look(Listener(self._take, self.forgotten.append, self._first))
        return self.given

    def _take(self, record: InboundRecord) -> None:
        self.given.append((record.partition, record.offset, record.value))

    def _first(self, _number: int, extent: Extent) -> int:
        return max(extent.low, self.first_offset)

    def create_again(self, partitions: int = 3) -> None:
        for number in range(3):
            self.kafka.broker._logs.pop(("t", number))
        self.kafka.broker.create_topic("t", partitions)
        self.kafka.clock.wait(60)


@pytest.fixture
def case(kafka_in_memory: Kafka) -> Case:
    return Case(kafka_in_memory)


def test_each_record_is_given_once(case: Case) -> None:
    case.kafka.put(0, b"a", b"b")
    case.kafka.put(2, b"c")
    assert case.look() == [(0, 0, b"a"), (0, 1, b"b"), (2, 0, b"c")]
    assert case.look() == []
    case.kafka.put(0, b"d")
    assert case.look() == [(0, 2, b"d")]
    assert case.forgotten == []


def test_nothing_is_read_where_nothing_is_new(case: Case) -> None:
    case.kafka.put(0, b"a")
    case.look()

    def must_not_read() -> None:
        raise AssertionError("it reads again")

    case.kafka.made[0].before("consume", must_not_read)
    assert case.look() == []


def test_the_first_look_begins_where_it_is_told(case: Case) -> None:
    case.kafka.put(0, b"a", b"b", b"c")
    case.first_offset = 2
    assert case.look() == [(0, 2, b"c")]


def test_a_transaction_is_seen_when_it_is_committed_and_markers_are_no_records(case: Case) -> None:
    case.kafka.transact(b"never", commit=False)
    assert case.look() == []
    case.kafka.transact(b"a")
    assert case.look() == [(0, 2, b"a")]
    assert case.look() == []


@pytest.mark.parametrize("again", [[b"x"], [b"x", b"y"], [b"x", b"y", b"z"]], ids=["shorter", "as long", "longer"])
def test_a_topic_that_was_created_again_is_read_from_its_beginning(case: Case, again: list[bytes]) -> None:
    case.kafka.put(1, b"a", b"b")
    case.look()
    case.create_again()
    case.kafka.put(1, *again)
    found = case.look()
    if len(again) == 2:  # it ends where the old one did: the next record tells
        assert (found, case.forgotten) == ([], [])
        case.kafka.put(1, b"last")
        again, found = [*again, b"last"], case.look()
    assert case.forgotten == [1]
    assert found == [(1, offset, value) for offset, value in enumerate(again)]
    assert case.look() == []


def test_a_topic_with_fewer_partitions_than_before_is_another_one(case: Case) -> None:
    case.kafka.put(2, b"a")
    case.kafka.put(0, b"b")
    case.look()
    case.create_again(1)
    case.kafka.put(0, b"x", b"y")
    assert case.look() == [(0, 0, b"x"), (0, 1, b"y")]
    assert sorted(case.forgotten) == [0, 1, 2]


def test_a_reading_that_breaks_off_goes_on_after_the_last_record_that_was_given(case: Case) -> None:
    case.kafka.put(0, b"a", b"b", b"c")

    def take(record: InboundRecord) -> None:
        if record.value == b"b":
            raise TopicReadError("The broker is gone.")
        case._take(record)

    with pytest.raises(TopicReadError):
        case.follower.look(Listener(take, case.forgotten.append))
    assert case.given == [(0, 0, b"a")]
    assert case.look() == [(0, 1, b"b"), (0, 2, b"c")]


def test_what_is_forgotten_is_read_again(case: Case) -> None:
    case.kafka.put(0, b"a")
    case.look()
    case.follower.forget()
    assert case.look() == [(0, 0, b"a")]
