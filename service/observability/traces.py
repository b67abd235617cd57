"""Starts and ends the traces of one process; OpenTelemetry's libraries are loaded only where they are wanted."""

import os
from types import TracebackType
from typing import TYPE_CHECKING, Final

import structlog

from service.settings import TraceSettings
from streams.tracing import NO_TRACING, Tracing

if TYPE_CHECKING:
    from service.observability.span_export import SpanPipe

log = structlog.get_logger(__name__)

NO_EXTRA: Final = "Traces need the extra `otel`: pip install 'thumbnail-pipeline[otel]', or set TRACES=off."
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class TracesError(Exception):
    """Traces are asked for and cannot be had; the message says what to do."""


class Traces:
    """The traces of a process: give `tracing` to what it runs, and close it, or use it in a `with`."""

    def __init__(self, tracing: Tracing = NO_TRACING, pipe: "SpanPipe | None" = None) -> None:
        self.tracing: Final = tracing
        self._pipe: Final = pipe

    def __enter__(self) -> Tracing:
        return self.tracing

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Send what is left, in bounded time: a collector that is down keeps nobody."""
        if self._pipe is not None:
            self._pipe.close()


def start_traces(settings: TraceSettings, role: str, group: str | None = None) -> Traces:
    """Start the export of traces to OTEL_EXPORTER_OTLP_ENDPOINT, if it is set; `group` is the role's consumer group.

    Raises TracesError for TRACES=on without the extra, and for settings that OpenTelemetry does not understand.
    """
    if not _are_wanted(settings):
        return Traces()
    try:
        from service.observability.otel_tracing import OtelTracing
        from service.observability.span_export import SpanPipe
    except ImportError as exc:
        if settings.traces == "on":
            raise TracesError(NO_EXTRA) from exc
        log.warning("tracing_unavailable", hint=NO_EXTRA)
        return Traces()
    try:
        pipe = SpanPipe(role)
    except ValueError as exc:
        raise TracesError(f"OpenTelemetry does not understand its settings (OTEL_…): {exc}.") from exc
    return Traces(OtelTracing(pipe.provider, group), pipe)


def _are_wanted(settings: TraceSettings) -> bool:
    if settings.traces == "off" or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    protocol = _first(_PROTOCOLS)
    if settings.traces == "auto" and (_first(_ENDPOINTS) is None or os.environ.get("OTEL_TRACES_EXPORTER") == "none"):
        return False
    if protocol not in (None, "http/protobuf"):
        raise TracesError(f"Traces are sent by http/protobuf, not by {protocol}: unset {_PROTOCOLS[1]}, or TRACES=off.")
    return True


def _first(names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := os.environ.get(name, "").strip())), None)
