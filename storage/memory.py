"""Objects in memory: for tests and for trying, with failures on demand."""

import hashlib
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Final
from urllib.parse import quote

from schemas.errors import ErrorCode, ObjectNotFoundError, ThumbnailError, TransientError
from storage.base import ListedObject, SourceReader, StorageProvider, StoredObject, span
from storage.host_files import whole_or_absent
from storage.keys import check_key, is_inside

_CAN_FAIL: Final = frozenset(
    {"upload_file", "download_file", "open_source", "read_at", "file_exists", "delete_file"}
    | {"list_files", "list_objects"}
)

_NO_TIME: Final = datetime.fromtimestamp(0, tz=UTC)


class MemoryStorageProvider(StorageProvider):
    """An in-memory provider that keeps the whole contract and fails on demand. `objects` maps each key to its content.

    `modified_at` has the times of those that were uploaded; what a test puts into `objects` itself is of 1970.
    """

    def __init__(self, base_url: str = "memory://objects") -> None:
        self.objects: Final[dict[str, bytes]] = {}
        self.modified_at: Final[dict[str, datetime]] = {}
        self._lock: Final = Lock()
        self._base_url: Final = base_url.rstrip("/")
        self._failures: Final[dict[str, deque[ThumbnailError | None]]] = {}

    def fail_next(self, method: str, error: ThumbnailError, times: int = 1, *, after: int = 0) -> None:
        """Let `times` calls of `method` (upload_file, read_at, …) raise `error`, once `after` calls went well.

        Raises ValueError for a method that never asks: such a failure would be waited for in vain.
        """
        if method not in _CAN_FAIL:
            raise ValueError(f"{method!r} cannot be made to fail; these can: {', '.join(sorted(_CAN_FAIL))}.")
        with self._lock:
            self._failures.setdefault(method, deque()).extend([None] * after + [error] * times)

    def raise_planned(self, method: str) -> None:
        """Raise the failure that was planned for this call, if any."""
        with self._lock:
            planned = self._failures.get(method)
            error = planned.popleft() if planned else None
        if error is not None:
            raise error

    @property
    def name(self) -> str:
        """See the contract."""
        return "memory"

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:  # noqa: ARG002 - nobody asks for it
        """See the contract."""
        check_key(key)
        self.raise_planned("upload_file")
        sha256 = hashlib.sha256(content).hexdigest()
        with self._lock:
            self.objects[key] = bytes(content)
            self.modified_at[key] = datetime.now(UTC)
        return StoredObject(key=key, size_bytes=len(content), sha256=sha256, version=sha256)

    def download_file(self, key: str, path: Path) -> None:
        """See the contract."""
        check_key(key)
        self.raise_planned("download_file")
        content = self.get(key)
        with whole_or_absent(path) as file:
            file.write(content)

    def open_source(self, key: str) -> SourceReader:
        """See the contract."""
        check_key(key)
        self.raise_planned("open_source")
        return _MemoryReader(self, key)

    def get(self, key: str) -> bytes:
        """Return the whole object. Raises ObjectNotFoundError."""
        check_key(key)
        with self._lock:
            content = self.objects.get(key)
        if content is None:
            raise ObjectNotFoundError(key)
        return content

    def file_exists(self, key: str) -> bool:
        """See the contract."""
        check_key(key)
        self.raise_planned("file_exists")
        with self._lock:
            return key in self.objects

    def delete_file(self, key: str) -> None:
        """See the contract."""
        check_key(key)
        self.raise_planned("delete_file")
        with self._lock:
            self.objects.pop(key, None)

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """See the contract."""
        check_key(prefix)
        self.raise_planned("list_objects")
        with self._lock:
            found = sorted(
                (key, len(content), self.modified_at.get(key, _NO_TIME)) for key, content in self.objects.items()
            )
        yield from (ListedObject(*one) for one in found if one[0] > after and is_inside(one[0], prefix))

    def list_files(self, prefix: str) -> Iterator[str]:
        """See the contract."""
        check_key(prefix)
        self.raise_planned("list_files")
        yield from super().list_files(prefix)

    def get_file_url(self, key: str) -> str:
        """See the contract."""
        return f"{self._base_url}/{quote(check_key(key))}"


class _MemoryReader(SourceReader):
    def __init__(self, provider: MemoryStorageProvider, key: str) -> None:
        self._provider: Final = provider
        self._key: Final = key
        self._content: Final = provider.get(key)

    @property
    def size(self) -> int:
        return len(self._content)

    @property
    def version(self) -> str:
        return hashlib.sha256(self._content).hexdigest()

    def read_at(self, offset: int, length: int) -> bytes:
        length = span(offset, length, len(self._content))
        self._provider.raise_planned("read_at")
        if self._provider.get(self._key) is not self._content:
            raise TransientError(
                ErrorCode.SOURCE_UNREADABLE, f"The object {self._key!r} changed while it was being read."
            )
        return self._content[offset : offset + length]

    def close(self) -> None:
        """Do nothing: no connection is held."""
