"""Ranged reads of one version of a blob: the first request opens it and brings its beginning, too."""

from typing import Any, Final

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient

from schemas.errors import ErrorCode, TransientError
from storage.azure.client import BodyLimit
from storage.azure.errors import translated, unavailable
from storage.base import SourceReader, span
from storage.ranges import replaced

FIRST_READ_BYTES: Final = 256 * 1024
"""Read while opening: every decoder begins at the beginning, so this saves a request."""


class AzureReader(SourceReader):
    """Pinned to a version: each read is conditional on its ETag, which changes with every write."""

    def __init__(self, blob: BlobClient, key: str) -> None:
        """`key` is the caller's name of the blob. Raises as StorageProvider.open_source does."""
        self._blob: Final = blob
        self._key: Final = key
        with translated(key):
            self._size, self._etag, self._head = self._open()

    def _open(self) -> tuple[int, str, bytes]:
        try:
            found, size, etag = self._get(0, FIRST_READ_BYTES)
        except HttpResponseError as exc:
            if exc.status_code != 416:
                raise
        else:
            if len(found) != min(size, FIRST_READ_BYTES):
                raise unavailable("Azure ended its answer too early.")
            return size, etag, found
        properties = self._blob.get_blob_properties()  # an empty blob has no first byte, so the range was refused
        if properties.size:
            raise TransientError(ErrorCode.SOURCE_UNREADABLE, f"The object {self._key!r} changes while it is opened.")
        return 0, str(properties.etag), b""

    @property
    def size(self) -> int:
        """See the contract."""
        return self._size

    @property
    def version(self) -> str:
        """Return the ETag."""
        return self._etag.strip('"')

    def read_at(self, offset: int, length: int) -> bytes:
        """See the contract. Bytes that came with the opening are not requested again."""
        length = span(offset, length, self.size)
        if not length or offset + length <= len(self._head):
            return self._head[offset : offset + length]
        with translated(self._key):
            try:
                found, size, etag = self._get(
                    offset, length, etag=self._etag, match_condition=MatchConditions.IfNotModified
                )
            except HttpResponseError as exc:
                if exc.status_code == 412:
                    self._blob.get_blob_properties()  # a condition fails for what is deleted, too: then this says so
                raise
        if (size, etag) != (self._size, self._etag):
            raise replaced(self._key)
        if len(found) != length:
            raise unavailable(f"Azure ended its answer after {len(found)} of {length} bytes.")
        return found

    def _get(self, offset: int, length: int, **condition: Any) -> tuple[bytes, int, str]:
        """Return the bytes, the size of the whole blob and its ETag. Bytes are as stored: a gzip mark changes nothing."""
        answer = self._blob.download_blob(
            offset, length, decompress=False, raw_response_hook=BodyLimit(length), **condition
        )
        properties = answer.properties
        if not properties.etag:
            raise unavailable("The endpoint answered with something that is not Azure Blob Storage.")
        return answer.readall(), _whole_size(properties.content_range), properties.etag

    def close(self) -> None:
        """Let go of the object's beginning; connections belong to the client."""
        self._head = b""


def _whole_size(content_range: str | None) -> int:
    """Return the size that a range's answer says. Raises TransientError where it says none."""
    total = (content_range or "").rpartition("/")[2]
    if not total.isdecimal():
        raise unavailable("The endpoint answered with something that is not Azure Blob Storage.")
    return int(total)
