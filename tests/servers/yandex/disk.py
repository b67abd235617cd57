"""One account's disk in memory: folders, files, what is published, and what is still under way."""

import hashlib
import mimetypes
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import RLock
from typing import Any, Final

Json = dict[str, Any]


class ApiError(Exception):
    """An answer that is an error of the API."""

    def __init__(self, status: int, error: str, description: str = "") -> None:
        super().__init__(f"{status} {error}")
        self.status = status
        self.error = error
        self.description = description or error


@dataclass
class Entry:
    """A folder, or a file when it has content."""

    content: bytes | None
    revision: int
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))
    public_key: str | None = None


class Disk:
    """Paths begin with '/'. Raises ApiError as the API would."""

    def __init__(self, quota_bytes: int, max_file_size_bytes: int) -> None:
        self.entries: Final[dict[str, Entry]] = {"/": Entry(None, 0)}
        self.lock: Final = RLock()
        self.operations: Final[dict[str, int]] = {}
        self.quota_bytes = quota_bytes
        self.max_file_size_bytes = max_file_size_bytes
        self._revision = 1_720_000_000_000_000

    @property
    def used_bytes(self) -> int:
        """Of all files."""
        return sum(len(entry.content or b"") for entry in self.entries.values())

    def files(self) -> dict[str, bytes]:
        """Every file by its path, unfinished uploads included."""
        with self.lock:
            return {path: entry.content for path, entry in self.entries.items() if entry.content is not None}

    def find(self, path: str) -> Entry:
        """404 for what is not there."""
        entry = self.entries.get(path)
        if entry is None:
            raise ApiError(404, "DiskNotFoundError", "Resource not found.")
        return entry

    def make_folder(self, path: str) -> None:
        """409 when it is there already, or its parent is not."""
        self._require_parent(path)
        existing = self.entries.get(path)
        if existing is not None and existing.content is None:
            raise ApiError(409, "DiskPathPointsToExistentDirectoryError")
        if existing is not None:
            raise ApiError(409, "DiskResourceAlreadyExistsError")
        self.entries[path] = self._entry(None)

    def check_upload(self, path: str, *, overwrite: bool) -> None:
        """What is checked when an upload link is asked for."""
        self._require_parent(path)
        existing = self.entries.get(path)
        if existing is not None and existing.content is None:
            raise ApiError(409, "DiskPathPointsToExistentDirectoryError")
        if existing is not None and not overwrite:
            raise ApiError(409, "DiskResourceAlreadyExistsError")

    def put(self, path: str, content: bytes) -> None:
        """A whole body has arrived."""
        self._require_parent(path)
        if len(content) > self.max_file_size_bytes:
            raise ApiError(413, "DiskUploadFileSizeLimitExceeded")
        if self.used_bytes + len(content) > self.quota_bytes:
            raise ApiError(507, "DiskStorageQuotaExhaustedError")
        self.entries[path] = self._entry(content)

    def delete(self, path: str, md5: str | None = None) -> str | None:
        """The id of the operation that a folder with content becomes, else None."""
        entry = self.find(path)
        if md5 is not None and entry.content is not None and md5 != md5_of(entry.content):
            raise ApiError(409, "MD5DifferError")
        below = [other for other in self.entries if other.startswith(f"{path}/")]
        for other in [path, *below]:
            del self.entries[other]
        return self.begin_operation() if below else None

    def move(self, source: str, target: str, *, overwrite: bool) -> None:
        """With `overwrite` it replaces whatever is there, folders too: callers beware."""
        self.find(source)
        self._require_parent(target)
        if target in self.entries and not overwrite:
            raise ApiError(409, "DiskResourceAlreadyExistsError")
        for other in [name for name in self.entries if name == target or name.startswith(f"{target}/")]:
            del self.entries[other]
        for other in [name for name in self.entries if name == source or name.startswith(f"{source}/")]:
            self.entries[target + other.removeprefix(source)] = self.entries.pop(other)

    def begin_operation(self, polls: int = 1) -> str:
        """An operation that is in progress for `polls` questions, and then a success."""
        number = secrets.token_hex(32)
        self.operations[number] = polls
        return number

    def operation_status(self, number: str) -> str:
        """404 for what never was one."""
        if number not in self.operations:
            raise ApiError(404, "DiskOperationNotFoundError", "Operation not found.")
        self.operations[number] -= 1
        return "success" if self.operations[number] < 0 else "in-progress"

    def meta(self, path: str, *, limit: int = 20, offset: int = 0, base_url: str = "") -> Json:
        """A resource as the API shows it, without its download link."""
        entry = self.find(path)
        found: Json = {
            "name": path.rpartition("/")[2],
            "path": f"disk:{path}",
            "created": _time(entry.modified),
            "modified": _time(entry.modified),
            "revision": entry.revision,
            "resource_id": f"100000001:{hashlib.sha256(path.encode()).hexdigest()}",
            "exif": {},
        }
        if entry.public_key is not None:
            found |= {"public_key": entry.public_key, "public_url": f"{base_url}/i/{entry.public_key}"}
        if entry.content is None:
            return found | {"type": "dir", "_embedded": self._page(path, limit, offset)}
        return found | {
            "type": "file",
            "size": len(entry.content),
            "md5": md5_of(entry.content),
            "sha256": hashlib.sha256(entry.content).hexdigest(),
            "mime_type": mime_type(path),
            "media_type": mime_type(path).partition("/")[0],
            "antivirus_status": "clean",
        }

    def _page(self, path: str, limit: int, offset: int) -> Json:
        prefix = path.rstrip("/") + "/"
        names = [
            name for name in self.entries if name.startswith(prefix) and "/" not in name[len(prefix) :] and name != "/"
        ]
        # Folders come before files.
        names.sort(key=lambda name: (self.entries[name].content is not None, name))
        items = [self.meta(name, limit=0) for name in names[offset : offset + limit]]
        for item in items:
            item.pop("_embedded", None)
        return {
            "items": items,
            "limit": limit,
            "offset": offset,
            "path": f"disk:{path}",
            "sort": "",
            "total": len(names),
        }

    def _require_parent(self, path: str) -> None:
        parent = self.entries.get(path.rpartition("/")[0] or "/")
        if parent is None or parent.content is not None:
            raise ApiError(409, "DiskPathDoesntExistsError", "Specified path doesn't exist.")

    def _entry(self, content: bytes | None) -> Entry:
        self._revision += 1
        return Entry(content, self._revision)


def md5_of(content: bytes) -> str:
    """In hex."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def mime_type(path: str) -> str:
    """By the name's ending."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def _time(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat()


def pick(found: Any, fields: list[str]) -> Any:
    """Only the named fields; dots reach inside, and into every item of a list. A deeper name narrows a shorter one."""
    if isinstance(found, list):
        return [pick(item, fields) for item in found]
    if not isinstance(found, dict):
        return found
    below: dict[str, list[str]] = {}
    for name in fields:
        first, _, rest = name.partition(".")
        below.setdefault(first, []).extend([rest] if rest else [])
    return {name: pick(found[name], rest) if rest else found[name] for name, rest in below.items() if name in found}
