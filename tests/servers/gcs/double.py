"""A double of Google Cloud Storage's JSON API, as its reference describes it: what a bucket of thumbnails needs.

It takes only tokens that its own login gave, keeps one generation of each object, and lists by the bytes of names.
"""

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.gcs.login import GoogleLogin

_BUCKET: Final = "/storage/v1/b/(?P<bucket>[^/]+)"
_OBJECTS: Final = re.compile(f"{_BUCKET}/o")
_OBJECT: Final = re.compile(f"(?P<kind>/download)?{_BUCKET}/o/(?P<name>[^/]+)")
_UPLOAD: Final = re.compile(f"/upload{_BUCKET}/o")
_PUBLIC: Final = re.compile("/(?P<bucket>[^/]+)/(?P<name>.+)")


@dataclass(frozen=True)
class Kept:
    """One object."""

    content: bytes
    properties: dict[str, str]
    generation: int
    made_at: datetime

    def described(self, name: str) -> dict[str, str]:
        made_at = self.made_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        digest = base64.b64encode(hashlib.md5(self.content, usedforsecurity=False).digest()).decode()
        found = {"name": name, "size": str(len(self.content)), "generation": str(self.generation), "md5Hash": digest}
        return self.properties | found | {"timeCreated": made_at, "updated": made_at, "kind": "storage#object"}


class _Refusal(Exception):  # noqa: N818 - an answer
    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message


class GcsDouble:
    """Listens on 127.0.0.1 between `with` and its end. `buckets` maps names to their objects; everybody may read by URL."""

    def __init__(self) -> None:
        self.buckets: Final[dict[str, dict[str, Kept]]] = {}
        self.page_size = 1000
        self.login: Final = GoogleLogin()
        self.lock: Final = Lock()
        self._generations: Final = count(int(datetime.now(UTC).timestamp() * 1_000_000))
        self._server: Final = _Server(("127.0.0.1", 0), _Handler)
        self._server.double = self
        self.url: Final = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def credentials(self) -> dict[str, str]:
        """The fields of a connection's credentials, but for the bucket."""
        return {"endpoint": self.url, "service_account": json.dumps(self.login.key_file)}

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), name="gcs-double", daemon=True).start()
        self.login.__enter__()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.login.__exit__(exc_type, exc, traceback)
        self._server.shutdown()
        self._server.server_close()

    def put(self, bucket: str, name: str, content: bytes, properties: dict[str, str]) -> Kept:
        with self.lock:
            kept = Kept(content, properties, next(self._generations), datetime.now(UTC))
            self._of(bucket)[name] = kept
        return kept

    def upload(self, bucket: str, kind: str, body: bytes) -> dict[str, str]:
        """Take a multipart upload: a part with properties, a part with the content. Raises _Refusal for another MD5."""
        mark = kind.partition("boundary=")[2].strip("\"'").encode()
        _, described, content, _ = body.split(b"--" + mark)
        properties = json.loads(described.partition(b"\r\n\r\n")[2])
        kept = content.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        name, md5 = properties.pop("name"), properties.pop("md5Hash", None)
        actual = base64.b64encode(hashlib.md5(kept, usedforsecurity=False).digest()).decode()
        if md5 not in (None, actual):
            raise _Refusal(400, f'Provided MD5 hash "{md5}" doesn\'t match calculated MD5 hash "{actual}".')
        return self.put(bucket, name, kept, properties).described(name)

    def listed(self, bucket: str, query: dict[str, str]) -> dict[str, Any]:
        with self.lock:
            found = sorted(self._of(bucket).items(), key=lambda item: item[0].encode())
        start = max(query.get("startOffset", ""), query.get("pageToken", ""), key=str.encode).encode()
        names = [
            (name, kept) for name, kept in found if name.startswith(query.get("prefix", "")) and name.encode() >= start
        ]
        size = min(int(query.get("maxResults", "1000")), self.page_size)
        page = {"items": [kept.described(name) for name, kept in names[:size]]} if names else {}
        return page | ({"nextPageToken": names[size][0]} if len(names) > size else {})

    def found(self, bucket: str, name: str, query: dict[str, str]) -> Kept:
        with self.lock:
            kept = self._of(bucket).get(name)
        if kept is None:
            raise _Refusal(404, f"No such object: {bucket}/{name}")
        if query.get("ifGenerationMatch") not in (None, str(kept.generation)):
            raise _Refusal(412, "At least one of the pre-conditions you specified did not hold.")
        return kept

    def delete(self, bucket: str, name: str) -> None:
        self.found(bucket, name, {})
        with self.lock:
            self._of(bucket).pop(name, None)

    def _of(self, bucket: str) -> dict[str, Kept]:
        if bucket not in self.buckets:
            raise _Refusal(404, "The specified bucket does not exist.")
        return self.buckets[bucket]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    double: GcsDouble

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has enough hangs up; that is not news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        try:
            self._answer(parts.path, query, body)
        except _Refusal as exc:
            error = {"error": {"code": exc.status, "message": exc.message}}
            self._send(exc.status, json.dumps(error).encode())

    def _answer(self, path: str, query: dict[str, str], body: bytes) -> None:
        double = self.server.double
        is_api = path.startswith(("/storage/", "/upload/", "/download/"))
        if is_api and (self.headers.get("Authorization") or "").removeprefix("Bearer ") not in double.login.given:
            raise _Refusal(401, "Invalid Credentials")
        if self.command == "POST" and (match := _UPLOAD.fullmatch(path)):
            self._send_json(double.upload(match["bucket"], self.headers["Content-Type"], body))
        elif self.command == "GET" and (match := _OBJECTS.fullmatch(path)):
            self._send_json(double.listed(match["bucket"], query))
        elif match := _OBJECT.fullmatch(path):
            name = unquote(match["name"])
            if self.command == "DELETE":
                double.delete(match["bucket"], name)
                self._send(204, b"")
            elif query.get("alt") == "media":
                self._send_content(double.found(match["bucket"], name, query))
            else:
                self._send_json(double.found(match["bucket"], name, query).described(name))
        elif not is_api and (match := _PUBLIC.fullmatch(path)):
            self._send_content(double.found(match["bucket"], unquote(match["name"]), query))
        else:
            raise _Refusal(404, "Not Found")

    def _send_json(self, found: dict[str, Any]) -> None:
        self._send(200, json.dumps(found).encode())

    def _send_content(self, kept: Kept) -> None:
        headers = {"x-goog-generation": str(kept.generation)}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        content, size = kept.content, len(kept.content)
        if wanted is None:
            self._send(200, content, headers)
            return
        first, last = int(wanted[1]), min(int(wanted[2]), size - 1)
        if first >= size:
            raise _Refusal(416, "The requested range cannot be satisfied.")
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        self._send(206, content[first : last + 1], headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {"Content-Type": "application/json"}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        pass
