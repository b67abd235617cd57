"""How many dead letters wait, on the in-memory Kafka: marks take them off, and little is read again."""

from datetime import datetime, timedelta

import pytest

from streams.dlq.backlog import Backlog, DlqBacklog
from streams.dlq.ledger import Mark, MarkState, mark_record
from streams.kafka.records import InboundRecord
from tests.doubles.memory_topics import Kafka


class Case:
    """Dead letters in topic `t`, a minute apart, and their ledger."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self.began = kafka.clock.now()
        kafka.broker.create_topic("ledger")
        self.backlog = DlqBacklog(kafka.make_consumer, ("t",), "ledger")

    def fail(self, partition: int = 0) -> None:
        self.kafka.put(partition, b"x")
        self.kafka.clock.wait(60)

    def mark(self, offset: int, state: MarkState, partition: int = 0) -> None:
        dead_letter = InboundRecord("t", partition, offset, 0, None, None, ())
        record = mark_record("ledger", dead_letter, Mark(state, self.began, "x"))
        self.kafka.broker.put(("ledger", 0), record.value, key=record.key)

    def minute(self, number: int) -> datetime:
        return self.began + timedelta(minutes=number)


@pytest.fixture
def case(kafka_in_memory: Kafka) -> Case:
    return Case(kafka_in_memory)


def test_without_dead_letters_nothing_waits(case: Case) -> None:
    assert case.backlog.poll() == Backlog(0, None)


def test_all_partitions_count_and_the_oldest_of_them_says_since_when(case: Case) -> None:
    case.fail(partition=1)
    case.fail(partition=0)
    assert case.backlog.poll() == Backlog(2, case.minute(0))
    case.fail(partition=0)
    assert case.backlog.poll() == Backlog(3, case.minute(0))


def test_what_was_replayed_or_parked_waits_no_more_and_what_was_perhaps_sent_does(case: Case) -> None:
    for _ in range(3):
        case.fail()
    case.mark(0, MarkState.SENDING)
    assert case.backlog.poll() == Backlog(3, case.minute(0))
    case.mark(0, MarkState.REPLAYED)
    assert case.backlog.poll() == Backlog(2, case.minute(1))
    case.mark(1, MarkState.PARKED)
    case.mark(2, MarkState.REPLAYED)
    assert case.backlog.poll() == Backlog(0, None)
    case.fail()
    assert case.backlog.poll() == Backlog(1, case.minute(3))


def test_what_was_acknowledged_or_discarded_waits_no_more(case: Case) -> None:
    for _ in range(3):
        case.fail()
    case.mark(0, MarkState.ACKNOWLEDGED)
    case.mark(1, MarkState.DISCARDED)
    assert case.backlog.poll() == Backlog(1, case.minute(2))


def test_a_dead_letter_in_the_middle_that_was_replayed_is_not_counted(case: Case) -> None:
    for _ in range(3):
        case.fail()
    case.mark(1, MarkState.REPLAYED)
    assert case.backlog.poll() == Backlog(2, case.minute(0))


def test_the_end_of_an_aborted_transaction_is_no_dead_letter(case: Case) -> None:
    case.kafka.transact(b"never", commit=False)
    assert case.backlog.poll() == Backlog(0, None)


def test_the_oldest_dead_letter_is_read_once(case: Case) -> None:
    case.fail()
    first = case.backlog.poll()

    def must_not_read() -> None:
        raise AssertionError("it reads again")

    case.kafka.made[0].before("consume", must_not_read)
    assert case.backlog.poll() == first


def test_behind_a_gap_the_next_dead_letter_is_the_oldest_once_the_first_is_done(case: Case) -> None:
    case.kafka.transact(b"never", commit=False)
    case.fail()  # at offset 2
    case.fail()
    assert case.backlog.poll().oldest_at == case.minute(0)
    case.mark(2, MarkState.REPLAYED)
    assert case.backlog.poll().oldest_at == case.minute(1)


def test_a_mark_is_read_once(case: Case) -> None:
    case.fail()
    case.mark(0, MarkState.REPLAYED)
    assert case.backlog.poll() == Backlog(0, None)

    def must_not_read() -> None:
        raise AssertionError("it reads the ledger again")

    case.kafka.made[1].before("consume", must_not_read)
    assert case.backlog.poll() == Backlog(0, None)
