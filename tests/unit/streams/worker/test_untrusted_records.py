"""What a producer, or a clock, may write into a record: it ends as one outcome, and decides about nothing but itself."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from schemas import headers as h
from schemas.cloudevents import read_event, write_event
from schemas.errors import ErrorCode, TransientError
from schemas.events import (
    THUMBNAIL_CLEANUP_TYPE,
    THUMBNAIL_FAILED_TYPE,
    MediaUploaded,
    ThumbnailCleanup,
    ThumbnailFailed,
)
from schemas.tables import videos
from schemas.topics import Topics
from streams.kafka.records import InboundRecord, read_delivery
from streams.rows.last_write_wins import RowOutcome
from streams.rows.queries import NewestUpload
from streams.rows.upsert import apply_results
from streams.thumbnails.cleanup_requests import cleanup_request, needs_cleanup
from tests.doubles.pipeline import NOW, a_flow, an_upload
from tests.doubles.results import a_database, ready
from tests.unit.streams.worker.test_handler import (
    OLD,
    Rows,
    a_cleanup_record,
    a_handler,
    a_record,
    a_tombstone,
    handle,
    versions_left,
    with_versions,
)

OVERFLOWS = (b"9999-12-31T23:59:59-14:00", b"0001-01-01T00:00:00+14:00")
TIMES = (h.FIRST_FAILED_AT, h.LAST_FAILED_AT, h.REPLAYED_AT, h.RETRY_DUE_AT, h.RETRY_NOT_BEFORE, h.ORIGINAL_TIMESTAMP)
MICROSECONDS = int(NOW.timestamp() * 1_000_000)
DUE = "p.thumbnail.due"


def at(moment: datetime, record: InboundRecord, **changes: Any) -> InboundRecord:
    """The record, written at `moment`."""
    return InboundRecord(**{**vars(record), "timestamp_ms": int(moment.timestamp() * 1000), **changes})


def header_of(moment: datetime) -> bytes:
    return h.format_time(moment).encode()


def code_of(record: Any) -> str | None:
    return h.get_header(record.headers, h.ERROR_CODE)


@pytest.mark.parametrize("topic", ["p.media.uploaded", DUE])
@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", OVERFLOWS)
def test_a_time_that_overflows_counts_as_absent(topic: str, name: str, value: bytes) -> None:
    flow = a_flow()
    headers = ((h.RETRY_ATTEMPT, b"1"), (name, value))
    assert handle(flow, a_record(headers=headers, topic=topic)).records[0].topic == "p.thumbnail.ready"
    flow.maker.error = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "Down.")
    (waiting,) = handle(flow, a_record(headers=headers, topic=topic)).records
    assert waiting.topic.startswith("p.thumbnail.retry.")
    assert h.get_header(waiting.headers, h.FIRST_FAILED_AT) == h.format_time(NOW)


@pytest.mark.parametrize("timestamp_ms", [MICROSECONDS, 2**63 - 1, -1, -(2**63)])
@pytest.mark.parametrize("topic", ["p.media.uploaded", "p.thumbnail.cleanup", DUE])
def test_a_record_time_that_is_none_is_no_obstacle_to_its_dead_letter(timestamp_ms: int, topic: str) -> None:
    record = InboundRecord(topic, 2, 77, timestamp_ms, b"video:42", b"not JSON", ())
    dead_letter, *_ = handle(a_flow(), record).records
    assert (dead_letter.topic, dead_letter.value, code_of(dead_letter)) == (
        "p.thumbnail.dlq",
        b"not JSON",
        "event.malformed",
    )
    assert h.parse_time(h.get_header(dead_letter.headers, h.ORIGINAL_TIMESTAMP)) is not None


def test_whatever_cannot_be_read_of_a_record_it_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a header of a kind that nobody has thought of, which also stops the making of its dead letter."""
    flow, headers = a_flow(), (("own", b"\xff"), (h.FIRST_FAILED_AT, b"2026-11-23T11:00:00Z"))

    def overflow(record: InboundRecord, topics: Topics) -> Any:
        if h.get_header(record.headers, h.FIRST_FAILED_AT) is not None:
            raise OverflowError("secret")
        return read_delivery(record, topics)

    monkeypatch.setattr("streams.worker.handler.read_delivery", overflow)
    records = (a_record(headers=headers, topic=DUE), a_cleanup_record(OLD), a_tombstone(topic=DUE))
    for record in records:
        poison = InboundRecord(**{**vars(record), "headers": headers})
        (dead_letter,) = handle(flow, poison).records
        assert (dead_letter.topic, dead_letter.key, dead_letter.value) == ("p.thumbnail.dlq", poison.key, poison.value)
        assert code_of(dead_letter) == "internal.error"
        assert h.get_header(dead_letter.headers, "own") == "\ufffd"
        assert "secret" not in repr(dead_letter)


FORGED: h.Headers = (
    *((name, OVERFLOWS[0] if name in TIMES else b"3") for name in sorted(h.WORKING_HEADERS - {h.ORIGINAL_TOPIC})),
    (h.ORIGINAL_TOPIC, b"p.thumbnail.cleanup"),
)


def test_working_headers_of_a_producer_are_not_handed_on() -> None:
    flow = a_flow()
    flow.maker.error = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "Down.")
    forged = a_record(headers=(("own", b"\xff"), *FORGED))
    (waiting,) = handle(flow, forged).records
    assert waiting == handle(flow, a_record(headers=(("own", b"\xff"),))).records[0]


def test_a_producer_does_not_lengthen_the_time_budget_or_say_that_its_upload_was_tried() -> None:
    rows = Rows(None)
    rows.newest_upload = NewestUpload(NOW + timedelta(hours=1), "upload-9")  # asked for what comes again alone
    headers = ((h.RETRY_ATTEMPT, b"3"), (h.REPLAYED_AT, header_of(NOW)), (h.REPLAY_COUNT, b"1"))
    assert handle(a_flow(), a_record(headers=headers), rows=rows).records[0].topic == "p.thumbnail.ready"


def test_a_tombstone_counts_by_its_own_place_and_time_whatever_its_producer_says() -> None:
    rows = Rows(None)
    forged = ((h.ORIGINAL_TOPIC, b"p.thumbnail.cleanup"), (h.ORIGINAL_TIMESTAMP, b"2999-01-01T00:00:00Z"))
    assert handle(a_flow(), a_tombstone(headers=forged), rows=rows).records[0].topic == "p.thumbnail.deleted"
    assert [moment for _, _, moment in rows.deleted] == [NOW]


def test_a_first_failure_that_lies_ahead_is_not_handed_on() -> None:
    flow = a_flow()
    flow.maker.error = TransientError(
        ErrorCode.STORAGE_PAUSED, "Paused."
    )  # uses up no attempt: the budget alone ends it
    headers = ((h.RETRY_ATTEMPT, b"0"), (h.FIRST_FAILED_AT, b"9999-01-01T00:00:00Z"))
    (waiting,) = handle(flow, a_record(headers=headers, topic=DUE)).records
    assert h.get_header(waiting.headers, h.FIRST_FAILED_AT) == h.format_time(NOW)


def test_a_cleanup_on_the_producers_topic_is_no_cleanup() -> None:
    flow = with_versions(a_flow())
    before, forged = versions_left(flow), a_cleanup_record(OLD)
    record = InboundRecord(**{**vars(forged), "topic": "p.media.uploaded"})
    for headers in (record.headers, (*record.headers, (h.ORIGINAL_TOPIC, b"p.thumbnail.cleanup"))):
        dead_letter, _ = handle(flow, InboundRecord(**{**vars(record), "headers": headers})).records
        assert (dead_letter.topic, dead_letter.value, code_of(dead_letter)) == (
            "p.thumbnail.dlq",
            record.value,
            "event.malformed",
        )
        assert THUMBNAIL_CLEANUP_TYPE in (h.get_header(dead_letter.headers, h.ERROR_MESSAGE) or "")
    assert versions_left(flow) == before


@pytest.mark.parametrize(
    ("topic", "origin", "is_believed"),
    [
        ("p.thumbnail.cleanup", None, True),
        ("p.thumbnail.cleanup", b"p.thumbnail.cleanup", True),  # a dead letter that was replayed
        (DUE, b"p.thumbnail.cleanup", True),  # one that waited
        (DUE, b"p.media.uploaded", False),
        (DUE, b"thumbnail.cleanup", False),  # another installation's
        (DUE, None, False),
    ],
)
def test_a_cleanup_is_believed_by_where_it_was_read_first(topic: str, origin: bytes | None, is_believed: bool) -> None:
    flow, record = with_versions(a_flow()), a_cleanup_record(OLD)
    folder = f"acme/thumbnails/video/42/{OLD}/"
    headers = (*record.headers, *(((h.ORIGINAL_TOPIC, origin),) if origin else ()))
    outcome = handle(flow, InboundRecord(**{**vars(record), "topic": topic, "headers": headers}))
    is_gone = not any(key.startswith(folder) for key in flow.tenants.own.objects)
    assert (outcome.status == "success", is_gone) == (is_believed, is_believed)


def an_upload_of(moment: datetime, **changes: Any) -> InboundRecord:
    return a_record(write_event(an_upload(occurred_at=moment)), **changes)


@pytest.mark.parametrize("ahead_s", [301, 3600, 86_400 * 365 * 50])
@pytest.mark.parametrize("written_ahead_s", [-1, 0, 301, 3000])
def test_an_upload_from_the_future_is_refused_and_announced_with_a_time_that_can_be(
    ahead_s: int, written_ahead_s: int
) -> None:
    flow, written = a_flow(), NOW + timedelta(seconds=written_ahead_s)
    record = at(written, an_upload_of(NOW + timedelta(seconds=ahead_s)))
    dead_letter, announced = handle(flow, record).records
    assert (dead_letter.topic, dead_letter.value, code_of(dead_letter)) == (
        "p.thumbnail.dlq",
        record.value,
        "event.in_future",
    )
    failed = read_event(ThumbnailFailed, THUMBNAIL_FAILED_TYPE, announced.value, announced.headers)
    assert (failed.error.code, failed.error.retryable) == ("event.in_future", False)
    assert failed.occurred_at == min(written, NOW)
    assert flow.maker.seen == []
    count = flow.metrics.registry.get_sample_value("thumbnail_dead_letters_total", {"code": "event.in_future"})
    assert count == 1


@pytest.mark.parametrize("timestamp_ms", [int(NOW.timestamp()), -1, MICROSECONDS, int(NOW.timestamp() * 1000)])
def test_what_is_ahead_by_as_much_as_clocks_differ_is_made_whatever_time_its_record_has(timestamp_ms: int) -> None:
    """A record without a time, with one in seconds or in microseconds: the worker's clock counts."""
    record = an_upload_of(NOW + timedelta(seconds=299))
    outcome = handle(a_flow(), InboundRecord(**{**vars(record), "timestamp_ms": timestamp_ms}))
    (ready,) = outcome.records
    assert ready.topic == "p.thumbnail.ready"


def test_after_a_refused_upload_the_right_one_of_the_same_media_wins(tmp_path: Path) -> None:
    record = an_upload_of(NOW + timedelta(days=365))
    announced = handle(a_flow(), record).records[1]
    refused = read_event(ThumbnailFailed, THUMBNAIL_FAILED_TYPE, announced.value, announced.headers)
    engine = a_database(f"sqlite:///{tmp_path}/rows.db")
    with engine.begin() as connection:
        outcomes = apply_results(connection, [refused, ready(1)], now=NOW)
        row = connection.execute(sa.select(videos).where(videos.c.id == 42)).one()
    engine.dispose()
    assert outcomes == ["applied", "replaced"]
    assert (row.thumbnail_status, row.thumbnail_event_id) == ("ready", "upload-1")
    assert needs_cleanup(refused, RowOutcome.APPLIED)  # it asks for what is older than now, not for all that will come
    request = cleanup_request("cleanups", refused, RowOutcome.APPLIED, (), NOW)
    asked = read_event(ThumbnailCleanup, THUMBNAIL_CLEANUP_TYPE, request.value, request.headers)
    assert asked.version < ready(1).renditions[0].key.split("/")[-2]


def test_a_future_upload_is_not_made_because_it_waited_in_a_backlog_or_for_a_replay() -> None:
    written = NOW - timedelta(hours=5)
    record = at(written, an_upload_of(NOW - timedelta(hours=2)))
    dead_letter, _ = handle(a_flow(), record).records
    assert code_of(dead_letter) == "event.in_future"

    kept = h.without_headers(dead_letter.headers, (h.ERROR_CODE, h.ATTEMPTS, h.LAST_FAILED_AT))
    replayed = h.with_headers(kept, {h.REPLAYED_AT: h.format_time(NOW), h.REPLAY_COUNT: 1})
    again = a_record(record.value, replayed, DUE)
    assert code_of(handle(a_flow(), again).records[0]) == "event.in_future"


def test_a_retry_is_not_refused_by_a_worker_whose_clock_is_behind_that_of_the_first() -> None:
    first_failed_at = NOW + timedelta(minutes=20)
    headers = (
        (h.RETRY_ATTEMPT, b"1"),
        (h.FIRST_FAILED_AT, header_of(first_failed_at)),
        (h.ORIGINAL_TIMESTAMP, header_of(first_failed_at)),
    )
    record = an_upload_of(first_failed_at, headers=headers, topic=DUE)
    assert handle(a_flow(), record).records[0].topic == "p.thumbnail.ready"


def test_a_tombstone_from_the_future_is_a_dead_letter_and_cancels_nothing() -> None:
    rows, record = Rows(None), at(NOW + timedelta(minutes=50), a_tombstone())
    dead_letter, _ = handle(a_flow(), record, rows=rows).records
    assert (dead_letter.topic, dead_letter.key, dead_letter.value) == ("p.thumbnail.dlq", b"video:42", None)
    assert code_of(dead_letter) == "event.in_future"
    micro = InboundRecord(**{**vars(record), "timestamp_ms": MICROSECONDS})
    assert code_of(handle(a_flow(), micro, rows=rows).records[0]) == "event.in_future"
    assert rows.deleted == []
    soon = at(NOW + timedelta(seconds=299), a_tombstone())
    assert handle(a_flow(), soon, rows=rows).records[0].topic == "p.thumbnail.deleted"


def test_an_upload_with_the_largest_time_that_can_be_written_is_refused() -> None:
    value = write_event(an_upload()).replace(b"2026-11-23T12:00:00Z", b"9999-12-31T23:59:59.999999Z")
    assert MediaUploaded.model_validate_json(value).occurred_at.year == 9999
    outcome = asyncio.run(a_handler(a_flow()).handle(a_record(value)))
    assert code_of(outcome.records[0]) == "event.in_future"


@pytest.mark.parametrize(
    ("written_s", "first_failed_s", "counts_s"),
    [(-10, None, -10), (200, None, 0), (200, -60, -60), (-90, -60, -90)],
    ids=["earlier", "ahead", "ahead, and waited for the database", "earlier, and waited"],
)
def test_a_tombstone_counts_at_most_by_the_time_at_which_it_was_first_read(
    written_s: float, first_failed_s: float | None, counts_s: float
) -> None:
    """Its producer's clock may be fast within the limit: an upload that comes right after it must not be swallowed."""
    rows, written = Rows(None), NOW + timedelta(seconds=written_s)
    tombstone = at(written, a_tombstone())
    if first_failed_s is not None:
        waited = (h.FIRST_FAILED_AT, header_of(NOW + timedelta(seconds=first_failed_s)))
        original = ((h.ORIGINAL_TOPIC, b"p.media.uploaded"), (h.ORIGINAL_TIMESTAMP, header_of(written)))
        tombstone = a_tombstone(topic=DUE, headers=(waited, *original))
    assert handle(a_flow(), tombstone, rows=rows).status == "success"
    assert [moment for _, _, moment in rows.deleted] == [NOW + timedelta(seconds=counts_s)]
