"""What each request of the REST API does, and what it answers."""

import base64
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.servers.yandex.disk import ApiError, Disk, Json, md5_of, mime_type, pick
from tests.servers.yandex.faults import Answer

REAL_API: Final = "https://cloud-api.yandex.net"
UPLOAD_LINK_S: Final = 30 * 60
DOWNLOAD_LINK_S: Final = 4 * 3600
Query = dict[str, str]


@dataclass
class Api:
    """All accounts, and the links that were given out. The switches change what every download does."""

    disks: dict[str, Disk]
    clock: Callable[[], float] = time.time
    base_url: str = ""
    honours_ranges: bool = True
    sends_etag: bool = False
    redirects_downloads: bool = False
    redirect_target: str | None = None
    moves_become_operations: bool = False
    polls_of_a_move: int = 1
    uploads: dict[str, tuple[Disk, str, float]] = field(default_factory=dict)
    downloads: dict[str, tuple[Disk, str]] = field(default_factory=dict)

    def answer(self, method: str, path: str, query: Query, headers: Any, body: bytes) -> Answer:
        """Raises ApiError for what is an error of the API."""
        parts = path.strip("/").split("/")
        if parts[0] == "upload-target" and method == "PUT":
            return self._take_upload(parts[-1], body)
        if parts[0] == "disk" and method == "GET":
            return self._serve_download(parts, query, headers)
        if parts[0] == "i" and method == "GET":
            return self._serve_public(parts[-1])
        if path.startswith("/v1/disk/public/resources") and method == "GET":
            return self._public_resource(path, query)
        disk = self._disk_of(headers.get("Authorization", ""))
        with disk.lock:
            route = _ROUTES.get((method, path.removeprefix("/v1/disk")))
            if route is not None:
                return route(self, disk, query)
            if method == "GET" and path.startswith("/v1/disk/operations/"):
                return _json(200, {"status": disk.operation_status(parts[-1])})
        raise ApiError(404, "NotFoundError", "No such method.")

    def _disk_of(self, authorization: str) -> Disk:
        disk = self.disks.get(authorization.removeprefix("OAuth "))
        if disk is None or not authorization.startswith("OAuth "):
            raise ApiError(401, "UnauthorizedError", "Unauthorized")
        return disk

    def info(self, disk: Disk, query: Query) -> Answer:
        """GET /v1/disk."""
        found = {
            "total_space": disk.quota_bytes,
            "used_space": disk.used_bytes,
            "trash_size": 0,
            "max_file_size": disk.max_file_size_bytes,
            "is_paid": False,
            "revision": 1,
            "system_folders": {},
            "user": {"uid": "100000001", "login": "double", "country": "ru"},
        }
        return _json(200, _fields(found, query))

    def get_meta(self, disk: Disk, query: Query) -> Answer:
        """GET /v1/disk/resources."""
        path = _path(query)
        found = disk.meta(
            path, limit=int(query.get("limit", "20")), offset=int(query.get("offset", "0")), base_url=self.base_url
        )
        if found["type"] == "file" and ("fields" not in query or "file" in query["fields"].split(",")):
            found["file"] = self._download_link(disk, path)
        return _json(200, _fields(found, query))

    def make_folder(self, disk: Disk, query: Query) -> Answer:
        """PUT /v1/disk/resources."""
        disk.make_folder(_path(query))
        return self._resource_link(201, _path(query))

    def delete(self, disk: Disk, query: Query) -> Answer:
        """DELETE /v1/disk/resources."""
        operation = disk.delete(_path(query), query.get("md5"))
        if operation is None and query.get("force_async") == "true":
            operation = disk.begin_operation()
        return Answer(204, content_type=None) if operation is None else self._operation_link(operation)

    def move(self, disk: Disk, query: Query) -> Answer:
        """POST /v1/disk/resources/move."""
        target = _path(query)
        disk.move(_path(query, "from"), target, overwrite=query.get("overwrite") == "true")
        if self.moves_become_operations or query.get("force_async") == "true":
            return self._operation_link(disk.begin_operation(self.polls_of_a_move))
        return self._resource_link(201, target)

    def give_upload_link(self, disk: Disk, query: Query) -> Answer:
        """GET /v1/disk/resources/upload."""
        path = _path(query)
        disk.check_upload(path, overwrite=query.get("overwrite") == "true")
        token = secrets.token_urlsafe(24)
        self.uploads[token] = (disk, path, self.clock() + UPLOAD_LINK_S)
        link = {"href": f"{self.base_url}/upload-target/{token}", "method": "PUT", "templated": False}
        return _json(200, _fields(link | {"operation_id": disk.begin_operation(polls=0)}, query))

    def give_download_link(self, disk: Disk, query: Query) -> Answer:
        """GET /v1/disk/resources/download."""
        path = _path(query)
        if disk.find(path).content is None:
            raise ApiError(404, "DiskNotFoundError", "Resource not found.")
        link = {"href": self._download_link(disk, path), "method": "GET", "templated": False}
        return _json(200, _fields(link, query))

    def publish(self, disk: Disk, query: Query) -> Answer:
        """PUT /v1/disk/resources/publish: the answer has no public address in it."""
        entry = disk.find(_path(query))
        entry.public_key = entry.public_key or base64.urlsafe_b64encode(secrets.token_bytes(24)).decode()
        return self._resource_link(200, _path(query))

    def unpublish(self, disk: Disk, query: Query) -> Answer:
        """PUT /v1/disk/resources/unpublish."""
        disk.find(_path(query)).public_key = None
        return self._resource_link(200, _path(query))

    def _resource_link(self, code: int, path: str) -> Answer:
        link = {"href": f"{REAL_API}/v1/disk/resources?path=disk:{path}", "method": "GET", "templated": False}
        return _json(code, link)

    def _operation_link(self, number: str) -> Answer:
        return _json(202, {"href": f"{REAL_API}/v1/disk/operations/{number}", "method": "GET", "templated": False})

    def _take_upload(self, token: str, body: bytes) -> Answer:
        disk, path, until = self.uploads.pop(token, (None, "", 0.0))
        if disk is None or self.clock() > until:
            return Answer(410, b"<html>gone</html>", "text/html")
        with disk.lock:
            disk.put(path, body)
        return Answer(201, content_type=None)

    def _download_link(self, disk: Disk, path: str) -> str:
        content = disk.find(path).content or b""
        token, until = secrets.token_urlsafe(24), int(self.clock()) + DOWNLOAD_LINK_S
        self.downloads[token] = (disk, path)
        kind = mime_type(path)
        return f"{self.base_url}/disk/{secrets.token_hex(32)}/{until:08x}/{token}?content_type={kind}&etag={md5_of(content)}"

    def _serve_download(self, parts: list[str], query: Query, headers: Any) -> Answer:
        disk, path = self.downloads.get(parts[-1], (None, ""))
        if disk is None or self.clock() > int(parts[2], 16):
            return Answer(410, b"<html>gone</html>", "text/html")
        if self.redirects_downloads and "redirected" not in query:
            target = self.redirect_target or f"{self.base_url}/{'/'.join(parts)}?redirected=1"
            return Answer(302, content_type=None, headers={"Location": target})
        with disk.lock:
            entry = disk.entries.get(path)
        if entry is None or entry.content is None:
            return Answer(404, b"<html>no</html>", "text/html")
        extra = {"ETag": f'"{md5_of(entry.content)}"'} if self.sends_etag else {}
        return _ranged(entry.content, mime_type(path), headers.get("Range") if self.honours_ranges else None, extra)

    def _serve_public(self, key: str) -> Answer:
        """Where the real one has a page with the picture on it, this gives the picture."""
        disk, path = self._find_public(key)
        return _ranged(disk.find(path).content or b"", mime_type(path), None, {})

    def _public_resource(self, path: str, query: Query) -> Answer:
        disk, found = self._find_public(query.get("public_key", "").rpartition("/i/")[2])
        if path.endswith("/download"):
            return _json(200, {"href": self._download_link(disk, found), "method": "GET", "templated": False})
        return _json(200, _fields(disk.meta(found, base_url=self.base_url), query))

    def _find_public(self, key: str) -> tuple[Disk, str]:
        for disk in self.disks.values():
            for path, entry in list(disk.entries.items()):
                if entry.public_key == key:
                    return disk, path
        raise ApiError(404, "DiskNotFoundError", "Resource not found.")


_ROUTES: Final[dict[tuple[str, str], Callable[[Api, Disk, Query], Answer]]] = {
    ("GET", ""): Api.info,
    ("GET", "/resources"): Api.get_meta,
    ("PUT", "/resources"): Api.make_folder,
    ("DELETE", "/resources"): Api.delete,
    ("POST", "/resources/move"): Api.move,
    ("GET", "/resources/upload"): Api.give_upload_link,
    ("GET", "/resources/download"): Api.give_download_link,
    ("PUT", "/resources/publish"): Api.publish,
    ("PUT", "/resources/unpublish"): Api.unpublish,
}


def _ranged(content: bytes, content_type: str, wanted: str | None, headers: dict[str, str]) -> Answer:
    first, _, last = (wanted or "").removeprefix("bytes=").partition("-")
    if not first.isdecimal():
        return Answer(200, content, content_type, headers)
    start, end = int(first), min(int(last) if last else len(content) - 1, len(content) - 1)
    if start >= len(content):
        return Answer(416, b"", content_type, headers | {"Content-Range": f"bytes */{len(content)}"})
    found = headers | {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
    return Answer(206, content[start : end + 1], content_type, found)


def _path(query: Query, name: str = "path") -> str:
    found = query.get(name)
    if not found:
        raise ApiError(400, "FieldValidationError", f"Field {name} is required.")
    return f"/{found.removeprefix('disk:').removeprefix('app:').strip('/')}"


def _fields(found: Json, query: Query) -> Any:
    wanted = query.get("fields")
    return pick(found, wanted.split(",")) if wanted else found


def _json(code: int, found: Any) -> Answer:
    return Answer(code, json.dumps(found, ensure_ascii=False).encode())
