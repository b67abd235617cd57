"""Deliveries: what is read of a record's headers, once, and what is believed of it."""

from pathlib import Path

import pytest

from schemas import headers as h
from schemas.topics import Topics
from streams.kafka.records import InboundRecord, Origin, read_delivery, unread_delivery
from tests.doubles.pipeline import NOW

TOPICS = Topics("p.")
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OWN: h.Headers = (("own", b"\xff"), ("own", None))
ORIGIN: h.Headers = (
    (h.ORIGINAL_TOPIC, b"p.media.uploaded"),
    (h.ORIGINAL_PARTITION, b"2"),
    (h.ORIGINAL_OFFSET, b"7"),
    (h.ORIGINAL_TIMESTAMP, b"2026-11-23T11:00:00Z"),
    (h.CONSUMER_GROUP, b"g"),
)
WORKING: h.Headers = (
    *ORIGIN,
    (h.RETRY_ATTEMPT, b"2"),
    (h.FIRST_FAILED_AT, b"2026-11-23T11:30:00Z"),
    (h.LAST_FAILED_AT, b"2026-11-23T11:45:00Z"),
    (h.ERROR_CODE, b"source.missing"),
    (h.ERROR_CODE, b"storage.full"),
)


def a_record(topic: str, headers: h.Headers) -> InboundRecord:
    return InboundRecord(topic, 1, 5, int(NOW.timestamp() * 1000), b"video:42", b"{}", headers)


def test_a_retry_says_where_it_came_from_and_how_often_it_was_tried() -> None:
    delivery = read_delivery(a_record("p.thumbnail.due", (*OWN, *WORKING)), TOPICS)
    assert (delivery.origin_topic, delivery.attempt, delivery.is_again) == ("p.media.uploaded", 3, True)
    assert delivery.origin == Origin("p.media.uploaded", "2", "7", "2026-11-23T11:00:00Z", "g")
    assert delivery.first_failed_at == delivery.budget_from == h.parse_time("2026-11-23T11:30:00Z")
    assert (delivery.last_code, delivery.is_replay) == ("storage.full", False)
    assert delivery.written_at == h.parse_time("2026-11-23T11:00:00Z")
    assert delivery.record.headers == (*OWN, *WORKING)


def test_of_a_producers_record_no_working_header_is_read_or_kept() -> None:
    forged = (*OWN, *WORKING, (h.REPLAY_COUNT, b"1"), (h.CORRELATION_ID, b"theirs"))
    delivery = read_delivery(a_record("p.media.uploaded", forged), TOPICS)
    plain = read_delivery(a_record("p.media.uploaded", (*OWN, (h.CORRELATION_ID, b"theirs"))), TOPICS)
    assert delivery == plain
    assert (delivery.origin, delivery.attempt, delivery.correlation_id) == (Origin(), 1, "theirs")
    assert delivery.written_at == NOW


def test_only_a_due_record_may_come_from_another_topic() -> None:
    assert read_delivery(a_record("p.thumbnail.cleanup", WORKING), TOPICS).origin_topic == "p.thumbnail.cleanup"


@pytest.mark.parametrize(
    ("replayed_at", "is_retry", "budget_from"),
    [
        (None, False, None),
        (b"2026-11-23T11:50:00Z", True, "2026-11-23T11:50:00Z"),
        (b"2026-11-23T11:50:00Z", False, None),
    ],
)
def test_a_replay_begins_a_new_time_budget(replayed_at: bytes | None, is_retry: bool, budget_from: str | None) -> None:
    headers: h.Headers = ((h.FIRST_FAILED_AT, b"2026-11-01T00:00:00Z"),)
    headers += ((h.REPLAYED_AT, replayed_at),) if replayed_at else ()
    headers += ((h.RETRY_ATTEMPT, b"1"),) if is_retry else ()
    delivery = read_delivery(a_record("p.thumbnail.due", headers), TOPICS)
    assert delivery.budget_from == h.parse_time(budget_from)
    assert delivery.is_again == (is_retry or replayed_at is not None)


def test_the_trace_goes_on_unless_it_is_too_long() -> None:
    headers: h.Headers = ((h.TRACEPARENT, TRACE), (h.TRACESTATE, b"x" * 2000), *OWN)
    delivery = read_delivery(a_record("p.media.uploaded", headers), TOPICS)
    assert (delivery.trace, delivery.trace_id) == (((h.TRACEPARENT, TRACE),), TRACE[3:35].decode())


def test_a_delivery_of_which_nothing_was_read_keeps_what_is_the_producers() -> None:
    delivery = unread_delivery(a_record("p.thumbnail.due", (*OWN, *WORKING)))
    assert (delivery.record.headers, delivery.record.timestamp_ms) == (OWN, 0)
    assert (delivery.attempt, delivery.origin, delivery.origin_topic) == (1, Origin(), "p.thumbnail.due")


def test_the_headers_of_a_record_are_read_in_one_place() -> None:
    """The worker's rooms read no header of a record again: what they need is a field of its delivery.

    Marks are records of another kind, which the worker does not read.
    """
    root = Path(__file__).parents[4] / "streams"
    readers = {
        str(path.relative_to(root))
        for room in ("worker", "thumbnails", "failures")
        for path in (root / room).rglob("*.py")
        if any(call in path.read_text() for call in ("get_header(", "get_count(", "parse_time(", "trace_id(record"))
    }
    assert readers == {"failures/marks.py"}
