"""Serves the double over HTTP/1.1 on this host, each request in a thread."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self, cast
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from tests.servers.yandex.disk import ApiError, Disk
from tests.servers.yandex.faults import Answer, FaultTable
from tests.servers.yandex.routes import Api

QUOTA_BYTES: Final = 10 * 1024**3
MAX_FILE_BYTES: Final = 1024**3
_ENDLESS_BYTES: Final = 64 * 1024**2


@dataclass(frozen=True)
class LoggedRequest:
    """One request as it came."""

    method: str
    path: str
    range: str | None
    authorization: str | None


class YandexDouble:
    """Listens on 127.0.0.1 between `with` and its end. Each token has a disk of its own in `disks`."""

    def __init__(self, tokens: Iterable[str] = ("token",), *, clock: Callable[[], float] | None = None) -> None:
        self.disks: Final = {token: Disk(QUOTA_BYTES, MAX_FILE_BYTES) for token in tokens}
        self.api: Final = Api(self.disks) if clock is None else Api(self.disks, clock)
        self.faults: Final = FaultTable()
        self.requests: Final[list[LoggedRequest]] = []
        self.on_body: Callable[[str, int], None] = lambda _path, _received: None
        """Called with the number of received bytes while a body arrives; it may block."""
        self._server: Final = _Server(("127.0.0.1", 0), _Handler)
        self._server.double = self
        self.url: Final = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.api.base_url = self.url

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), name="yandex-double", daemon=True).start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    double: YandexDouble


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet: apart they wait for each other's acknowledgement, 40 ms
    timeout = 90

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self._read_body(parts.path)
        if body is None:
            self.close_connection = True
            return
        shown = f"{parts.path}?{unquote_plus(parts.query)}"
        self.server.double.requests.append(
            LoggedRequest(self.command, shown, self.headers.get("Range"), self.headers.get("Authorization"))
        )
        query = dict(parse_qsl(parts.query))

        def go_on() -> Answer:
            try:
                return self.server.double.api.answer(self.command, parts.path, query, self.headers, body)
            except ApiError as exc:
                found = {"error": exc.error, "message": "Ошибка.", "description": exc.description}
                return Answer(exc.status, json.dumps(found, ensure_ascii=False).encode(), "application/json")

        action = self.server.double.faults.find(self.command, shown)
        answer = go_on() if action is None else action(go_on)
        with suppress(OSError):  # the client has gone
            self._send(answer)

    def _read_body(self, path: str) -> bytes | None:
        """The whole body; None when it broke off."""
        try:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                return self._read_chunks()
            left, body = int(self.headers.get("Content-Length") or 0), bytearray()
            while left:
                part = cast(BufferedReader, self.rfile).read1(min(left, 65536))
                if not part:
                    return None
                body += part
                left -= len(part)
                self.server.double.on_body(path, len(body))
            return bytes(body)
        except (OSError, ValueError):
            return None

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while length := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _send(self, answer: Answer | None) -> None:
        if answer is None:
            self.close_connection = True
            self.connection.close()
            return
        if "close" in self.headers.get("Connection", "").lower() or answer.cut_at is not None or answer.endless:
            self.close_connection = True
        self.send_response(answer.status)
        if answer.content_type is not None:
            self.send_header("Content-Type", answer.content_type)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not answer.endless:
            self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body if answer.cut_at is None else answer.body[: answer.cut_at])
        for _ in range(_ENDLESS_BYTES // 65536 if answer.endless else 0):
            self.wfile.write(bytes(65536))

    do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """The table of requests is the log."""
