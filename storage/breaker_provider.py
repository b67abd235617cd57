"""A provider behind its connection's circuit breaker."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from storage.base import SourceReader, StorageProvider, StoredObject
from storage.breaker import CircuitBreaker


class BreakerProvider(StorageProvider):
    """The provider's own contract; while the breaker is open each method raises ConnectionPausedError at once."""

    def __init__(self, provider: StorageProvider, breaker: CircuitBreaker) -> None:
        self._provider: Final = provider
        self._breaker: Final = breaker

    @property
    def name(self) -> str:
        """The provider's."""
        return self._provider.name

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        """As in the contract."""
        with self._breaker.call():
            return self._provider.upload_file(key, content, content_type=content_type)

    def download_file(self, key: str, path: Path) -> None:
        """As in the contract."""
        with self._breaker.call():
            self._provider.download_file(key, path)

    def open_source(self, key: str) -> SourceReader:
        """As in the contract; its reads are behind the breaker, too."""
        with self._breaker.call():
            return _BreakerReader(self._provider.open_source(key), self._breaker)

    def file_exists(self, key: str) -> bool:
        """As in the contract."""
        with self._breaker.call():
            return self._provider.file_exists(key)

    def delete_file(self, key: str) -> None:
        """As in the contract."""
        with self._breaker.call():
            self._provider.delete_file(key)

    def list_files(self, prefix: str) -> Iterator[str]:
        """As in the contract, all at once: the time that the caller takes between two keys is not the store's."""
        with self._breaker.call():
            found = list(self._provider.list_files(prefix))
        return iter(found)

    def get_file_url(self, key: str) -> str:
        """As in the contract."""
        with self._breaker.call():
            return self._provider.get_file_url(key)

    def close(self) -> None:
        """Close the provider."""
        self._provider.close()


class _BreakerReader(SourceReader):
    def __init__(self, reader: SourceReader, breaker: CircuitBreaker) -> None:
        self._reader: Final = reader
        self._breaker: Final = breaker

    @property
    def size(self) -> int:
        return self._reader.size

    @property
    def version(self) -> str:
        return self._reader.version

    def read_at(self, offset: int, length: int) -> bytes:
        with self._breaker.call():
            return self._reader.read_at(offset, length)

    def close(self) -> None:
        self._reader.close()
