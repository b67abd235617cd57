"""An OpenTelemetry collector in this process: OTLP over HTTP in, spans out. It can fail or hang on demand."""

import gzip
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

Value = str | int | float | bool


@dataclass(frozen=True)
class CollectedSpan:
    """A span as it came over the wire. Ids in hex, times in Unix nanoseconds; `parent_id` is empty for a root."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    service: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Value]
    links: tuple[tuple[str, str], ...]
    is_error: bool


class Collector:
    """Keeps every span; `status` is what it answers, and `hangs` keeps it from answering at all."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.endpoint = f"http://127.0.0.1:{server.server_port}"
        self.status = 200
        self.requests = 0
        self.hangs = threading.Event()
        self.released = threading.Event()
        self._spans: list[CollectedSpan] = []
        self._lock = threading.Lock()

    def take(self, body: bytes) -> int:
        """The status to answer a request with."""
        self.requests += 1
        if self.hangs.is_set():
            self.released.wait(60)
        if self.status == 200:
            request = ExportTraceServiceRequest.FromString(body)
            with self._lock:
                self._spans += _spans_of(request)
        return self.status

    def spans(self) -> list[CollectedSpan]:
        """What came so far, by the time at which it began."""
        with self._lock:
            return sorted(self._spans, key=lambda span: span.start_ns)


@contextmanager
def a_collector() -> Iterator[Collector]:
    """A collector on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    collector = Collector(server)
    _Handler.collectors[server.server_port] = collector
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
        del _Handler.collectors[server.server_port]


class _Handler(BaseHTTPRequestHandler):
    collectors: dict[int, Collector] = {}  # noqa: RUF012 - the running ones, by their ports

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, ThreadingHTTPServer)
        status = self.collectors[self.server.server_port].take(body) if self.path == "/v1/traces" else 404
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def _spans_of(request: ExportTraceServiceRequest) -> list[CollectedSpan]:
    found = []
    for resource in request.resource_spans:
        service = str(_values(resource.resource.attributes).get("service.name", ""))
        found += [_span(span, service) for scope in resource.scope_spans for span in scope.spans]
    return found


def _span(span: ProtoSpan, service: str) -> CollectedSpan:
    return CollectedSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name,
        kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        service=service,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_values(span.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        is_error=span.status.code == 2,
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, Value]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    found: Value = getattr(value, kind) if kind else ""
    return found
