"""Writing and reading a whole object, as the contract's tests do all the time."""

from storage.base import StorageProvider

TYPE = "application/octet-stream"


def put(provider: StorageProvider, key: str, content: bytes = b"content") -> None:
    provider.upload_file(key, content, content_type=TYPE)


def read_all(provider: StorageProvider, key: str) -> bytes:
    with provider.open_source(key) as source:
        return source.read_at(0, source.size)
