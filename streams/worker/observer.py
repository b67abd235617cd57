"""Metrics, traces and log of the worker's records, apart from the flow that works on them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from schemas.metrics import Metrics
from schemas.topics import UNPREFIXED, Topics
from streams.event_metrics import EventMetrics
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.tracing import NO_SPAN, NO_TRACING, Span, Tracing, sending
from streams.worker.outcome import Ending, Outcome

log = structlog.get_logger(__name__)


class ReceivedRecord:
    """A record under way, as the trace has changed it, with its span."""

    def __init__(self, record: InboundRecord, span: Span, log_fields: Mapping[str, object]) -> None:
        self.record: Final = record
        self.span: Final = span
        self.log_fields: Final = log_fields
        self.error: str | None = None
        """The code that it failed with."""


class Observer:
    """Sees each record come, end, be sent and be acknowledged; decides nothing."""

    def __init__(self, metrics: Metrics, tracing: Tracing = NO_TRACING, topics: Topics = UNPREFIXED) -> None:
        self._metrics: Final = metrics
        self._counts: Final = EventMetrics(metrics)
        self._tracing: Final = tracing
        self._topics: Final = topics

    @contextmanager
    def on_received(self, record: InboundRecord) -> Iterator[ReceivedRecord]:
        """Open the record's span, and bind its place and trace to every log line of the block."""
        received = self._receive(record)
        try:
            with bound_contextvars(**received.log_fields):
                yield received
        except BaseException as exc:
            received.error = type(exc).__name__
            raise
        finally:
            received.span.end(received.error)

    def _receive(self, record: InboundRecord) -> ReceivedRecord:
        try:
            traced, span = self._tracing.receive(record)
            return ReceivedRecord(traced, span, traced.log_fields)
        except Exception:
            # Whatever stands in a record, neither a trace nor a log line must keep it from its outcome.
            log.exception("event_internal_error")
            place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            return ReceivedRecord(record, NO_SPAN, place)

    def on_outcome(self, received: ReceivedRecord, outcome: Outcome) -> None:
        """Log how the work ended, and say it to the trace; what follows from it is not sent yet."""
        received.error = outcome.error_code
        received.span.set_attributes(outcome.trail.attributes)
        received.span.add_stages(outcome.trail.stages)
        _log_ending(outcome)

    @contextmanager
    def on_sending(self, record: OutboundRecord) -> Iterator[OutboundRecord]:
        """Open the span of a record that is sent within the block, and count a dead letter that could not be sent."""
        with sending(self._tracing, (record,)) as (traced,):
            try:
                yield traced
            except BaseException:
                self.on_not_sent(record)
                raise

    def on_not_sent(self, record: OutboundRecord) -> None:
        """Count what the broker did not take, if it was a dead letter."""
        if record.topic == self._topics.dlq:
            self._metrics.dead_letter_write_failures_total.inc()

    def on_acknowledged(self, outcome: Outcome) -> None:
        """Count the outcome: its record is acknowledged, and will not be handed to another process."""
        self._counts.count(outcome.status, outcome.sample)


def _log_ending(outcome: Outcome) -> None:
    match outcome.ending:
        case Ending.READY:
            log.info("thumbnail_ready", **outcome.details)
        case Ending.DROPPED:
            log.info("retry_dropped", **outcome.details)
        case Ending.CLEANED:
            log.info("objects_cleaned", **outcome.details)
        case Ending.TOMBSTONE_SEEN:
            log.info("tombstone_processed", **outcome.details)
        case Ending.WAITS:
            log.warning("retry_scheduled", **outcome.details)
        case Ending.GIVEN_UP:
            log.error("event_dead_lettered", **outcome.details)
        case Ending.TOMBSTONE_GIVEN_UP:
            log.error("tombstone_dead_lettered", **outcome.details)
        case Ending.TOMBSTONE_WAITS:
            pass  # the database's own lines say that it is out of reach
