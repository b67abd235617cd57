"""Serves /metrics, /health/live and /health/ready from a thread, so that a stuck main loop can still be seen."""

import json
import socket
from collections.abc import Callable
from threading import Thread
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from service.bounded_http import BoundedServer, bounded_config

Health = Callable[[], dict[str, Any]]
"""Details of a probe; its `ok` decides between 200 and 503."""
MAX_CONNECTIONS: Final = 64
"""Of probes and scrapes, a few; the rest is for whoever finds the port, and costs no more than these descriptors."""
_STOP_S: Final = 3.0


class HttpServer:
    """Answers probes and scrapes until it is stopped, all of them in one thread."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, *, live: Health, ready: Health) -> None:
        """Raises OSError when the port cannot be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener: Final = socket.create_server((host, port), family=family)
        self.port: Final = int(self._listener.getsockname()[1])
        """That it really has."""
        config = bounded_config(_Probes(registry, live, ready), MAX_CONNECTIONS, timeout_graceful_shutdown=1)
        self._server: Final = BoundedServer(config)
        self._thread: Final = Thread(target=self._server.run, args=([self._listener],), name="http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and give the port back."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._listener.close()


class _Probes:
    def __init__(self, registry: CollectorRegistry, live: Health, ready: Health) -> None:
        self._registry: Final = registry
        self._probes: Final = {"/health/live": live, "/health/ready": ready}

    async def __call__(self, scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status, content_type, body = self._answer(scope["method"], scope["path"], dict(scope["headers"]))
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str, headers: dict[bytes, bytes]) -> tuple[int, str, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, "text/plain; charset=utf-8", b"Only GET and HEAD are answered here.\n"
        if path == "/metrics":
            encode, content_type = choose_encoder(headers.get(b"accept", b"").decode("latin-1"))
            return 200, content_type, encode(self._registry)
        probe = self._probes.get(path)
        if probe is None:
            return 404, "text/plain; charset=utf-8", b"Try /metrics, /health/live or /health/ready.\n"
        details = probe()
        return 200 if details["ok"] else 503, "application/json", json.dumps(details, default=str).encode() + b"\n"
