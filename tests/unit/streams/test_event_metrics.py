"""Events are counted once, and what waits is not counted as tried."""

import asyncio
from datetime import timedelta

import pytest

from schemas import headers as h
from schemas.cloudevents import write_event
from schemas.errors import ErrorCode, PermanentError
from schemas.metrics import Metrics
from storage.breaker import ConnectionPausedError
from streams.event_metrics import EventMetrics, EventSample, RecentIds, TaskType
from streams.worker.ack_gate import AckGate
from streams.worker.observer import Observer
from tests.doubles.pipeline import NOW, a_flow, an_upload
from tests.unit.streams.worker.test_ack_gate import Event, an_event
from tests.unit.streams.worker.test_handler import a_handler, a_record, a_retry

SUCCESS = {"type": "video", "status": "success"}
GENERATE = {"task_type": "generate"}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def test_an_event_that_is_delivered_twice_is_counted_once() -> None:
    flow = a_flow()
    handler, observer = a_handler(flow), Observer(flow.metrics)
    for offset in (77, 912):  # the second time it is the producer that repeats it, or the retry role
        record = a_record()
        outcome = asyncio.run(handler.handle(type(record)(**{**vars(record), "offset": offset})))
        observer.on_acknowledged(outcome)
    assert value(flow.metrics, "thumbnail_generation_total", **SUCCESS) == 1
    assert value(flow.metrics, "thumbnail_task_execution_duration_seconds_count", **GENERATE) == 1
    assert value(flow.metrics, "thumbnail_upload_to_ready_seconds_count") == 1
    assert value(flow.metrics, "thumbnail_redelivered_total", **GENERATE) == 1


def test_the_old_upload_of_a_backfill_is_counted_but_not_its_age() -> None:
    flow = a_flow()
    record = a_record(write_event(an_upload(event_id="backfill-1", occurred_at=NOW - timedelta(days=9000))))
    Observer(flow.metrics).on_acknowledged(asyncio.run(a_handler(flow).handle(record)))
    assert value(flow.metrics, "thumbnail_generation_total", **SUCCESS) == 1
    assert value(flow.metrics, "thumbnail_upload_to_ready_seconds_count") == 0


def test_attempts_and_other_uploads_of_the_same_media_are_counted_each() -> None:
    flow = a_flow()
    handler, observer = a_handler(flow), Observer(flow.metrics)
    again = ((h.LAST_FAILED_AT, b"2026-11-23T12:00:00.000Z"),)
    newer = write_event(an_upload(event_id="upload-2", occurred_at=NOW + timedelta(seconds=1)))
    for record in (a_record(), a_retry(again), a_record(newer)):
        observer.on_acknowledged(asyncio.run(handler.handle(record)))
    assert value(flow.metrics, "thumbnail_generation_total", **SUCCESS) == 3
    assert value(flow.metrics, "thumbnail_redelivered_total", **GENERATE) == 0


def test_what_is_not_acknowledged_is_not_counted() -> None:
    flow = a_flow()
    flow.maker.error = PermanentError(ErrorCode.MEDIA_CORRUPT, "x")
    assert asyncio.run(a_handler(flow).handle(a_record())).status == "failed"
    assert value(flow.metrics, "thumbnail_generation_total", type="video", status="failed") == 0
    assert value(flow.metrics, "thumbnail_dead_letters_total", code="media.corrupt") == 0


def test_an_event_whose_storage_rests_waits_and_has_neither_failed_nor_been_tried() -> None:
    flow = a_flow()
    handler, observer = a_handler(flow), Observer(flow.metrics)
    flow.tenants.own.fail_next("open_source", ConnectionPausedError("Storage connection 5", 20, "minio"))
    outcome = asyncio.run(handler.handle(a_record()))
    observer.on_acknowledged(outcome)
    assert outcome.status == "retry"
    assert value(flow.metrics, "thumbnail_breaker_waiting_total", provider="minio") == 1
    assert value(flow.metrics, "thumbnail_retries_total", code="storage.paused") == 1
    assert value(flow.metrics, "thumbnail_generation_total", type="video", status="retry") == 0
    assert value(flow.metrics, "thumbnail_task_execution_total", task_type="generate", status="retry") == 0


def test_an_event_is_counted_when_it_is_acknowledged_and_never_once_its_partition_is_gone() -> None:
    counted: list[int] = []

    async def ack(_event: Event) -> None:
        await asyncio.sleep(0)

    async def run() -> None:
        gate: AckGate[Event] = AckGate(ack, lambda: 1)
        first, second, third = [gate.enter(an_event(offset)) for offset in range(3)]
        await gate.finish(second, lambda: counted.append(1))
        assert counted == [], "the one before it is not done: it may still go to another process"
        await gate.finish(first, lambda: counted.append(0))
        assert counted == [0, 1]
        gate.drop_revoked({("uploads", 0)})
        await gate.finish(third, lambda: counted.append(2))
        assert counted == [0, 1]

    asyncio.run(run())


def test_only_the_last_few_are_remembered() -> None:
    recent = RecentIds(size=2)
    assert [recent.add(number) for number in (1, 2, 1, 3, 1)] == [True, True, False, True, True]


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        (b"00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
        (b'00-"} 1 # {x="4bf92f3577b34da6a3ce929d-00f067aa0ba902b7-01', None),
        (b"", None),
    ],
)
def test_only_a_valid_trace_becomes_an_exemplar(traceparent: bytes, trace_id: str | None) -> None:
    assert h.trace_id(((h.TRACEPARENT, traceparent),)) == trace_id


def test_an_exemplar_stands_at_its_bucket() -> None:
    metrics = Metrics()
    EventMetrics(metrics).count(
        "success", EventSample("e", TaskType.GENERATE, kind="video", took_s=0.3, trace_id="a" * 32)
    )
    (family,) = [f for f in metrics.registry.collect() if f.name == "thumbnail_generation_duration_seconds"]
    (found,) = [sample for sample in family.samples if sample.exemplar]
    assert (found.labels["le"], found.exemplar and found.exemplar.labels) == ("0.5", {"trace_id": "a" * 32})
