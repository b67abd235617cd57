"""Sends spans to the collector from a thread of its own: one that is down costs spans, one warning, and no time."""

import logging
import os
import socket
import threading
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

log = structlog.get_logger(__name__)

FLUSH_S: Final = 2.0
"""How long a process that ends waits for its last spans: what the stop's own bound leaves over."""
_PACKAGE: Final = "thumbnail-pipeline"
_QUIET: Final = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal")
"""The SDK logs each batch that fails and each span that finds the queue full; this module logs once."""


class TellingExporter(SpanExporter):
    """Wrap an exporter and log its failures: the first in a row, and the first success after it."""

    def __init__(self, inner: SpanExporter, reasons: "LastMessage") -> None:
        self._inner: Final = inner
        self._reasons: Final = reasons
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Call the inner exporter's."""
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            log.warning("span_export_failed", lost=self._lost, reason=self._reasons.text)
        elif self._lost:
            log.info("span_export_recovered", lost=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        """Call the inner exporter's."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Call the inner exporter's."""
        return self._inner.force_flush(timeout_millis)


class LastMessage(logging.Handler):
    """Keeps what OpenTelemetry's exporter said last, instead of printing it for each batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.text = record.getMessage()


class SpanPipe:
    """A tracer provider, and what sends its spans, set by the OTEL_… variables that the SDK reads itself.

    Raises ValueError for variables that it does not understand.
    """

    def __init__(self, role: str) -> None:
        reasons = LastMessage()
        exporter_log, queue_log = (logging.getLogger(name) for name in _QUIET)
        exporter_log.handlers, exporter_log.propagate = [reasons], False
        queue_log.setLevel(logging.ERROR)
        self.provider: Final = TracerProvider(resource=_resource(role), shutdown_on_exit=False)
        self.provider.add_span_processor(BatchSpanProcessor(TellingExporter(OTLPSpanExporter(), reasons)))

    def close(self) -> None:
        """Send what is left within FLUSH_S, and give up the rest."""
        # The SDK's own shutdown waits for half a minute whatever its timeout; the thread ends with the process.
        flushing = threading.Thread(target=self.provider.shutdown, name="last-spans", daemon=True)
        flushing.start()
        flushing.join(FLUSH_S)


def _resource(role: str) -> Resource:
    about_us = {
        "service.version": version(_PACKAGE),
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
    }
    found = Resource.create(about_us)
    if not str(found.attributes["service.name"]).startswith("unknown_service"):
        return found
    return found.merge(Resource({"service.name": f"thumbnails-{role}"}))
