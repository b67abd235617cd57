"""The storage contract: what every provider promises, whichever store is behind it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class StoredObject:
    """An object as the store confirmed it. `sha256` in hex; `version` changes whenever the content does."""

    key: str
    size_bytes: int
    sha256: str
    version: str


class SourceReader(AbstractContextManager["SourceReader"]):
    """Ranged reads of one version of one object, from any thread. Close it, or use it in a `with`."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Length of the object in bytes, as it was when it was opened."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Identifies the content: an ETag, or modification time and size."""

    @abstractmethod
    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes from `offset` on: `length` of them, fewer only at the object's end, never more.

        Raises TransientError source.unreadable when the object was replaced since it was opened (never a mixture
        of two versions), ObjectNotFoundError when it was deleted, TransientError storage.* when the store fails.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what the reader holds. Closing twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class StorageProvider(ABC):
    """One place that keeps objects under keys: UTF-8 paths with '/' between their parts, relative to its base path.

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
        """The provider's name in events and metrics: local_disk, minio, yandex_disk or memory."""

    @abstractmethod
    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        """Store `content` under `key`, replacing what was there, and confirm size and checksum with the store.

        Atomic: readers see the old object or the new one, never a part, also when this process dies half way.
        Raises TransientError upload.unverified, with nothing left under the key, when the store confirms something else.
        """

    @abstractmethod
    def download_file(self, key: str, path: Path) -> None:
        """Copy the object to the local file `path`, which is whole or absent afterwards."""

    @abstractmethod
    def open_source(self, key: str) -> SourceReader:
        """Open the object for ranged reads pinned to the version that it has now."""

    @abstractmethod
    def file_exists(self, key: str) -> bool:
        """Whether an object has this key."""

    @abstractmethod
    def delete_file(self, key: str) -> None:
        """Remove the object. Idempotent: no object under the key is no error."""

    @abstractmethod
    def list_files(self, prefix: str) -> Iterator[str]:
        """The keys under `prefix`, in order. `prefix` is a whole folder: 'acme' lists 'acme/x', never 'acme-2/x'.

        Unfinished uploads are not listed. A prefix without objects gives nothing.
        """

    @abstractmethod
    def get_file_url(self, key: str) -> str:
        """The URL that the platform shows for `key`: stable, never an expiring link. The object need not exist."""

    @abstractmethod
    def check(self) -> None:
        """Prove that the store works by writing, reading and deleting a probe. Raises what those raise."""

    def close(self) -> None:
        """Give back connections. The provider is not used afterwards."""
