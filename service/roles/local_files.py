"""Serves the objects of local storage over HTTP, read-only: for trying, and for one machine.

It has no TLS, no login and no limits of its own. Where others can reach it, put a web server before the folder instead.
"""

import mimetypes
import socket
import socketserver
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import unquote

from processors.types import PictureFormat
from schemas.errors import ErrorCode, ObjectNotFoundError, ThumbnailError
from storage.base import SourceReader
from storage.connections import LocalStorageSettings
from storage.local_disk.provider import LocalStorageProvider

CHUNK_BYTES: Final = 1 << 20
_TYPES: Final = mimetypes.MimeTypes()  # Python's own list: a host's list may lack WebP and AVIF, or say otherwise
for _format in PictureFormat:
    _TYPES.add_type(_format.media_type, f".{_format.extension}")
_SHOWN: Final = ("image", "video", "audio")
_OTHER: Final = "application/octet-stream"


def content_type_of(key: str) -> str:
    """Return the type that a browser is given: pictures, video and sound are shown, all else is only downloaded."""
    found, encoding = _TYPES.guess_type(key, strict=False)
    if found is None or encoding is not None or found.partition("/")[0] not in _SHOWN or "xml" in found:
        return _OTHER  # an upload that a browser takes for a page, SVG too, would run its scripts
    return found


class LocalFilesServer(ThreadingHTTPServer):
    """Answers GET and HEAD below `base_path` with the objects of local storage; `port` 0 is a free one."""

    daemon_threads = True

    def __init__(self, settings: LocalStorageSettings, base_path: str, host: str, port: int) -> None:
        """Raises OSError when the port cannot be had."""
        self.storage: Final = LocalStorageProvider(settings.root, settings.base_url)
        self.base_path: Final = base_path.rstrip("/")
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the name service what this host is called, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.port

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    """Its base class refuses every method that has no `do_…` here."""

    server: LocalFilesServer
    protocol_version = "HTTP/1.1"
    server_version = "thumbnails"
    sys_version = ""
    timeout = 30.0

    def do_GET(self) -> None:
        """Give an object."""
        self._serve(with_body=True)

    def do_HEAD(self) -> None:
        """Give an object's size and type."""
        self._serve(with_body=False)

    def log_message(self, *_: object) -> None:
        """Say nothing: a browser that asks is no event."""

    def _serve(self, *, with_body: bool) -> None:
        try:
            # Opened part by part without following links, and refused unless it is a plain relative key.
            source = self.server.storage.open_source(self._key())
        except ObjectNotFoundError:
            self._say(HTTPStatus.NOT_FOUND, with_body=with_body)
        except ThumbnailError as exc:
            is_bad = exc.code is ErrorCode.STORAGE_BAD_KEY
            self._say(HTTPStatus.NOT_FOUND if is_bad else HTTPStatus.SERVICE_UNAVAILABLE, with_body=with_body)
        else:
            with source:
                self._give(source, with_body=with_body)

    def _key(self) -> str:
        """Return the key in the path. Raises ObjectNotFoundError for what is outside of `base_path`, or no UTF-8."""
        path, base = self.path.partition("?")[0].partition("#")[0], f"{self.server.base_path}/"
        if not path.startswith(base):
            raise ObjectNotFoundError("")
        try:
            return unquote(path.removeprefix(base), errors="strict")
        except UnicodeDecodeError as exc:
            raise ObjectNotFoundError("") from exc

    def _give(self, source: SourceReader, *, with_body: bool) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type_of(self._key()))
        self.send_header("Content-Length", str(source.size))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", "sandbox")
        self.end_headers()
        try:
            for offset in range(0, source.size if with_body else 0, CHUNK_BYTES):
                self.wfile.write(source.read_at(offset, CHUNK_BYTES))
        except (ThumbnailError, OSError):
            # The object changed, or the browser left: the end of the connection shows that the rest is missing.
            self.close_connection = True

    def _say(self, status: HTTPStatus, *, with_body: bool) -> None:
        body = f"{status.value} {status.phrase}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)
