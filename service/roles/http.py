"""Serves /metrics, /health/live and /health/ready from a thread, so that a stuck main loop can still be seen."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

Health = Callable[[], dict[str, Any]]
"""Details of a probe; its `ok` decides between 200 and 503."""


class HttpServer:
    """Answers probes and scrapes until it is stopped. `port` is the one that it really has."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, *, live: Health, ready: Health) -> None:
        self._server: Final = ThreadingHTTPServer((host, port), _handler(registry, live, ready))
        self._server.daemon_threads = True
        self._thread: Final = Thread(target=self._server.serve_forever, name="http", daemon=True)

    @property
    def port(self) -> int:
        """Return the port that is listened on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and give the port back."""
        self._server.shutdown()
        self._server.server_close()


def _handler(registry: CollectorRegistry, live: Health, ready: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, content_type, encode(registry))
            elif path in ("/health/live", "/health/ready"):
                details = live() if path == "/health/live" else ready()
                body = json.dumps(details, default=str).encode() + b"\n"
                self._answer(200 if details["ok"] else 503, "application/json", body)
            else:
                self._answer(404, "text/plain; charset=utf-8", b"Try /metrics, /health/live or /health/ready.\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Log nothing: probes come every few seconds."""

    return Handler
