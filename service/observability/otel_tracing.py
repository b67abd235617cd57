"""Traces by OpenTelemetry, as its conventions for messaging say: one span for each record received and each one sent.

Each «process» span has the record's creation context as its parent and as a link: we always work on single messages, so
that the conventions allow for the parent, and one trace holds everything that happened to an upload.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import default_setter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from schemas import headers as h
from schemas.headers import Headers
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.tracing import Fact, Span, StageTime

TRACER_NAME: Final = "thumbnail-pipeline"
_CONTEXT: Final = TraceContextTextMapPropagator()
_NO_CONTEXT: Final = Context()
"""Never the thread's current one: parents come out of records, and nothing else."""
_TRACE_HEADERS: Final = (h.TRACEPARENT, h.TRACESTATE)


class OtelTracing:
    """Send the spans of the flow to a tracer provider; `group` is the role's consumer group, None for a mere producer."""

    def __init__(self, provider: TracerProvider, group: str | None) -> None:
        self._tracer: Final = provider.get_tracer(TRACER_NAME)
        self._group: Final = group

    def receive(self, record: InboundRecord) -> tuple[InboundRecord, Span]:
        """See the port. The span is «process TOPIC», and continues the record's creation context."""
        parent = _context_of(record.headers)
        created = get_current_span(parent).get_span_context()
        attributes = _attributes("process", record.topic, record.key, record.value) | {
            "messaging.destination.partition.id": str(record.partition),
            "messaging.kafka.offset": record.offset,
        }
        if self._group is not None:
            attributes["messaging.consumer.group.name"] = self._group
        span = self._tracer.start_span(
            f"process {record.topic}",
            parent,
            SpanKind.CONSUMER,
            attributes,
            [Link(created)] if created.is_valid else None,
        )
        headers = _with_context(record.headers, span)
        # Not dataclasses.replace(): it takes three times as long.
        changed = InboundRecord(
            record.topic, record.partition, record.offset, record.timestamp_ms, record.key, record.value, headers
        )
        return changed, _OpenSpan(self, span)

    def send(self, record: OutboundRecord) -> tuple[OutboundRecord, Span]:
        """See the port. The span is «send TOPIC», and its context is the record's creation context."""
        parent = _context_of(record.headers)
        attributes = _attributes("send", record.topic, record.key, record.value)
        span = self._tracer.start_span(f"send {record.topic}", parent, SpanKind.PRODUCER, attributes)
        sent = OutboundRecord(record.topic, record.key, record.value, _with_context(record.headers, span))
        return sent, _OpenSpan(self, span)

    def add_stage(self, parent: Context, stage: StageTime, epoch_ns: int) -> None:
        """Add a finished span; `epoch_ns` is what time.perf_counter() lacks of Unix time."""
        span = self._tracer.start_span(
            stage.name, parent, attributes=dict(stage.facts), start_time=epoch_ns + int(stage.started_s * 1e9)
        )
        _mark(span, stage.error)
        span.end(epoch_ns + int(stage.ended_s * 1e9))


class _OpenSpan:
    """A span of the flow."""

    __slots__ = ("_span", "_tracing")

    def __init__(self, tracing: OtelTracing, span: OtelSpan) -> None:
        self._tracing = tracing
        self._span = span

    def set_attributes(self, facts: Mapping[str, Fact]) -> None:
        """See streams.tracing.Span."""
        self._span.set_attributes(facts)

    def add_stages(self, stages: Iterable[StageTime]) -> None:
        """See streams.tracing.Span."""
        if not self._span.is_recording():
            return
        parent = set_span_in_context(self._span, _NO_CONTEXT)
        epoch_ns = time.time_ns() - time.perf_counter_ns()
        for stage in stages:
            self._tracing.add_stage(parent, stage, epoch_ns)

    def end(self, error: str | None = None) -> None:
        """See streams.tracing.Span."""
        _mark(self._span, error)
        self._span.end()


def _mark(span: OtelSpan, error: str | None) -> None:
    if error is not None:
        span.set_attribute("error.type", str(error))
        span.set_status(Status(StatusCode.ERROR))


def _attributes(operation: str, topic: str, key: bytes | None, value: bytes | None) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": topic,
    }
    if key is not None:
        attributes["messaging.kafka.message.key"] = h.header_text(key.decode("utf-8", "replace")).decode()
    if value is None:
        attributes["messaging.kafka.message.tombstone"] = True
    else:
        attributes["messaging.message.body.size"] = len(value)
    return attributes


def _context_of(headers: Headers) -> Context:
    """Return the creation context that `headers` hold; an empty one when they hold none that can be read."""
    found = h.from_extensions(headers)
    carrier = {name: text for name in _TRACE_HEADERS if (text := h.get_header(found, name)) is not None}
    return _CONTEXT.extract(carrier, _NO_CONTEXT) if carrier else _NO_CONTEXT


def _with_context(headers: Headers, span: OtelSpan) -> Headers:
    carrier: dict[str, str] = {}
    _CONTEXT.inject(carrier, set_span_in_context(span, _NO_CONTEXT), default_setter)
    return h.with_headers(h.without_headers(headers, _TRACE_HEADERS), carrier)
