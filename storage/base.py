"""Define the storage contract that every provider keeps."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.errors import ErrorCode, TransientError
from storage.host_files import whole_or_absent

COPY_BYTES = 4 * 1024**2
"""Size of one read while an object is copied to a file."""


@dataclass(frozen=True)
class StoredObject:
    """An object as the store confirmed it. `sha256` in hex; `version` changes whenever the content does."""

    key: str
    size_bytes: int
    sha256: str
    version: str


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as a listing has it. `modified_at` is the store's own time of the last upload, in UTC."""

    key: str
    size_bytes: int
    modified_at: datetime


class SourceReader(AbstractContextManager["SourceReader"]):
    """Ranged reads of one version of one object, from any thread. Close it, or use it in a `with`."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Length of the object in bytes, at the time it was opened."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Return what identifies the content: an ETag, or modification time and size."""

    @abstractmethod
    def read_at(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset` on: fewer only at the object's end, never more.

        If the object was replaced or deleted after it was opened, the reader returns the opened version, or raises
        TransientError source.unreadable (replaced) or ObjectNotFoundError (deleted). It never mixes two versions.
        Raises TransientError storage.* when the store fails, ValueError for negative arguments.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what the reader holds. A second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def span(offset: int, length: int, size: int) -> int:
    """Return how many bytes a read gives of an object of `size` bytes. Raises ValueError for what is below zero."""
    if offset < 0 or length < 0:
        raise ValueError(f"A read of {length} bytes at {offset} is outside of any object.")
    return max(0, min(length, size - offset))


class StorageProvider(ABC):
    """A store of objects under keys: UTF-8 paths with '/' between their parts, relative to its base path.

    Methods block, and may be called from several threads at once. Errors of every method:
    PermanentError storage.bad_key for a key that is not a plain relative path (see `storage.keys`);
    ObjectNotFoundError for absence, and nothing else for it; TransientError storage.unavailable, storage.rate_limited
    or storage.locked (with `retry_after_s` where the store says one) when trying again may help;
    storage.full is transient too, for space can be freed; PermanentError storage.denied for missing rights.
    No SDK's own exception leaves a provider.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Return the provider's name in events, metrics and the `provider` column of connections."""

    @abstractmethod
    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        """Store `content` under `key`, replacing what was there, and confirm size and checksum with the store.

        Atomic: readers see the old object or the new one, never a part, also when this process dies half way.
        Raises TransientError upload.unverified, with nothing wrong left under the key, when the store confirms something
        else. A store that is a file system refuses, with storage.bad_key, a key that is below another object's.
        """

    def download_file(self, key: str, path: Path) -> None:
        """Copy the object to the local file `path`, which is whole or, after an error, as it was before.

        Raises TransientError storage.full or storage.unavailable, or PermanentError storage.denied, for `path` too.
        """
        with self.open_source(key) as source, whole_or_absent(path) as file:
            for offset in range(0, source.size, COPY_BYTES):
                file.write(source.read_at(offset, COPY_BYTES))

    @abstractmethod
    def open_source(self, key: str) -> SourceReader:
        """Open the object for ranged reads pinned to the version that it has now."""

    @abstractmethod
    def file_exists(self, key: str) -> bool:
        """Return True if an object has this key; a folder is no object."""

    @abstractmethod
    def delete_file(self, key: str) -> None:
        """Remove the object. Idempotent: no object under the key is no error."""

    @abstractmethod
    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """Return the objects under `prefix` whose keys come after `after`, in the order of their keys' UTF-8 bytes.

        `prefix` is a whole folder: 'acme' lists 'acme/x', never 'acme-2/x'. `after` is any text, and need not be a key.
        Unfinished uploads and objects without an allowed key are not listed. A prefix without objects gives nothing.
        The listing is read while it is asked for more: its memory does not grow with the number of objects. An object
        that stays as it is meanwhile is listed once; others may be. A listing that ends is whole: any failure raises,
        also after the first objects, and the caller may go on with `after` the last one.
        """

    def list_files(self, prefix: str) -> Iterator[str]:
        """Return the keys under `prefix`, as `list_objects` does."""
        return (found.key for found in self.list_objects(prefix))

    @abstractmethod
    def get_file_url(self, key: str) -> str:
        """Return the URL that the platform shows for `key`: stable, never an expiring link. The object need not exist."""

    def remarks(self) -> tuple[str, ...]:
        """Return a sentence for each thing that the store was found not to do, with what the provider does instead."""
        return ()

    def check(self) -> None:
        """Write, read and delete a probe object to prove that the store works. Raises what these calls raise."""
        key, content = f"health-probe/{secrets.token_hex(8)}", secrets.token_bytes(64)
        self.upload_file(key, content, content_type="application/octet-stream")
        try:
            with self.open_source(key) as source:
                found = source.read_at(0, len(content) + 1)
        finally:
            self.delete_file(key)
        if found != content:
            message = f"The storage {self.name} returned other bytes than were written."
            raise TransientError(ErrorCode.STORAGE_UNAVAILABLE, message)

    def close(self) -> None:
        """Close connections. The provider is not used afterwards."""
