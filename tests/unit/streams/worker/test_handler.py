"""One record to its outcome: what is sent where, with which headers, and that nothing escapes."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from schemas import headers as h
from schemas.cloudevents import context_headers, read_event, write_event
from schemas.degraded import DegradedReason
from schemas.errors import NEXT_ACTIONS, ErrorCode, PermanentError, TransientError
from schemas.events import (
    THUMBNAIL_CLEANUP_TYPE,
    THUMBNAIL_FAILED_TYPE,
    THUMBNAIL_READY_TYPE,
    CleanupReason,
    Media,
    MediaKind,
    ThumbnailCleanup,
    ThumbnailFailed,
    ThumbnailReady,
    upload_version,
)
from schemas.media_state import THUMBNAIL_DELETED_TYPE, ThumbnailDeleted
from schemas.topics import CARRIER_BYTES, THUMBNAIL_PARKED, Topics
from storage.tenants import TenantStorage
from streams.dlq.ledger import Ledger
from streams.dlq.plan import ReplayRules, Send
from streams.dlq.read import read_dead_letter
from streams.failures.company_limiter import CompanyLimit, CompanyLimiter
from streams.failures.guard import DeadLetterFloodError, DeadLetterGuard, DeadLetterLimit
from streams.failures.marks import MarkState
from streams.failures.policy import RetryPolicy
from streams.failures.size import fits
from streams.kafka.records import InboundRecord
from streams.rows.queries import TOMBSTONE, DeletedRow, NewestUpload, RowStates, ShownRow
from streams.thumbnails.cleanup import CleanupService
from streams.thumbnails.staleness import UploadOrder
from streams.worker.failure import Failures, Rules
from streams.worker.handler import EventHandler
from streams.worker.observer import Observer
from streams.worker.outcome import Outcome
from streams.worker.removals import Removals
from tests.doubles.pipeline import NOW, Flow, a_flow, an_upload

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Rows:
    """Stands for the table: what the one media's row shows."""

    def __init__(self, row: ShownRow | None) -> None:
        self.row = row

        self.newest_upload: NewestUpload | None = NewestUpload(datetime.min.replace(tzinfo=UTC), "")
        self.is_down = False
        self.deleted: list[tuple[MediaKind, int, datetime]] = []

    def shown(self, _media: Media) -> ShownRow | None:
        return self.row

    def newest(self, _media: Media) -> NewestUpload | None:
        if self.is_down:
            raise TransientError(ErrorCode.DATABASE_UNAVAILABLE, "x")
        return self.newest_upload

    def mark_deleted(
        self, kind: MediaKind, row_id: int, at: datetime, company_id: int | None = None
    ) -> DeletedRow | None:
        if self.is_down:
            raise TransientError(ErrorCode.DATABASE_UNAVAILABLE, "x")
        if self.row is not None and company_id not in (None, self.row.company_id):
            return DeletedRow(self.row.company_id, row_id)
        self.deleted.append((kind, row_id, at))
        return None if self.row is None else DeletedRow(self.row.company_id, row_id)


NO_LIMITER = CompanyLimiter(CompanyLimit(0, 0.5, 300, 100))


def a_handler(
    flow: Flow,
    row: ShownRow | None = None,
    delays_s: tuple[float, ...] = (60, 120, 240),
    rows: Rows | None = None,
    limit: DeadLetterLimit | None = None,
    limiter: CompanyLimiter = NO_LIMITER,
) -> EventHandler:
    table = cast(RowStates, rows or Rows(row))
    executor = ThreadPoolExecutor(1)
    order, rules = UploadOrder(table, executor), Rules("thumbnails", Topics("p."), now=lambda: NOW)
    guard = DeadLetterGuard(limit or DeadLetterLimit(0, 0, 60, 1))
    failures = Failures(RetryPolicy(delays_s, budget_s=86_400), guard, limiter, rules)
    removals = Removals(CleanupService(flow.calls, table, lambda: NOW), order, rules)
    return EventHandler(flow.service, order, removals, failures, rules)


def a_record(value: bytes | None = None, headers: h.Headers = (), topic: str = "p.media.uploaded") -> InboundRecord:
    value = write_event(an_upload()) if value is None else value
    return InboundRecord(topic, 2, 77, int(NOW.timestamp() * 1000), b"video:42", value, headers)


def a_retry(headers: h.Headers) -> InboundRecord:
    """An upload that comes again: on our own topic, whose headers are believed."""
    return a_record(headers=headers, topic="p.thumbnail.due")


def handle(flow: Flow, record: InboundRecord, **options: Any) -> Outcome:
    outcome = asyncio.run(a_handler(flow, **options).handle(record))
    Observer(flow.metrics).on_acknowledged(outcome)
    return outcome


def test_a_good_upload_is_announced_under_its_key() -> None:
    outcome = handle(a_flow(), a_record(headers=(("traceparent", TRACE.encode()),)))

    (record,) = outcome.records
    assert (outcome.status, record.topic, record.key) == ("success", "p.thumbnail.ready", b"video:42")
    ready = read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, record.value, record.headers)
    assert ready.upload_event_id == "upload-1"
    assert h.get_header(record.headers, "traceparent") == TRACE
    assert h.get_header(record.headers, "causationid") == "upload-1"
    assert h.get_header(record.headers, "ce_id") == ready.event_id


def test_a_size_that_the_object_contradicts_is_told_in_the_announcement_and_in_the_log() -> None:
    flow, upload = a_flow(), an_upload()
    said = upload.model_copy(update={"media": upload.media.model_copy(update={"size_bytes": 1})})
    outcome = handle(flow, a_record(write_event(said)))
    ready = read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, outcome.records[0].value, outcome.records[0].headers)
    assert ready.source.contradicts == outcome.details["contradicts"] == ("media.size_bytes",)
    assert ready.source.size_bytes not in (None, 0, 1)
    right = upload.model_copy(update={"media": upload.media.model_copy(update={"size_bytes": ready.source.size_bytes})})
    assert "contradicts" not in handle(flow, a_record(write_event(right))).details


def mismatches(flow: Flow) -> float | None:
    return flow.metrics.registry.get_sample_value("thumbnail_key_mismatches_total")


@pytest.mark.parametrize("key", [None, b"", b"acme-42", b'"video:42"', b"ar_content:42"])
def test_an_upload_whose_key_is_not_its_medias_is_made_and_counted(key: bytes | None) -> None:
    flow = a_flow()
    outcome = handle(flow, replace(a_record(), key=key))
    assert [(record.topic, record.key) for record in outcome.records] == [("p.thumbnail.ready", b"video:42")]
    assert mismatches(flow) == 1
    handle(flow, a_record())
    handle(flow, replace(a_retry(((h.RETRY_ATTEMPT, b"1"),)), key=key))
    assert mismatches(flow) == 1


def test_a_degraded_thumbnail_is_announced_with_its_reason() -> None:
    flow = a_flow()
    flow.maker.degraded_reason = DegradedReason.DAMAGED
    (record,) = handle(flow, a_record()).records
    ready = read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, record.value, record.headers)
    assert (ready.degraded, ready.degraded_reason) == (True, "damaged")
    assert (ready.source.codec, ready.source.duration_s) == ("h264", 15.0)
    assert (ready.frame.score, ready.frame.candidates) == (0.9, 2)


PAUSED = TransientError(ErrorCode.STORAGE_PAUSED, "Storage connection 5 is paused.", retry_after_s=20)


@pytest.mark.parametrize("method", ["open_source", "upload_file"])
def test_an_event_whose_connection_rests_waits_without_using_up_an_attempt(method: str) -> None:
    flow = a_flow()
    headers = ((h.RETRY_ATTEMPT, b"3"), (h.FIRST_FAILED_AT, h.format_time(NOW - timedelta(hours=1)).encode()))
    flow.tenants.own.fail_next(method, PAUSED)
    outcome = handle(flow, a_retry(headers))

    (record,) = outcome.records
    assert (outcome.status, record.topic) == ("retry", "p.thumbnail.retry.3")
    assert h.get_header(record.headers, h.RETRY_ATTEMPT) == "3"
    assert h.get_header(record.headers, h.ERROR_CODE) == "storage.paused"
    assert list(flow.tenants.local.objects) == []


def test_when_the_time_budget_ends_at_an_upload_local_storage_takes_the_thumbnails() -> None:
    flow = a_flow()
    first_failed_at = h.format_time(NOW - timedelta(seconds=86_400)).encode()
    flow.tenants.own.fail_next("upload_file", PAUSED)
    outcome = handle(flow, a_retry(((h.RETRY_ATTEMPT, b"1"), (h.FIRST_FAILED_AT, first_failed_at))))

    (record,) = outcome.records
    ready = read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, record.value, record.headers)
    assert (ready.storage.fallback, len(flow.tenants.local.objects)) == ("storage.paused", 3)


def test_a_passing_failure_waits_in_the_first_retry_topic_with_everything_as_it_came() -> None:
    flow = a_flow()
    del flow.tenants.own.objects["acme/uploads/a.mp4"]
    headers = (("ce_id", b"x"), ("own-header", b"\xff raw"))
    outcome = handle(flow, a_record(headers=headers))

    (record,) = outcome.records
    assert (outcome.status, record.topic, record.key) == ("retry", "p.thumbnail.retry.1", b"video:42")
    assert record.value == a_record().value
    assert record.headers[:2] == headers
    reported = {name: h.get_header(record.headers, name) for name, _ in record.headers}
    assert reported["retry-attempt"] == "1"
    assert reported["retry-due-at"] == h.format_time(NOW + timedelta(seconds=60))
    assert reported["error-code"] == "source.missing"
    assert (reported["x-original-topic"], reported["x-original-partition"], reported["x-original-offset"]) == (
        "p.media.uploaded",
        "2",
        "77",
    )


def test_the_first_origin_and_first_failure_stand_through_every_retry() -> None:
    flow = a_flow()
    flow.maker.error = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "Down.")
    first = handle(flow, a_record()).records[0]
    again = InboundRecord("p.thumbnail.due", 0, 5, 0, first.key, first.value, first.headers)
    second = handle(flow, again).records[0]

    assert second.topic == "p.thumbnail.retry.2"
    assert h.get_header(second.headers, "x-original-topic") == "p.media.uploaded"
    assert h.get_header(second.headers, "first-failed-at") == h.format_time(NOW)
    assert [name for name, _ in second.headers].count("error-code") == 1


def test_a_permanent_failure_is_a_dead_letter_and_an_event() -> None:
    flow = a_flow()
    flow.maker.error = PermanentError(ErrorCode.MEDIA_CORRUPT, "Broken\nbeyond \x00 repair.")
    outcome = handle(flow, a_record(headers=(("own-header", b"kept"),)))

    dead_letter, announced = outcome.records
    assert (outcome.status, dead_letter.topic, announced.topic) == ("failed", "p.thumbnail.dlq", "p.thumbnail.failed")
    assert (dead_letter.key, dead_letter.value) == (b"video:42", a_record().value)
    reported = {name: h.get_header(dead_letter.headers, name) for name, _ in dead_letter.headers}
    assert reported["own-header"] == "kept"
    assert reported["error-code"] == "media.corrupt"
    assert reported["error-message"] == "Broken beyond   repair."
    assert reported["error-stage"] == "decode"
    assert (reported["retryable"], reported["attempts"], reported["x-consumer-group"]) == ("false", "1", "thumbnails")
    assert reported["next-action"] == NEXT_ACTIONS[ErrorCode.MEDIA_CORRUPT]
    failed = read_event(ThumbnailFailed, THUMBNAIL_FAILED_TYPE, announced.value, announced.headers)
    assert (failed.error.code, failed.dead_letter.topic) == (ErrorCode.MEDIA_CORRUPT, "p.thumbnail.dlq")


def test_the_last_retry_that_fails_is_given_up_without_the_retrys_own_headers() -> None:
    flow = a_flow()
    flow.maker.error = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "Down.")
    outcome = handle(flow, a_retry((("retry-attempt", b"3"),)))

    assert outcome.status == "failed"
    names = [name for name, _ in outcome.records[0].headers]
    assert "retry-attempt" not in names
    assert h.get_header(outcome.records[0].headers, "attempts") == "4"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"hello", "event.malformed"),
        (b"{}", "event.malformed"),
        (b"[" * 9000, "event.malformed"),
        (b"\xff", "event.malformed"),
        (b" " * 300_000, "event.too_large"),
    ],
)
def test_what_is_no_event_is_a_dead_letter_with_its_bytes(value: bytes, code: str) -> None:
    outcome = handle(a_flow(), a_record(value))

    dead_letter, rejected = outcome.records
    assert dead_letter.value == value
    assert h.get_header(dead_letter.headers, "error-code") == code
    assert (rejected.topic, rejected.key) == ("p.thumbnail.failed", b"video:42")


LARGE_HEADER = (("theirs", b"x" * (CARRIER_BYTES - 1000)),)


def test_a_record_that_is_too_large_for_the_retry_topics_is_given_up_in_a_letter_that_fits() -> None:
    flow = a_flow()
    flow.maker.error = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "x")
    outcome = handle(flow, a_record(headers=LARGE_HEADER))
    dead_letter, failed = outcome.records
    assert (dead_letter.topic, failed.topic) == ("p.thumbnail.dlq", "p.thumbnail.failed")
    assert fits(dead_letter)
    assert h.get_header(dead_letter.headers, "x-cut") is not None


def test_a_tombstone_that_is_too_large_for_the_retry_topics_is_given_up() -> None:
    rows = Rows(None)
    rows.is_down = True
    outcome = handle(a_flow(), a_tombstone(headers=LARGE_HEADER), rows=rows)
    dead_letter, _ = outcome.records
    assert (outcome.status, dead_letter.topic) == ("failed", "p.thumbnail.dlq")
    assert fits(dead_letter)


def test_an_announcement_passes_on_no_trace_that_is_too_long() -> None:
    headers = ((h.TRACEPARENT, TRACE.encode()), (h.TRACESTATE, b"x" * 2_000_000))
    (ready,) = handle(a_flow(), a_record(headers=headers)).records
    assert h.get_header(ready.headers, h.TRACEPARENT) == TRACE
    assert h.get_header(ready.headers, h.TRACESTATE) is None


def test_the_links_and_the_trace_are_read_and_written_as_extensions_of_cloudevents_too() -> None:
    """As the Java SDK sends withExtension("traceparent"), and as an SDK's consumer finds them."""
    headers = (("ce_traceparent", TRACE.encode()), ("ce_tracestate", b"vendor=1"), ("ce_correlationid", b"case-7"))
    (ready,) = handle(a_flow(), a_record(headers=headers)).records
    wanted = {"traceparent": TRACE, "tracestate": "vendor=1", "correlationid": "case-7"}
    assert {name: h.get_header(ready.headers, name) for name in wanted} == wanted
    assert {name: h.get_header(ready.headers, f"ce_{name}") for name in wanted} == wanted
    assert h.get_header(ready.headers, "ce_causationid") == h.get_header(ready.headers, "causationid")
    names = [name for name, _ in ready.headers]
    assert len(names) == len(set(names))


def test_a_header_under_its_own_name_counts_before_the_extension() -> None:
    headers = ((h.CORRELATION_ID, b"own"), ("ce_correlationid", b"other"))
    (ready,) = handle(a_flow(), a_record(headers=headers)).records
    assert h.get_header(ready.headers, "ce_correlationid") == h.get_header(ready.headers, h.CORRELATION_ID) == "own"


def a_tombstone(
    key: bytes | None = b"video:42", headers: h.Headers = (), topic: str = "p.media.uploaded"
) -> InboundRecord:
    return InboundRecord(topic, 0, 1, int(NOW.timestamp() * 1000), key, None, headers)


def test_a_tombstone_cancels_what_is_older_than_it_and_is_no_dead_letter() -> None:
    rows = Rows(None)
    outcome = handle(a_flow(), a_tombstone(), rows=rows)
    assert (outcome.status, [record.topic for record in outcome.records]) == ("success", ["p.thumbnail.deleted"])
    assert rows.deleted == [(MediaKind.VIDEO, 42, NOW)]


def deleted_of(outcome: Outcome) -> ThumbnailDeleted:
    (record,) = outcome.records
    assert record.topic == "p.thumbnail.deleted"
    assert record.key == b"video:42"
    return read_event(ThumbnailDeleted, THUMBNAIL_DELETED_TYPE, record.value, record.headers)


@pytest.mark.parametrize(("row", "company_id"), [(ShownRow(frozenset(), 7), 7), (None, None)])
@pytest.mark.parametrize("value", [None, b"null", b" null\n"])
def test_a_tombstone_is_announced_with_the_company_of_its_row(
    row: ShownRow | None, company_id: int | None, value: bytes | None
) -> None:
    """Also one that is written as JSON; the same one is announced with the same id, however often it comes."""
    record = replace(a_tombstone(), value=value)
    first, again = (deleted_of(handle(a_flow(), record, rows=Rows(row))) for _ in range(2))
    assert first == again
    assert (first.company_id, first.media.kind, first.media.id) == (company_id, MediaKind.VIDEO, 42)
    assert first.occurred_at == NOW


DELETION: dict[str, object] = {
    "event_id": "deletion-1",
    "occurred_at": (NOW - timedelta(hours=1)).isoformat(),
    "company_id": 1,
    "media": {"kind": "video", "id": 42, "ar_content_id": 9},
}
CE_DELETED = (h.CE_TYPE, b"vertexar.media.deleted.v1")


def a_deletion(
    changes: dict[str, object] | None = None, *, structured: bool = False, key: bytes = b"video:42"
) -> InboundRecord:
    event: dict[str, object] = DELETION | (changes or {})
    headers: h.Headers = (CE_DELETED,)
    if structured:
        event = {"specversion": "1.0", "id": "deletion-1", "type": "vertexar.media.deleted.v1", "data": event}
        headers = ((h.CONTENT_TYPE, b"application/cloudevents+json"),)
    return replace(a_tombstone(key), value=json.dumps(event).encode(), headers=headers)


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("row", [ShownRow(frozenset(), 1), None])
def test_a_deletion_counts_by_its_own_time_and_knows_its_company_without_a_row(
    row: ShownRow | None, *, structured: bool
) -> None:
    rows = Rows(row)
    deleted = deleted_of(handle(a_flow(), a_deletion(structured=structured, key=b"anything"), rows=rows))
    assert rows.deleted == [(MediaKind.VIDEO, 42, NOW - timedelta(hours=1))]
    assert (deleted.company_id, deleted.occurred_at) == (1, NOW - timedelta(hours=1))


def test_a_decoder_is_told_whose_upload_it_gets() -> None:
    flow = a_flow()
    assert handle(flow, a_record()).status == "success"
    assert flow.maker.tenants == ["1"]


def test_a_deletion_of_another_companys_media_is_a_dead_letter_and_deletes_nothing() -> None:
    rows = Rows(ShownRow(frozenset(), 2))
    outcome = handle(a_flow(), a_deletion(), rows=rows)
    assert outcome.error_code == "tenant.not_owner"
    assert [record.topic for record in outcome.records] == ["p.thumbnail.dlq", "p.thumbnail.failed"]
    assert rows.deleted == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"occurred_at": (NOW + timedelta(minutes=50)).isoformat()}, "event.in_future"),
        ({"company_id": None}, "event.malformed"),
        ({"media": {"kind": "video", "id": 42}}, "event.malformed"),
    ],
)
def test_a_deletion_that_cannot_be_right_is_a_dead_letter(changes: dict[str, object], code: str) -> None:
    rows = Rows(None)
    outcome = handle(a_flow(), a_deletion(changes), rows=rows)
    assert (outcome.error_code, rows.deleted) == (code, [])


def test_an_upload_from_before_the_deletion_of_its_media_is_dropped_at_its_first_attempt() -> None:
    flow, rows = a_flow(), Rows(None)
    rows.newest_upload = NewestUpload(NOW + timedelta(seconds=1), TOMBSTONE)
    outcome = handle(flow, a_record(), rows=rows)
    assert [record.topic for record in outcome.records] == ["p.thumbnail.cleanup"]
    assert flow.maker.seen == []
    rows.newest_upload = NewestUpload(NOW - timedelta(seconds=1), TOMBSTONE)
    assert [record.topic for record in handle(flow, a_record(), rows=rows).records] == ["p.thumbnail.ready"]


def test_an_upload_whose_media_is_deleted_while_it_is_worked_on_is_never_announced() -> None:
    flow, rows = a_flow(), Rows(None)

    def delete() -> None:
        rows.newest_upload = NewestUpload(NOW + timedelta(seconds=1), TOMBSTONE)

    flow.maker.meanwhile = delete
    outcome = handle(flow, a_record(), rows=rows)
    assert [record.topic for record in outcome.records] == ["p.thumbnail.cleanup"]
    assert outcome.details["why"] == "deleted"


def test_a_tombstone_waits_for_the_database_and_keeps_its_own_time() -> None:
    rows = Rows(None)
    rows.is_down = True
    (waiting,) = handle(a_flow(), a_tombstone(), rows=rows).records
    assert (waiting.topic, waiting.key, waiting.value) == ("p.thumbnail.retry.1", b"video:42", None)

    rows.is_down = False
    later = InboundRecord("p.thumbnail.due", 0, 9, 0, waiting.key, waiting.value, waiting.headers)
    assert deleted_of(handle(a_flow(), later, rows=rows)).occurred_at == NOW
    assert rows.deleted == [(MediaKind.VIDEO, 42, NOW)]


def test_a_tombstone_that_the_database_never_took_is_a_dead_letter() -> None:
    rows = Rows(None)
    rows.is_down = True
    old = h.format_time(NOW - timedelta(days=2)).encode()
    headers = ((h.RETRY_ATTEMPT, b"0"), (h.FIRST_FAILED_AT, old), (h.ORIGINAL_TOPIC, b"p.media.uploaded"))
    outcome = handle(a_flow(), a_tombstone(headers=headers, topic="p.thumbnail.due"), rows=rows)
    dead_letter, rejected = outcome.records
    assert (outcome.status, dead_letter.topic, dead_letter.value) == ("failed", "p.thumbnail.dlq", None)
    assert (rejected.topic, rejected.key) == ("p.thumbnail.failed", b"video:42")


@pytest.mark.parametrize(
    "key", [None, b"", b"video:", b"video:x", b"\xff", b"film:1", b"video:99999999999", b"video:2147483648"]
)
def test_a_tombstone_of_no_media_changes_nothing(key: bytes | None) -> None:
    rows = Rows(None)
    assert handle(a_flow(), a_tombstone(key), rows=rows).records == ()
    assert rows.deleted == []


def test_a_null_value_on_a_topic_of_ours_is_a_dead_letter() -> None:
    outcome = handle(a_flow(), a_tombstone(topic="p.thumbnail.cleanup"))
    assert h.get_header(outcome.records[0].headers, "error-code") == "event.malformed"


AGAIN = ((h.RETRY_ATTEMPT, b"1"), (h.ERROR_CODE, b"storage.unavailable"))
NEWER = NewestUpload(NOW + timedelta(seconds=1), "upload-0")


@pytest.mark.parametrize(
    ("newest", "reason"),
    [(NEWER, "overtaken"), (NewestUpload(NOW, "upload-2"), "overtaken"), (None, "row_gone")],
)
@pytest.mark.parametrize("headers", [AGAIN, ((h.REPLAYED_AT, b"2026-11-23T11:00:00.000Z"),)])
def test_a_retry_or_replay_that_was_overtaken_is_dropped_without_being_decoded(
    newest: NewestUpload | None, reason: str, headers: h.Headers
) -> None:
    flow, rows = a_flow(), Rows(None)
    rows.newest_upload = newest
    outcome = handle(flow, a_retry(headers), rows=rows)

    (cleanup,) = outcome.records
    assert (outcome.status, cleanup.topic, flow.maker.seen) == ("success", "p.thumbnail.cleanup", [])
    request = read_event(ThumbnailCleanup, THUMBNAIL_CLEANUP_TYPE, cleanup.value, cleanup.headers)
    assert request.version == an_upload().version
    count = flow.metrics.registry.get_sample_value("thumbnail_stale_retries_total", {"reason": reason})
    assert count == 1


def test_the_cleanup_after_a_dropped_upload_of_an_unknown_company_is_no_dead_letter() -> None:
    flow, rows = a_flow(), Rows(None)
    rows.newest_upload = NEWER
    made_up = write_event(an_upload(company_id=7))
    outcome = handle(flow, a_record(made_up, topic="p.thumbnail.due", headers=((h.RETRY_ATTEMPT, b"1"),)), rows=rows)
    (cleanup,) = outcome.records
    assert (outcome.status, cleanup.topic) == ("success", "p.thumbnail.cleanup")
    ended = handle(flow, a_record(cleanup.value, cleanup.headers, topic=cleanup.topic), rows=rows)
    assert (ended.status, ended.records, ended.details["deleted"]) == ("success", (), 0)


@pytest.mark.parametrize("attempts", [b"0", b"1"])
def test_a_wait_for_its_turn_does_not_hide_that_the_company_is_unknown(attempts: bytes) -> None:
    """Its row may be as late as the company; and its cleanup would be one more dead letter."""
    flow, rows = a_flow(), Rows(None)
    rows.newest_upload = None
    value = write_event(an_upload(company_id=7))
    headers = ((h.RETRY_ATTEMPT, attempts), (h.ERROR_CODE, b"tenant.limited"))
    outcome = handle(flow, a_record(value, headers, "p.thumbnail.due"), rows=rows)
    assert (outcome.status, outcome.error_code) == ("retry", ErrorCode.TENANT_UNKNOWN)


@pytest.mark.parametrize(
    ("newest", "headers"),
    [
        (NEWER, ()),  # a first attempt asks no database; its result is compared when it is written
        (NewestUpload(NOW, "upload-1"), AGAIN),
        (NewestUpload(NOW - timedelta(seconds=1), "upload-9"), AGAIN),
        (None, ((h.RETRY_ATTEMPT, b"1"), (h.ERROR_CODE, b"tenant.unknown"))),
    ],
)
def test_what_was_not_overtaken_is_worked_on(newest: NewestUpload | None, headers: h.Headers) -> None:
    rows = Rows(None)
    rows.newest_upload = newest
    assert handle(a_flow(), a_retry(headers), rows=rows).records[0].topic == "p.thumbnail.ready"


def test_a_row_that_cannot_be_asked_holds_up_no_retry() -> None:
    rows = Rows(None)
    rows.is_down = True
    assert handle(a_flow(), a_retry(AGAIN), rows=rows).records[0].topic == "p.thumbnail.ready"


def test_an_old_record_that_is_replayed_has_its_time_budget_anew() -> None:
    flow = a_flow()
    flow.maker.error = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "Down.")
    old = (h.FIRST_FAILED_AT, h.format_time(NOW - timedelta(days=9)).encode())
    replayed = (h.REPLAYED_AT, h.format_time(NOW - timedelta(hours=1)).encode())
    for headers in ((old, replayed), (old, replayed, (h.RETRY_ATTEMPT, b"1"))):
        (record,) = handle(flow, a_retry(headers)).records
        assert record.topic.startswith("p.thumbnail.retry.")
        assert h.get_header(record.headers, h.FIRST_FAILED_AT) == old[1].decode()
    outcome = handle(flow, a_retry((old, (h.RETRY_ATTEMPT, b"1"))))
    assert outcome.status == "failed"


def test_a_longer_wait_than_the_last_tiers_is_told_to_the_retry_role() -> None:
    flow = a_flow()
    flow.maker.error = TransientError(ErrorCode.STORAGE_RATE_LIMITED, "Slow.", retry_after_s=1000)
    (record,) = handle(flow, a_record()).records
    assert record.topic == "p.thumbnail.retry.3"
    assert h.get_header(record.headers, "retry-due-at") == h.format_time(NOW + timedelta(seconds=240))
    assert h.get_header(record.headers, "retry-not-before") == h.format_time(NOW + timedelta(seconds=1000))


def test_an_unknown_company_is_retried_for_its_row_may_lag() -> None:
    value = json.dumps(json.loads(write_event(an_upload())) | {"company_id": 99}).encode()
    outcome = handle(a_flow(), a_record(value))
    assert (outcome.status, h.get_header(outcome.records[0].headers, "error-code")) == ("retry", "tenant.unknown")


def test_a_bug_of_ours_is_retried_and_told_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = a_flow()

    async def burst(*_arguments: object, **_named: object) -> None:
        raise KeyError("password=hunter2")

    monkeypatch.setattr(flow.service, "create", burst)
    outcome = handle(flow, a_record())
    text = repr(outcome.records)
    assert outcome.status == "retry"
    assert "internal.error" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("attempt", [b"-1", b"abc", b"99999999999", "\u0663".encode(), b""])
def test_a_forged_attempt_count_counts_as_none(attempt: bytes) -> None:
    flow = a_flow()
    flow.maker.error = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "Down.")
    outcome = handle(flow, a_retry((("retry-attempt", attempt),)))
    assert h.get_header(outcome.records[0].headers, "retry-attempt") == "1"


def a_cleanup_record(version: str, reason: CleanupReason = CleanupReason.STALE) -> InboundRecord:
    upload = an_upload()
    request = ThumbnailCleanup(
        event_id="c-1",
        upload_event_id=upload.event_id,
        occurred_at=upload.occurred_at,
        produced_at=NOW,
        company_id=1,
        media=upload.media,
        version=version,
        reason=reason,
    )
    headers = context_headers(event_type=THUMBNAIL_CLEANUP_TYPE, event_id="c-1", occurred_at=NOW, subject="video:42")
    return a_record(write_event(request), headers, "p.thumbnail.cleanup")


def a_cleanup(flow: Flow, row: ShownRow | None, version: str) -> Outcome:
    return handle(flow, a_cleanup_record(version), row=row)


def versions_left(flow: Flow) -> set[str]:
    return {
        key.split("/")[4] for key in [*flow.tenants.own.objects, *flow.tenants.local.objects] if "/thumbnails/" in key
    }


OLD, MIDDLE, NEW = (upload_version(NOW + timedelta(seconds=shift), f"u{shift}") for shift in (-10, 0, 10))


def with_versions(flow: Flow) -> Flow:
    for version in (OLD, MIDDLE, NEW):
        flow.tenants.own.objects[f"acme/thumbnails/video/42/{version}/small.webp"] = b"x"
    flow.tenants.local.objects[f"acme/thumbnails/video/42/{OLD}/large.webp"] = b"x"
    flow.tenants.own.objects[f"acme/thumbnails/video/420/{OLD}/small.webp"] = b"another media"
    return flow


def test_a_cleanup_removes_what_is_older_everywhere_and_keeps_what_the_row_shows() -> None:
    flow = with_versions(a_flow())
    assert a_cleanup(flow, ShownRow(frozenset({MIDDLE})), MIDDLE).status == "success"
    assert {key for key in flow.tenants.own.objects if "/42/" in key} == {
        f"acme/thumbnails/video/42/{version}/small.webp" for version in (MIDDLE, NEW)
    }
    assert flow.tenants.local.objects == {}
    assert f"acme/thumbnails/video/420/{OLD}/small.webp" in flow.tenants.own.objects


FIRST, REPLAYED, UNREAD = (
    upload_version(NOW, "upload-1", start) for start in (None, "thumbnail.dlq/0/1", "uploads/0/7")
)


@pytest.mark.parametrize(
    ("shown", "given_up", "reason", "left"),
    [
        ((), (FIRST, REPLAYED), CleanupReason.GIVEN_UP, {UNREAD}),
        ((), (FIRST,), CleanupReason.GIVEN_UP, {REPLAYED, UNREAD}),
        ((OLD,), (FIRST,), CleanupReason.GIVEN_UP, {REPLAYED, UNREAD, OLD}),
        ((REPLAYED,), (FIRST,), CleanupReason.SUPERSEDED, {REPLAYED}),
        ((NEW,), (), CleanupReason.STALE, {NEW}),
    ],
    ids=["both given up", "one given up", "an older upload is shown", "one is shown", "a newer upload is shown"],
)
def test_a_cleanup_deletes_the_uploads_other_versions_once_they_cannot_be_shown_any_more(
    shown: tuple[str, ...], given_up: tuple[str, ...], reason: CleanupReason, left: set[str]
) -> None:
    flow, folders = a_flow(), {version: f"{version}-1-0123456789ab" for version in (FIRST, REPLAYED, UNREAD, *shown)}
    for folder in folders.values():
        flow.tenants.own.objects[f"acme/thumbnails/video/42/{folder}/small.webp"] = b"x"
    row = ShownRow(frozenset(folders[version] for version in shown), 1, given_up)
    assert handle(flow, a_cleanup_record(FIRST, reason), row=row).status == "success"
    assert versions_left(flow) == {folders[version] for version in left}


def test_a_cleanup_of_a_stale_version_keeps_the_older_one_that_is_shown() -> None:
    flow = with_versions(a_flow())
    a_cleanup(flow, ShownRow(frozenset({OLD})), MIDDLE)
    assert versions_left(flow) == {OLD, NEW}


def test_when_the_row_is_gone_newer_versions_wait_for_their_own_cleanup() -> None:
    flow = with_versions(a_flow())
    a_cleanup(flow, None, MIDDLE)
    assert {key.split("/")[4] for key in flow.tenants.own.objects if "/video/42/" in key} == {NEW}


def test_a_cleanup_also_removes_what_a_row_from_the_future_showed_before_it_gave_way() -> None:
    """Only of a day ahead and more: what is newer than the request may be an upload on its way."""
    flow = with_versions(a_flow())
    wrong = [upload_version(NOW + timedelta(days=days, seconds=1), "x") for days in (1, 365 * 1000)]
    nearer = upload_version(NOW + timedelta(hours=23), "x")
    for version in (*wrong, nearer):
        flow.tenants.own.objects[f"acme/thumbnails/video/42/{version}/small.webp"] = b"x"
    a_cleanup(flow, ShownRow(frozenset({MIDDLE, wrong[0]})), MIDDLE)
    left = {key.split("/")[4] for key in flow.tenants.own.objects if "/video/42/" in key}
    assert left == {MIDDLE, NEW, nearer, wrong[0]}


@pytest.mark.parametrize("name", ["poster.webp", "originals/a.webp", "2019/a.webp", "20190101T000000.000000Z/a.webp"])
def test_a_cleanup_leaves_what_lies_in_no_folder_of_an_upload(name: str) -> None:
    """The storage is the company's: others may have put it there before there was a pipeline."""
    flow = with_versions(a_flow())
    flow.tenants.own.objects[f"acme/thumbnails/video/42/{name}"] = b"another program's"
    a_cleanup(flow, ShownRow(frozenset({NEW})), MIDDLE)
    left = {key.removeprefix("acme/thumbnails/video/42/") for key in flow.tenants.own.objects if "/video/42/" in key}
    assert left == {name, f"{NEW}/small.webp"}


def test_a_cleanup_that_the_store_refuses_waits_and_comes_back_as_a_cleanup() -> None:
    flow = with_versions(a_flow())
    flow.tenants.own.fail_next("list_files", TransientError(ErrorCode.STORAGE_FULL, "x"))
    outcome = a_cleanup(flow, None, MIDDLE)
    assert (outcome.status, outcome.records[0].topic) == ("retry", "p.thumbnail.retry.1")
    assert h.get_header(outcome.records[0].headers, "ce_type") == THUMBNAIL_CLEANUP_TYPE


def test_uploads_are_counted_by_type_and_outcome() -> None:
    flow = a_flow()
    handle(flow, a_record())
    flow.maker.error = PermanentError(ErrorCode.MEDIA_CORRUPT, "x")
    handle(flow, a_record())
    value = flow.metrics.registry.get_sample_value
    assert value("thumbnail_generation_total", {"type": "video", "status": "success"}) == 1
    assert value("thumbnail_generation_total", {"type": "video", "status": "failed"}) == 1
    assert value("thumbnail_task_execution_total", {"task_type": "generate", "status": "success"}) == 1
    assert value("thumbnail_dead_letters_total", {"code": "media.corrupt"}) == 1


def test_what_was_replayed_and_fails_again_is_no_flood() -> None:
    flow = a_flow()
    flow.maker.error = PermanentError(ErrorCode.MEDIA_CORRUPT, "x")
    handler = a_handler(flow, limit=DeadLetterLimit(0, 1, 60, 1))
    replayed = a_retry(((h.REPLAYED_AT, b"2026-11-23T11:00:00.000Z"), (h.REPLAY_COUNT, b"1")))
    assert {asyncio.run(handler.handle(replayed)).status for _ in range(3)} == {"failed"}


def test_in_a_flood_a_record_gets_no_outcome() -> None:
    flow = a_flow()
    flow.maker.error = PermanentError(ErrorCode.MEDIA_CORRUPT, "x")
    handler = a_handler(flow, limit=DeadLetterLimit(0, 2, 60, 1))
    for _ in range(2):
        assert asyncio.run(handler.handle(a_record())).status == "failed"
    with pytest.raises(DeadLetterFloodError, match=r"media\.corrupt 3"):
        asyncio.run(handler.handle(a_record()))


def test_the_cleanup_after_each_failure_does_not_hide_a_flood() -> None:
    flow = with_versions(a_flow())
    flow.maker.error = PermanentError(ErrorCode.MEDIA_CORRUPT, "x")
    handler = a_handler(flow, ShownRow(frozenset()), limit=DeadLetterLimit(0, 2, 60, 1))
    for _ in range(2):
        asyncio.run(handler.handle(a_record()))
        assert asyncio.run(handler.handle(a_cleanup_record(OLD))).status == "success"
    with pytest.raises(DeadLetterFloodError):
        asyncio.run(handler.handle(a_record()))


DEFAULTS = DeadLetterLimit(max_ratio=0.5, max_consecutive=500, window_s=300, min_events=100)


def a_record_of(company_id: int) -> InboundRecord:
    return a_record(write_event(an_upload().model_copy(update={"company_id": company_id})))


@pytest.fixture
def two_companies(monkeypatch: pytest.MonkeyPatch) -> Flow:
    flow = a_flow()
    monkeypatch.setattr(flow.tenants, "open", lambda _: TenantStorage(flow.tenants.own, "acme", 5, "minio"))
    return flow


@pytest.mark.parametrize(
    ("code", "bad"),
    [
        (ErrorCode.MEDIA_TIMEOUT, 2),
        (ErrorCode.MEDIA_CRASHED_DECODER, 2),
        (ErrorCode.STORAGE_BAD_KEY, 2),
        (ErrorCode.EVENT_MALFORMED, 4),
        (ErrorCode.MEDIA_CORRUPT, 600),
    ],
)
def test_one_companys_bad_uploads_stop_the_worker_for_nobody(two_companies: Flow, code: ErrorCode, bad: int) -> None:
    handler = a_handler(two_companies, limit=DEFAULTS)
    bad_record = a_record(b"{}") if code is ErrorCode.EVENT_MALFORMED else a_record_of(2)

    async def handle_all() -> list[str]:
        statuses: list[str] = []
        for number in range(1 + max(120, bad)):
            is_good = number % (1 + bad) == 0
            two_companies.maker.error = None if is_good else PermanentError(code, "x")
            outcome = await handler.handle(a_record_of(1) if is_good else bad_record)
            statuses.append(outcome.status)
        return statuses

    statuses = asyncio.run(handle_all())
    assert statuses == ["failed" if number % (1 + bad) else "success" for number in range(len(statuses))]


@pytest.mark.parametrize("code", [ErrorCode.INTERNAL_ERROR, ErrorCode.MEDIA_CORRUPT])
@pytest.mark.parametrize("companies", [(1,), (1, 2)], ids=["of the only company", "of several companies"])
def test_a_broken_deploy_still_stops_the_worker(
    two_companies: Flow, companies: tuple[int, ...], code: ErrorCode
) -> None:
    two_companies.maker.error = PermanentError(code, "x")
    handler = a_handler(two_companies, limit=DEFAULTS)
    records = [a_record_of(companies[number % len(companies)]) for number in range(510)]

    async def handle_all() -> None:
        for record in records:
            await handler.handle(record)

    with pytest.raises(DeadLetterFloodError):
        asyncio.run(handle_all())


def test_cleanups_that_fail_count_for_their_company() -> None:
    flow = a_flow()
    handler = a_handler(flow, limit=DeadLetterLimit(0, 2, 60, 1))
    for _ in range(2):
        flow.tenants.own.fail_next("list_files", PermanentError(ErrorCode.STORAGE_DENIED, "x"))
        assert asyncio.run(handler.handle(a_cleanup_record(OLD))).status == "failed"
    flow.tenants.own.fail_next("list_files", PermanentError(ErrorCode.STORAGE_DENIED, "x"))
    with pytest.raises(DeadLetterFloodError, match=r"By company: 1 \(3\)"):
        asyncio.run(handler.handle(a_cleanup_record(OLD)))


def a_tight_limiter() -> CompanyLimiter:
    return CompanyLimiter(CompanyLimit(per_minute=6, max_ratio=0.5, window_s=300, min_events=3))


def test_beyond_the_limit_a_companys_uploads_wait_untried_and_anothers_go_on(two_companies: Flow) -> None:
    two_companies.maker.error = PermanentError(ErrorCode.MEDIA_CORRUPT, "x")
    handler, observer = a_handler(two_companies, limiter=a_tight_limiter()), Observer(two_companies.metrics)

    async def handle_all() -> list[Outcome]:
        outcomes = [await handler.handle(a_record_of(2)) for _ in range(3)]
        tried = len(two_companies.maker.seen)
        waiting = await handler.handle(a_record_of(2))
        assert len(two_companies.maker.seen) == tried
        two_companies.maker.error = None
        return [*outcomes, waiting, await handler.handle(a_record_of(1))]

    outcomes = asyncio.run(handle_all())
    observer.on_acknowledged(outcomes[3])
    assert [outcome.status for outcome in outcomes] == ["failed", "failed", "failed", "retry", "success"]
    (record,) = outcomes[3].records
    assert record.topic == "p.thumbnail.retry.1"
    assert h.get_header(record.headers, h.ERROR_CODE) == "tenant.limited"
    assert h.get_header(record.headers, h.RETRY_ATTEMPT) == "0"
    value = two_companies.metrics.registry.get_sample_value
    assert value("thumbnail_retries_total", {"code": "tenant.limited"}) == 1
    assert value("thumbnail_task_execution_total", {"task_type": "generate", "status": "retry"}) is None


def test_what_waited_for_its_turn_until_the_time_budget_ended_is_a_dead_letter_and_no_flood(
    two_companies: Flow,
) -> None:
    two_companies.maker.error = PermanentError(ErrorCode.MEDIA_CORRUPT, "x")
    limiter = a_tight_limiter()
    handler = a_handler(two_companies, limit=DeadLetterLimit(0, 3, 60, 1), limiter=limiter)
    long_ago = h.format_time(NOW - timedelta(seconds=86_400)).encode()
    headers = ((h.RETRY_ATTEMPT, b"0"), (h.FIRST_FAILED_AT, long_ago))
    value = write_event(an_upload().model_copy(update={"company_id": 2}))

    async def handle_all() -> list[Outcome]:
        for _ in range(3):
            await handler.handle(a_record_of(2))
        return [await handler.handle(a_record(value, headers, "p.thumbnail.due")) for _ in range(5)]

    outcomes = asyncio.run(handle_all())
    assert {outcome.status for outcome in outcomes} == {"failed"}
    dead_letter, announced = outcomes[0].records
    assert (dead_letter.topic, dead_letter.value) == ("p.thumbnail.dlq", value)
    assert h.get_header(dead_letter.headers, h.ERROR_CODE) == "tenant.limited"
    assert announced.topic == "p.thumbnail.failed"


CANCELLED = (
    (h.RETRY_ATTEMPT, b"2"),
    (h.ERROR_CODE, b"source.missing"),
    (h.ORIGINAL_TOPIC, b"p.media.uploaded"),
    (h.CANCELLED_AT, b"2026-11-23T11:59:00.000Z"),
    (h.CANCELLED_BY, b"ana@ops-1"),
    (h.CANCELLED_NOTE, b"Acme uploads it again"),
)


def test_an_upload_that_somebody_cancelled_fails_with_who_and_why_and_needs_no_attention() -> None:
    flow = a_flow()
    outcome = handle(flow, a_retry(CANCELLED))
    parked, failed = outcome.records
    assert flow.maker.seen == [], "it was tried again"
    assert (parked.topic, parked.key, parked.value) == ("p.thumbnail.dlq.parked", b"video:42", write_event(an_upload()))
    said = "Cancelled by ana@ops-1 while it waited for a retry after source.missing: Acme uploads it again"
    assert h.get_header(parked.headers, h.ERROR_CODE) == "upload.cancelled"
    assert h.get_header(parked.headers, h.ERROR_MESSAGE) == h.get_header(parked.headers, h.PARKED_REASON) == said
    event = read_event(ThumbnailFailed, THUMBNAIL_FAILED_TYPE, failed.value, failed.headers)
    assert (event.error.code, event.error.message, event.error.retryable) == ("upload.cancelled", said, False)
    assert event.dead_letter.topic == "p.thumbnail.dlq.parked"

    dead_letter = InboundRecord("p.thumbnail.dlq.parked", 0, 5, 1, parked.key, parked.value, parked.headers)
    mark = Ledger().of(dead_letter)
    assert mark is not None
    assert (mark.state, mark.by, mark.note) == (MarkState.DISCARDED, "ana@ops-1", "Acme uploads it again")
    assert not Ledger().needs_attention(dead_letter)


def test_the_replay_of_a_cancelled_upload_is_tried() -> None:
    flow = a_flow()
    parked, _ = handle(flow, a_retry(CANCELLED)).records
    dead_letter = InboundRecord("p.thumbnail.dlq.parked", 0, 5, 1, parked.key, parked.value, parked.headers)
    plan = ReplayRules(THUMBNAIL_PARKED, Topics("p."), max_replays=3).plan(read_dead_letter(dead_letter), NOW)
    assert isinstance(plan, Send)
    outcome = handle(flow, a_retry(plan.record.headers))
    assert outcome.records[0].topic == "p.thumbnail.ready"


def test_no_producer_can_cancel_an_upload_by_its_headers() -> None:
    assert handle(a_flow(), a_record(headers=CANCELLED)).records[0].topic == "p.thumbnail.ready"


def test_cancelled_uploads_count_as_nobodys_failures() -> None:
    limit = DeadLetterLimit(0.5, 1, 60, 1)
    for _ in range(5):
        assert handle(a_flow(), a_retry(CANCELLED), limit=limit).records[0].topic == "p.thumbnail.dlq.parked"


def test_a_cancelled_upload_is_given_up_while_the_database_is_down_too() -> None:
    rows = Rows(None)
    rows.is_down = True
    assert handle(a_flow(), a_retry(CANCELLED), rows=rows).records[0].topic == "p.thumbnail.dlq.parked"
