"""Spans on their way to the collector: whatever it does, the flow does not wait, and the log stays short."""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from schemas import headers as h
from service.observability.otel_tracing import OtelTracing
from service.observability.span_export import FLUSH_S, SpanPipe
from service.observability.traces import TracesError, start_traces
from service.settings import TraceSettings
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.tracing import NO_TRACING, StageTime
from tests.servers.collector import Collector, a_collector

ROOT = Path(__file__).parents[4]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with a_collector() as running:
        yield running


@pytest.fixture(autouse=True)
def _only_these_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER", "TRACES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    exporter_log = logging.getLogger("opentelemetry.exporter")
    before = exporter_log.handlers, exporter_log.propagate
    yield
    exporter_log.handlers, exporter_log.propagate = before


def a_record(*headers: tuple[str, bytes | None]) -> InboundRecord:
    return InboundRecord("t", 1, 2, 0, b"video:1", b"x", headers)


def work(tracing: OtelTracing, times: int) -> None:
    for _ in range(times):
        record, span = tracing.receive(a_record())
        _, sending = tracing.send(OutboundRecord("u", record.key, record.value, record.headers))
        sending.end()
        span.end()


def is_sampled(headers: h.Headers) -> bool:
    """The last bit of the flags; the one before says that the trace's id is random."""
    return bool(int((h.get_header(headers, h.TRACEPARENT) or "")[-2:], 16) & 1)


def until(what: object, timeout_s: float = 10.0) -> None:
    assert callable(what)
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_the_last_spans_are_sent_when_a_process_ends(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    with start_traces(TraceSettings(), "retry", "g") as tracing:
        tracing.receive(a_record())[1].end("storage.full")
        assert collector.spans() == []
    (span,) = collector.spans()
    assert (span.service, span.name, span.is_error) == ("thumbnails-retry", "process t", True)
    assert span.attributes["error.type"] == "storage.full"
    assert span.attributes["messaging.consumer.group.name"] == "g"


def test_the_service_has_the_name_that_the_environment_gives_it(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "pictures")
    with start_traces(TraceSettings(), "retry") as tracing:
        tracing.receive(a_record())[1].end()
    assert [span.service for span in collector.spans()] == ["pictures"]


def test_the_environments_sampler_decides(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    with start_traces(TraceSettings(), "retry") as tracing:
        record, span = tracing.receive(a_record())
        span.end()
    assert collector.spans() == []
    assert not is_sampled(record.headers), "the next hop knows it"


@pytest.mark.timed
@pytest.mark.parametrize("kind", ["hangs", "fails", "is not there"])
def test_a_collector_in_trouble_holds_nobody_up_and_costs_a_few_lines(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    collector.status = 500
    if kind == "hangs":
        collector.hangs.set()
    endpoint = "http://127.0.0.1:1" if kind == "is not there" else collector.endpoint
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    pipe = SpanPipe("worker")
    with capture_logs() as lines:
        began = time.monotonic()
        work(OtelTracing(pipe.provider, "g"), 1100)  # more than the queue holds
        assert time.monotonic() - began < 5, "it takes what the spans take, and does not wait"
        until(lambda: lines)
        began = time.monotonic()
        pipe.close()
        assert time.monotonic() - began < FLUSH_S + 1
    assert {line["event"] for line in lines} == {"span_export_failed"}
    assert lines[0]["lost"] > 0
    assert lines[0]["reason"]


def test_a_collector_that_is_back_gets_spans_again(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    pipe = SpanPipe("worker")
    tracing = OtelTracing(pipe.provider, "g")
    collector.status = 400
    with capture_logs() as lines:
        work(tracing, 1)
        until(lambda: lines)
        collector.status = 200
        work(tracing, 1)
        until(lambda: len(collector.spans()) == 2)
        until(lambda: len(lines) == 2)
    pipe.close()
    assert [(line["event"], line["lost"]) for line in lines] == [
        ("span_export_failed", 2),
        ("span_export_recovered", 2),
    ]


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\xff\xfe",
        b"00-0-0-0",
        b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
        b"x" * 100_000,
        None,
        b"ff-" + b"a" * 52,
    ],
)
def test_a_header_that_is_no_trace_begins_a_new_one(
    junk: bytes | None, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    with start_traces(TraceSettings(), "worker", "g") as tracing:
        record, span = tracing.receive(a_record(("own", b"\xff"), (h.TRACEPARENT, junk), (h.TRACESTATE, junk)))
        span.add_stages([StageTime("read", 1.0, 2.0, {"bytes": 3}, "source.missing")])
        span.end()
    process = next(span for span in collector.spans() if span.name == "process t")
    assert (process.parent_id, process.links) == ("", ())
    assert record.headers[0] == ("own", b"\xff")
    assert (h.get_header(record.headers, h.TRACEPARENT) or "")[:52] == f"00-{process.trace_id}-{process.span_id}"
    assert is_sampled(record.headers)


@pytest.mark.parametrize("prefix", ["", "ce_"])
def test_the_state_of_others_travels_along(collector: Collector, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    parent = f"00-{'a' * 32}-{'b' * 16}-01".encode()
    with start_traces(TraceSettings(), "worker", "g") as tracing:
        record, _ = tracing.receive(a_record((f"{prefix}traceparent", parent), (f"{prefix}tracestate", b"vendor=1")))
        sent, _ = tracing.send(OutboundRecord("u", None, None, record.headers))
    assert h.get_header(sent.headers, h.TRACESTATE) == "vendor=1"
    assert (h.get_header(sent.headers, h.TRACEPARENT) or "")[3:35] == "a" * 32


def test_without_traces_nothing_of_opentelemetry_is_loaded() -> None:
    program = """
import os, sys, service.roles.run, service.roles.worker, service.cli.dlq
from service.settings import Settings
from service.observability.traces import start_traces
for changes in ({}, {"TRACES": "off"}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}):
    os.environ |= changes
    start_traces(Settings().traces, "worker", "g")
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:1"
    for name in changes:
        del os.environ[name]
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    done = subprocess.run([sys.executable, "-c", program], env={}, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "service.observability.otel_tracing", raising=False)
    monkeypatch.delitem(sys.modules, "service.observability.span_export", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    without_the_extra(monkeypatch)
    with pytest.raises(TracesError, match=r"pip install 'thumbnail-pipeline\[otel\]'"):
        start_traces(TraceSettings(traces="on"), "worker")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with capture_logs() as lines:
        assert start_traces(TraceSettings(), "worker").tracing is NO_TRACING
    assert [line["event"] for line in lines] == ["tracing_unavailable"]


def test_a_protocol_that_we_do_not_speak_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(TracesError, match="http/protobuf, not by grpc"):
        start_traces(TraceSettings(), "worker")


def test_switched_off_a_record_passes_untouched() -> None:
    record = a_record((h.TRACEPARENT, b"whatever"))
    sent = OutboundRecord("u", None, None, record.headers)
    assert NO_TRACING.receive(record)[0] is record
    assert NO_TRACING.send(sent)[0] is sent
