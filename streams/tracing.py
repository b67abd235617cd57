"""The port to traces: one span for each record that is worked on, and one for each that is sent."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from streams.kafka.records import InboundRecord, OutboundRecord

Fact = str | int | float | bool


@dataclass(frozen=True, slots=True)
class StageTime:
    """A part of the work on an event: its name, and when it began and ended, in seconds of time.perf_counter().

    `facts` are numbers and short names, never a URL or a secret; `error` is the code it failed with.
    """

    name: str
    started_s: float
    ended_s: float
    facts: Mapping[str, Fact] = field(default_factory=dict)
    error: str | None = None


class Span(Protocol):
    """Something under way. Spans that are never ended are not exported."""

    def set_attributes(self, facts: Mapping[str, Fact]) -> None:
        """Add attributes."""

    def add_stages(self, stages: Iterable[StageTime]) -> None:
        """Add parts that are over already."""

    def end(self, error: str | None = None) -> None:
        """End it, once; `error` is the code, or the class of the exception, that it failed with."""


class Tracing(Protocol):
    """Makes one trace of what happens to an event. Never raises, and never waits for anything.

    The trace travels in the header `traceparent`: each record comes back with it changed, so that what follows from the
    record continues there. Nothing else of a record is touched.
    """

    def receive(self, record: InboundRecord) -> tuple[InboundRecord, Span]:
        """Begin the work on `record`; return the record to work with, and the span to end."""

    def send(self, record: OutboundRecord) -> tuple[OutboundRecord, Span]:
        """Begin to send `record`; return the record to send, and the span to end when it is acknowledged."""


class NoSpan:
    """No-op span."""

    __slots__ = ()

    def set_attributes(self, facts: Mapping[str, Fact]) -> None:
        """Do nothing."""

    def add_stages(self, stages: Iterable[StageTime]) -> None:
        """Do nothing."""

    def end(self, error: str | None = None) -> None:
        """Do nothing."""


class NoTracing:
    """No-op tracing: a trace of others passes through untouched."""

    __slots__ = ()

    def receive(self, record: InboundRecord) -> tuple[InboundRecord, Span]:
        """Return the record as it is."""
        return record, NO_SPAN

    def send(self, record: OutboundRecord) -> tuple[OutboundRecord, Span]:
        """Return the record as it is."""
        return record, NO_SPAN


NO_SPAN: Final = NoSpan()
NO_TRACING: Final = NoTracing()


@contextmanager
def sending(tracing: Tracing, records: Iterable[OutboundRecord]) -> Iterator[list[OutboundRecord]]:
    """Give the records to send within the block; they count as acknowledged after it, and as failed when it raises."""
    pairs = [tracing.send(record) for record in records]
    error: str | None = None
    try:
        yield [record for record, _ in pairs]
    except BaseException as exc:
        error = type(exc).__name__
        raise
    finally:
        for _, span in pairs:
            span.end(error)
