"""What waits in the retry topics: only that, read once, grouped by code and company, and what of it was cancelled."""

import json
from datetime import timedelta

import pytest

from schemas import headers as h
from schemas.topics import UNPREFIXED
from streams.dlq.ledger import Mark, MarkState, mark_record
from streams.dlq.retries import RetryFilter, RetryWatch, by_code_and_company
from tests.doubles.memory_topics import Kafka
from tests.doubles.pipeline import NOW

FIRST, SECOND, _ = UNPREFIXED.retries


class Case:
    """The retry topics with two partitions each, their ledger, and a watch."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        for topic in UNPREFIXED.retries:
            kafka.broker.create_topic(topic, 2)
        kafka.broker.create_topic(UNPREFIXED.replays)
        self.watch = RetryWatch(kafka.make_consumer, UNPREFIXED)

    def wait(
        self,
        code: str,
        company: int = 1,
        due_in_s: float = 60,
        topic: str = FIRST,
        *,
        number: int = 42,
        partition: int = 0,
    ) -> int:
        media = {"kind": "video", "id": number, "ar_content_id": 9, "key": "acme/uploads/a.mp4"}
        value = json.dumps({"event_id": "e", "company_id": company, "media": media}).encode()
        headers = {
            h.ERROR_CODE: code,
            h.ERROR_MESSAGE: f"No {number}.",
            h.RETRY_DUE_AT: h.format_time(NOW + timedelta(seconds=due_in_s)),
            h.ORIGINAL_TOPIC: "media.uploaded",
        }
        wire = [(name, h.header_text(text)) for name, text in headers.items()]
        return self.kafka.broker.put((topic, partition), value, key=b"video:%d" % number, headers=[*wire])

    def cancel(self, offset: int, topic: str = FIRST, state: MarkState = MarkState.CANCELLED) -> None:
        (record,) = [one for one in self.kafka.broker.records(topic) if (one.partition, one.offset) == (0, offset)]
        written = mark_record("x", record, Mark(state, NOW, "", "ana", "it comes again"))
        self.kafka.broker.put((UNPREFIXED.replays, 0), written.value, key=written.key)

    def hand_on(self, offset: int, topic: str = FIRST) -> None:
        self.kafka.broker.group("group").committed[topic, 0] = offset

    def positions(self) -> list[str]:
        return [one.position for one in self.watch.poll()]


@pytest.fixture
def case(kafka_in_memory: Kafka) -> Case:
    return Case(kafka_in_memory)


def test_a_record_says_why_it_waits_whose_it_is_and_when_it_is_due(case: Case) -> None:
    case.wait("source.missing", company=3, due_in_s=90, topic=SECOND)
    (one,) = case.watch.poll()
    assert (one.position, one.tier, one.code, one.company_id, one.key) == ("2:0:0", 2, "source.missing", 3, "video:42")
    assert (one.message, one.origin, one.due_at) == ("No 42.", "media.uploaded", NOW + timedelta(seconds=90))
    assert one.cancelled is None


def test_what_the_retry_role_has_handed_on_waits_no_more(case: Case) -> None:
    for _ in range(3):
        case.wait("source.missing")
    case.hand_on(1)
    assert case.positions() == ["1:0:1", "1:0:2"]
    case.hand_on(2)
    case.wait("source.missing")
    assert case.positions() == ["1:0:2", "1:0:3"]
    case.hand_on(4)
    assert case.positions() == []


def test_a_commit_of_a_topic_that_was_deleted_hides_nothing(case: Case) -> None:
    case.hand_on(500)
    case.wait("source.missing")
    assert case.positions() == ["1:0:0"]


def test_each_record_is_read_once(case: Case) -> None:
    case.wait("source.missing")
    case.cancel(0)
    assert case.positions() == ["1:0:0"]
    for consumer in case.kafka.made:

        def must_not_read() -> None:
            raise AssertionError("it reads again")

        consumer.before("consume", must_not_read)
    (one,) = case.watch.poll()
    assert one.cancelled is not None


def test_groups_are_by_code_and_company_with_the_record_that_is_due_first(case: Case) -> None:
    case.wait("source.missing", company=1, due_in_s=50, number=1)
    case.wait("source.missing", company=1, due_in_s=30, number=2, topic=SECOND)
    case.wait("source.missing", company=2, due_in_s=10, number=3)
    case.wait("storage.unavailable", company=1, due_in_s=20, number=4)
    groups = by_code_and_company(case.watch.poll())
    assert [(one.code, one.company_id, one.count, one.next.key) for one in groups] == [
        ("source.missing", 1, 2, "video:2"),
        ("source.missing", 2, 1, "video:3"),
        ("storage.unavailable", 1, 1, "video:4"),
    ]
    assert groups[0].last_due_at == NOW + timedelta(seconds=50)


def test_a_cancelled_record_says_who_and_why_until_it_is_dropped(case: Case) -> None:
    case.wait("source.missing")
    case.wait("source.missing")
    case.cancel(1)
    first, second = case.watch.poll()
    assert first.cancelled is None
    assert second.cancelled is not None
    assert (second.cancelled.by, second.cancelled.note) == ("ana", "it comes again")
    (group,) = by_code_and_company([first, second])
    assert (group.count, group.cancelled) == (2, 1)
    case.hand_on(2)
    assert case.positions() == []
    assert case.watch._marks == {}, "marks of what is gone take no memory"


def test_a_mark_of_another_record_or_of_another_kind_cancels_nothing(case: Case) -> None:
    case.wait("source.missing")
    case.cancel(0, state=MarkState.REPLAYED)
    assert [one.cancelled for one in case.watch.poll()] == [None]
    case.kafka.clock.wait(1)
    case.wait("source.missing", topic=SECOND)
    (record,) = case.kafka.broker.records(FIRST)
    written = mark_record("x", record, Mark(MarkState.CANCELLED, NOW, "", "ana", ""))
    case.kafka.broker.put((UNPREFIXED.replays, 0), written.value, key=f"{SECOND}/0/0".encode())
    assert [one.cancelled for one in case.watch.poll()] == [None, None]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (RetryFilter(), ["1:0:0", "1:0:1", "2:0:0"]),
        (RetryFilter(codes=("source.*",)), ["1:0:0", "2:0:0"]),
        (RetryFilter(companies=(2,)), ["1:0:1"]),
        (RetryFilter(keys=("video:3",)), ["2:0:0"]),
        (RetryFilter(positions=frozenset({"1:0:1", "3:0:9"})), ["1:0:1"]),
        (RetryFilter(codes=("source.missing",), companies=(2,)), []),
    ],
)
def test_filters_hold_together(case: Case, wanted: RetryFilter, found: list[str]) -> None:
    case.wait("source.missing", company=1, number=1)
    case.wait("storage.locked", company=2, number=2)
    case.wait("source.missing", company=3, number=3, topic=SECOND)
    assert [one.position for one in case.watch.poll() if wanted.matches(one)] == found
