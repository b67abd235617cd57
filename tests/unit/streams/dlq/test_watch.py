"""What status knows of dead letters: the same as a reading of everything, but each record is read once, in bounded memory."""

import random
from datetime import timedelta

import pytest

from schemas import headers as h
from streams.dlq.ledger import Ledger, Mark, MarkState, mark_record
from streams.dlq.read import ErrorGroup, group_by_code, read_dead_letter
from streams.dlq.watch import DeadLetterWatch
from streams.kafka.records import InboundRecord
from tests.doubles.letters import dead_letter_record
from tests.doubles.memory_kafka.broker import HeaderList
from tests.doubles.memory_topics import Kafka
from tests.doubles.pipeline import NOW


class Case:
    """Dead letters in topic `t`, their ledger, and a watch."""

    def __init__(self, kafka: Kafka, most: int = 1000) -> None:
        self.kafka = kafka
        kafka.broker.create_topic("ledger")
        self.watch = DeadLetterWatch(kafka.make_consumer, ("t",), "ledger", most)

    def fail(self, code: str = "storage.denied", company: int = 1, partition: int = 0, **more: bytes) -> int:
        self.kafka.clock.wait(1)
        template = dead_letter_record(code=code, company=company)
        failed_at = h.format_time(self.kafka.clock.now()).encode()
        headers: HeaderList = [(name, value) for name, value in template.headers if name != h.LAST_FAILED_AT]
        headers += [(h.LAST_FAILED_AT, failed_at), *((name.replace("_", "-"), value) for name, value in more.items())]
        return self.kafka.broker.put(("t", partition), template.value, key=template.key, headers=headers)

    def mark(self, offset: int, state: MarkState | None, partition: int = 0) -> None:
        (record,) = [
            one for one in self.kafka.broker.records("t") if (one.partition, one.offset) == (partition, offset)
        ]
        written = mark_record("ledger", record, Mark(state or MarkState.REPLAYED, NOW, "x"))
        self.kafka.broker.put(("ledger", 0), None if state is None else written.value, key=written.key)

    def groups(self) -> list[ErrorGroup]:
        return self.watch.poll()["t"]

    def counts(self) -> dict[str, tuple[int, int]]:
        return {group.code: (group.count, group.waiting) for group in self.groups()}

    def by_reading_all(self) -> list[ErrorGroup]:
        ledger = Ledger.read(self.kafka.broker.records("ledger"))
        return group_by_code(map(read_dead_letter, self.kafka.broker.records("t")), ledger)


@pytest.fixture
def case(kafka_in_memory: Kafka) -> Case:
    return Case(kafka_in_memory)


def test_dead_letters_are_grouped_with_their_companies_and_the_newest_as_example(case: Case) -> None:
    case.fail(company=1)
    case.fail(company=2, partition=1)
    case.fail(code="media.corrupt", company=3)
    denied, corrupt = case.groups()
    assert (denied.code, denied.count, denied.waiting, dict(denied.companies)) == (
        "storage.denied",
        2,
        2,
        {1: 1, 2: 1},
    )
    assert (denied.example, denied.example_company_id, denied.example_media, denied.example_message) == (
        "1:0",
        2,
        "video:42",
        "No.",
    )
    assert denied.last_at - denied.first_at == timedelta(seconds=1)
    assert (corrupt.code, corrupt.example) == ("media.corrupt", "0:1")


def test_marks_take_dead_letters_off_and_put_them_back(case: Case) -> None:
    for _ in range(4):
        case.fail()
    case.mark(0, MarkState.REPLAYED)
    case.mark(1, MarkState.SENDING)
    assert case.counts() == {"storage.denied": (4, 3)}
    case.mark(1, MarkState.ACKNOWLEDGED)
    case.mark(2, MarkState.DISCARDED)
    (group,) = case.groups()
    assert (group.waiting, group.acknowledged, group.discarded) == (1, 1, 1)
    assert group.example == "0:3"
    case.mark(0, None)  # as a purge takes marks away
    assert case.counts() == {"storage.denied": (4, 2)}


def test_only_what_is_new_is_read(case: Case) -> None:
    case.fail()
    case.mark(0, MarkState.REPLAYED)
    first = case.groups()
    for consumer in case.kafka.made:

        def must_not_read() -> None:
            raise AssertionError("it reads again")

        consumer.before("consume", must_not_read)
    assert case.groups() is first


def test_the_example_is_one_that_waits(case: Case) -> None:
    case.fail(company=1)
    case.fail(company=2)
    case.mark(1, MarkState.DISCARDED)
    (group,) = case.groups()
    assert (group.example, group.example_company_id) == ("0:0", 1)


def test_a_mark_that_is_read_before_its_dead_letter_counts(case: Case) -> None:
    """It came between the look at the dead letters and that at the ledger."""

    def fail_and_acknowledge() -> None:
        case.mark(case.fail(), MarkState.ACKNOWLEDGED)

    case.fail()
    case.kafka.made[0].before("consume", fail_and_acknowledge)
    assert case.counts() == {"storage.denied": (1, 1)}
    (group,) = case.groups()
    assert (group.count, group.waiting, group.acknowledged) == (2, 1, 1)


def test_a_mark_of_another_dead_letter_at_the_same_place_does_not_count(case: Case) -> None:
    case.fail()
    other = InboundRecord("t", 0, 0, 12345, None, None, ())
    written = mark_record("ledger", other, Mark(MarkState.REPLAYED, NOW, "x"))
    case.kafka.broker.put(("ledger", 0), written.value, key=written.key)
    assert case.counts() == {"storage.denied": (1, 1)}


def test_a_topic_that_was_created_again_is_read_as_new_with_the_marks_that_hold(case: Case) -> None:
    for _ in range(2):
        case.fail()
        case.mark(0, MarkState.REPLAYED)
    assert case.counts() == {"storage.denied": (2, 1)}
    for number in range(3):
        case.kafka.broker._logs.pop(("t", number))
    case.kafka.broker.create_topic("t", 3)
    for _ in range(3):
        case.fail(code="media.corrupt")
    case.mark(2, MarkState.ACKNOWLEDGED)
    assert case.counts() == {"media.corrupt": (3, 2)}


def test_marks_that_were_read_before_a_new_topic_was_noticed_are_read_again(case: Case) -> None:
    """The new topic is as long as the old one, so that the first look takes it for the same."""
    for _ in range(2):
        case.fail()
    assert case.counts() == {"storage.denied": (2, 2)}
    for number in range(3):
        case.kafka.broker._logs.pop(("t", number))
    case.kafka.broker.create_topic("t", 3)
    for _ in range(2):
        case.fail(code="media.corrupt")
    case.mark(0, MarkState.DISCARDED)
    assert case.counts() == {"storage.denied": (2, 2)}
    case.fail(code="media.corrupt")
    assert case.counts() == {"media.corrupt": (3, 2)}


def test_a_ledger_that_was_created_again_has_lost_its_marks(case: Case) -> None:
    for _ in range(2):
        case.fail()
        case.mark(0, MarkState.REPLAYED)
    assert case.counts() == {"storage.denied": (2, 1)}
    case.kafka.broker._logs.pop(("ledger", 0))
    case.kafka.broker.create_topic("ledger")
    assert case.counts() == {"storage.denied": (2, 2)}


def test_of_too_many_dead_letters_the_newest_are_known(kafka_in_memory: Kafka) -> None:
    case = Case(kafka_in_memory, most=3)
    for number in range(5):
        case.fail(company=number)
    (group,) = case.groups()
    assert sorted(group.companies, key=str) == [2, 3, 4]
    case.fail(company=9)
    (group,) = case.groups()
    assert sorted(group.companies, key=str) == [3, 4, 9]
    case.mark(0, MarkState.REPLAYED)  # of one that is not known any more
    assert case.counts() == {"storage.denied": (3, 3)}


def test_what_somebody_cancelled_before_it_was_a_dead_letter_needs_no_attention_until_a_mark_says_otherwise(
    case: Case,
) -> None:
    case.fail(code="upload.cancelled", cancelled_at=b"2026-11-24T08:05:00.000Z", cancelled_by=b"ana")
    (group,) = case.groups()
    assert (group.waiting, group.discarded) == (0, 1)
    case.mark(0, MarkState.SENDING)
    assert case.counts() == {"upload.cancelled": (1, 1)}
    case.mark(0, None)
    assert case.counts() == {"upload.cancelled": (1, 0)}


@pytest.mark.parametrize("seed", range(20))
def test_looks_at_any_moment_say_the_same_as_reading_everything(kafka_in_memory: Kafka, seed: int) -> None:
    case, chance = Case(kafka_in_memory), random.Random(seed)
    places: list[tuple[int, int]] = []
    for _ in range(80):
        dice = chance.random()
        if dice < 0.4 or not places:
            number = chance.randrange(3)
            code = chance.choice(["storage.denied", "media.corrupt", "internal.error"])
            places.append((number, case.fail(code, chance.randrange(3), number)))
        elif dice < 0.8:
            number, offset = chance.choice(places)
            case.mark(offset, chance.choice([*MarkState, None]), number)
        else:
            case.groups()
    found, wanted = case.groups(), case.by_reading_all()
    assert [(one.code, one.count, one.waiting, one.companies, one.acknowledged, one.discarded) for one in found] == [
        (one.code, one.count, one.waiting, one.companies, one.acknowledged, one.discarded) for one in wanted
    ]
    assert [(one.example, one.first_at, one.last_at) for one in found] == [
        (one.example, one.first_at, one.last_at) for one in wanted
    ]
