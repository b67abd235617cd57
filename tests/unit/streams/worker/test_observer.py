"""What log and traces say of a record: one line at its end, and a span that closes whatever happens."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from schemas import headers as h
from schemas.errors import ErrorCode, PermanentError, TransientError
from storage.breaker import ConnectionPausedError
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.tracing import NO_SPAN, Fact, StageTime
from streams.worker.observer import Observer
from streams.worker.outcome import Outcome
from tests.doubles.pipeline import NOW, Flow, a_flow
from tests.unit.streams.worker.test_handler import (
    AGAIN,
    MIDDLE,
    NEWER,
    Rows,
    a_cleanup_record,
    a_handler,
    a_record,
    a_retry,
    a_tombstone,
)

DOWN = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "Down.")
CORRUPT = PermanentError(ErrorCode.MEDIA_CORRUPT, "Broken.")


class SpanList:
    """A span that keeps what it is told."""

    def __init__(self) -> None:
        self.attributes: dict[str, Fact] = {}
        self.stages: list[str] = []
        self.ends: list[str | None] = []

    def set_attributes(self, facts: Mapping[str, Fact]) -> None:
        self.attributes |= facts

    def add_stages(self, stages: Iterable[StageTime]) -> None:
        self.stages += [stage.name for stage in stages]

    def end(self, error: str | None = None) -> None:
        self.ends.append(error)


class OneSpan:
    """Tracing that gives every received record the same span."""

    def __init__(self) -> None:
        self.span = SpanList()

    def receive(self, record: InboundRecord) -> tuple[InboundRecord, SpanList]:
        return record, self.span

    def send(self, record: OutboundRecord) -> Any:
        return record, NO_SPAN


def observed(flow: Flow, record: InboundRecord, rows: Rows | None = None) -> tuple[list[str], SpanList, Outcome]:
    """The names and levels of the lines, the span, and the outcome."""
    tracing = OneSpan()
    observer = Observer(flow.metrics, tracing)
    with capture_logs() as lines, observer.on_received(record) as received:
        outcome = asyncio.run(a_handler(flow, rows=rows).handle(received.record))
        observer.on_outcome(received, outcome)
    return [f"{line['log_level']} {line['event']}" for line in lines], tracing.span, outcome


def test_each_ending_is_one_line() -> None:
    rows, overtaken = Rows(None), Rows(None)
    overtaken.newest_upload = NEWER
    failing, broken = a_flow(), a_flow()
    failing.maker.error, broken.maker.error = DOWN, CORRUPT
    assert observed(a_flow(), a_record())[0] == ["info thumbnail_ready"]
    assert observed(failing, a_record())[0] == ["warning retry_scheduled"]
    assert observed(broken, a_record())[0] == ["error event_dead_lettered"]
    assert observed(a_flow(), a_retry(AGAIN), overtaken)[0] == ["info retry_dropped"]
    assert observed(a_flow(), a_cleanup_record(MIDDLE))[0] == ["info objects_cleaned"]
    assert observed(a_flow(), a_tombstone(), rows)[0] == ["info tombstone_processed"]


def test_a_tombstone_that_waits_has_no_line_and_one_that_is_given_up_has_one() -> None:
    rows = Rows(None)
    rows.is_down = True
    assert observed(a_flow(), a_tombstone(), rows)[0] == []
    old = (
        (h.RETRY_ATTEMPT, b"3"),
        (h.FIRST_FAILED_AT, b"2026-11-01T00:00:00Z"),
        (h.ORIGINAL_TOPIC, b"p.media.uploaded"),
    )
    assert observed(a_flow(), a_tombstone(headers=old, topic="p.thumbnail.due"), rows)[0] == [
        "error tombstone_dead_lettered"
    ]


def test_the_trace_has_the_stages_and_the_code() -> None:
    _, span, _ = observed(a_flow(), a_record())
    assert (span.stages, span.ends) == (["decode", "render", "read", "upload"], [None])
    assert span.attributes == {
        "thumbnail.status": "success",
        "thumbnail.attempt": 1,
        "thumbnail.company_id": 1,
        "thumbnail.kind": "video",
    }
    flow = a_flow()
    flow.maker.error = CORRUPT
    _, span, _ = observed(flow, a_record())
    assert (span.stages, span.ends) == (["read", "decode"], ["media.corrupt"])


@pytest.mark.parametrize("record", [a_cleanup_record(MIDDLE), a_tombstone()], ids=["cleanup", "tombstone"])
def test_the_trace_of_what_is_no_upload_has_neither_status_nor_stages(record: InboundRecord) -> None:
    _, span, _ = observed(a_flow(), record)
    assert (span.attributes, span.stages, span.ends) == ({}, [], [None])


def test_the_place_of_a_record_is_bound_while_it_is_worked_on() -> None:
    record = a_record(headers=((h.TRACEPARENT, b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),))
    with Observer(a_flow().metrics).on_received(record):
        bound = get_contextvars()
    assert bound == {"topic": "p.media.uploaded", "partition": 2, "offset": 77, "trace_id": "a" * 32}
    assert get_contextvars() == {}


def test_a_record_without_an_outcome_ends_its_span_with_the_name_of_the_error() -> None:
    tracing = OneSpan()
    with pytest.raises(KeyboardInterrupt), Observer(a_flow().metrics, tracing).on_received(a_record()):
        raise KeyboardInterrupt
    assert tracing.span.ends == ["KeyboardInterrupt"]


@pytest.mark.parametrize(("first_failed_at", "status", "waiting"), [(NOW, "retry", 1.0), (None, "failed", None)])
def test_an_event_that_is_given_up_was_tried_though_its_connection_is_paused(
    first_failed_at: object, status: str, waiting: float | None
) -> None:
    flow = a_flow(fallback_allowed=False)
    began = b"2026-11-23T12:00:00Z" if first_failed_at else b"2026-11-01T00:00:00Z"
    flow.tenants.own.fail_next("open_source", ConnectionPausedError("Storage connection 5", 20, "minio"))
    _, _, outcome = observed(flow, a_retry(((h.RETRY_ATTEMPT, b"1"), (h.FIRST_FAILED_AT, began))))
    Observer(flow.metrics).on_acknowledged(outcome)
    value = flow.metrics.registry.get_sample_value
    assert outcome.status == status
    assert value("thumbnail_breaker_waiting_total", {"provider": "minio"}) == waiting
    tried = value("thumbnail_generation_total", {"type": "video", "status": "failed"})
    assert tried == (None if waiting else 1.0)
