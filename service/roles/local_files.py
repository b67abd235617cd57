"""Serves the objects of local storage over HTTP, read-only: for trying, and for one machine.

It has no TLS and no login. Where others can reach it, put a web server before the folder instead.
"""

import mimetypes
import re
import socket
from collections.abc import Iterator
from http import HTTPStatus
from types import FrameType
from typing import Final
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from processors.types import PictureFormat
from schemas.errors import ErrorCode, ObjectNotFoundError, ThumbnailError
from service.bounded_http import BoundedServer, bounded_config
from storage.base import SourceReader
from storage.connections import LocalStorageSettings
from storage.local_disk.provider import LocalStorageProvider

CHUNK_BYTES: Final = 1 << 18
MAX_CONNECTIONS: Final = 256
"""Beyond it, a connection is answered 503: each may hold an open file and a chunk."""
UNANSWERED_MS: Final = 60_000
"""A visitor that confirms nothing for this long is cut off by the kernel, with what was written for it."""
FOR_EVER: Final = "public, max-age=31536000, immutable"
"""For thumbnails: their folder is made of their content (storage.keys.version_folder), so that no URL gets other bytes."""
ASK_AGAIN: Final = "no-cache"
"""For other objects, whose keys the platform chose: browsers ask with the ETag whether theirs is still the present one."""
_TYPES: Final = mimetypes.MimeTypes()  # Python's own list: a host's list may lack WebP and AVIF, or say otherwise
for _format in PictureFormat:
    _TYPES.add_type(_format.media_type, f".{_format.extension}")
_SHOWN: Final = ("image", "video", "audio")
_OTHER: Final = "application/octet-stream"
_THUMBNAIL: Final = re.compile(r"(.*/)?thumbnails/(video|image)/[0-9]+/[^/]+/[^/]+")
_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.IGNORECASE)


def content_type_of(key: str) -> str:
    """Return the type that a browser is given: pictures, video and sound are shown, all else is only downloaded."""
    found, encoding = _TYPES.guess_type(key, strict=False)
    if found is None or encoding is not None or found.partition("/")[0] not in _SHOWN or "xml" in found:
        return _OTHER  # an upload that a browser takes for a page, SVG too, would run its scripts
    return found


class RangeNotSatisfiableError(Exception):
    """The range that was asked for has no byte of the object."""


def range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first and the last byte of a Range header, which are inside of an object of `size` bytes.

    None means the whole object: without a header, and for one of another form or of several ranges, which a server may
    ignore (RFC 9110, section 14.2). Raises RangeNotSatisfiableError.
    """
    found = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if found is None:
        return None
    if found[3] is not None:
        first, last = max(0, size - int(found[3])), size - 1
    else:
        first, last = int(found[1]), int(found[2]) if found[2] else size - 1
        if found[2] and last < first:
            return None  # no range at all
    if first >= size or (found[3] is not None and int(found[3]) == 0):
        raise RangeNotSatisfiableError
    return first, min(last, size - 1)


class LocalFiles:
    """An ASGI application that answers GET and HEAD below `base_path` with the objects of local storage."""

    def __init__(self, settings: LocalStorageSettings, base_path: str) -> None:
        self.storage: Final = LocalStorageProvider(settings.root, settings.base_url)
        self._base: Final = f"{base_path.rstrip('/')}/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = await self._answer(Request(scope))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _said(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET, HEAD"})
        key = self._key(request)
        if key is None:
            return _said(HTTPStatus.NOT_FOUND)
        try:
            # Opened part by part without following links, and refused unless it is a plain relative key.
            source = await run_in_threadpool(self.storage.open_source, key)
        except ObjectNotFoundError:
            return _said(HTTPStatus.NOT_FOUND)
        except ThumbnailError as exc:
            is_bad = exc.code is ErrorCode.STORAGE_BAD_KEY
            return _said(HTTPStatus.NOT_FOUND if is_bad else HTTPStatus.SERVICE_UNAVAILABLE)
        return _ObjectResponse.of(source, key, request)

    def _key(self, request: Request) -> str | None:
        """Return the key in the path; None for what is outside of the base path, or no UTF-8."""
        path = bytes(request.scope["raw_path"]).partition(b"?")[0].decode("latin-1")
        if not path.startswith(self._base):
            return None
        try:
            return unquote(path.removeprefix(self._base), errors="strict")
        except UnicodeDecodeError:
            return None


class _ObjectResponse(StreamingResponse):
    """A part of an object, or all of it; the object is closed however the response ends."""

    def __init__(self, source: SourceReader, status: HTTPStatus, headers: dict[str, str], span: range) -> None:
        super().__init__(_chunks(source, span), status, headers)
        self._source: Final = source

    @classmethod
    def of(cls, source: SourceReader, key: str, request: Request) -> "_ObjectResponse":
        """Return the response to a request for an object that is open; nothing was read of it yet."""
        etag = f'"{source.version}"'
        headers = {
            "Content-Type": content_type_of(key),
            "Content-Length": str(source.size),
            "Accept-Ranges": "bytes",
            "ETag": etag,
            "Cache-Control": FOR_EVER if _THUMBNAIL.fullmatch(key) else ASK_AGAIN,
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox",
        }
        if _has(request.headers.get("if-none-match"), etag):
            del headers["Content-Type"], headers["Content-Length"]
            return cls(source, HTTPStatus.NOT_MODIFIED, headers, range(0))
        asked = request.headers.get("range") if request.method == "GET" else None
        if request.headers.get("if-range") not in (None, etag):
            asked = None  # the visitor has a part of another object
        try:
            part = range_of(asked, source.size)
        except RangeNotSatisfiableError:
            headers |= {"Content-Range": f"bytes */{source.size}", "Content-Length": "0"}
            return cls(source, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers, range(0))
        if part is None:
            return cls(source, HTTPStatus.OK, headers, range(source.size if request.method == "GET" else 0))
        first, last = part
        headers |= {"Content-Range": f"bytes {first}-{last}/{source.size}", "Content-Length": str(last - first + 1)}
        return cls(source, HTTPStatus.PARTIAL_CONTENT, headers, range(first, last + 1))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, and close the object."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._source.close()


def _chunks(source: SourceReader, span: range) -> Iterator[bytes]:
    """Yield the bytes of `span`. An object that changes meanwhile raises: the connection ends, and so the rest is missed."""
    for offset in range(span.start, span.stop, CHUNK_BYTES):
        yield source.read_at(offset, min(CHUNK_BYTES, span.stop - offset))


def _has(if_none_match: str | None, etag: str) -> bool:
    """Return whether a visitor's If-None-Match names the object's ETag; weak ones count (RFC 9110, section 13.1.2)."""
    given = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return given == ["*"] or etag in given


def _said(status: HTTPStatus, headers: dict[str, str] | None = None) -> Response:
    """Return a plain answer, which no browser keeps: the thumbnail may be there a moment later."""
    return PlainTextResponse(
        f"{status.value} {status.phrase}\n", status, {"Cache-Control": "no-store", **(headers or {})}
    )


class _Server(BoundedServer):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Not uvicorn's: it would raise the signal again at the end, and a stop signal is not a failure."""
        self.force_exit = self.should_exit  # the second signal
        self.should_exit = True


class LocalFilesServer:
    """Listens from the beginning, and answers once `serve` runs. `port` 0 is a free one."""

    def __init__(self, settings: LocalStorageSettings, base_path: str, host: str, port: int) -> None:
        """Raises OSError when the port cannot be had."""
        self.files: Final = LocalFiles(settings, base_path)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener: Final = socket.create_server((host, port), family=family)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections inherit it
            self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)
        config = bounded_config(
            self.files,
            2 * MAX_CONNECTIONS,
            # Errors are those of visitors that left, and of objects that changed: an end of the connection says it.
            log_level=100,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=2,
        )
        self._server: Final = _Server(config)

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self._listener.getsockname()[1])

    def serve(self) -> None:
        """Serve until SIGTERM, Ctrl-C or `stop`."""
        self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._server.should_exit = True

    def close(self) -> None:
        """Give the port back."""
        self._listener.close()
