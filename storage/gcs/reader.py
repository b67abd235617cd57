"""Ranged reads of one generation of an object: the first request opens it and brings its beginning, too."""

from functools import partial
from typing import Any, Final

import requests

from schemas.errors import ErrorCode, TransientError
from storage.base import SourceReader, span
from storage.gcs.client import GcsClient
from storage.gcs.errors import refusal, translated, unavailable
from storage.ranges import RangedAnswer, replaced

FIRST_READ_BYTES: Final = 256 * 1024
"""Read while opening: every decoder begins at the beginning, so this saves a request."""
_EMPTY: Final = 416
_ERROR_BYTES: Final = 4096


class GcsReader(SourceReader):
    """Pinned to a generation, which every write changes: a condition of each read, and compared with each answer."""

    def __init__(self, client: GcsClient, name: str, key: str) -> None:
        """`key` is the caller's name of the object `name`. Raises as StorageProvider.open_source does."""
        self._client: Final = client
        self._name: Final = name
        self._key: Final = key
        self._generation = ""
        with translated(key):
            self._size, self._generation, self._head = self._open()

    def _open(self) -> tuple[int, str, bytes]:
        with self._get(0, FIRST_READ_BYTES) as answer:
            if answer.status_code != _EMPTY:
                ranged, generation = self._checked(answer)
                if ranged.total is None:
                    raise unavailable("Google Cloud Storage does not say how long the object is.")
                return ranged.total, generation, ranged.read_exactly(min(ranged.total, FIRST_READ_BYTES))
        blob = self._client.blob(self._name)  # an empty object has no first byte, so the range was refused
        blob.reload(projection="noAcl", **self._client.once)
        if blob.size:
            raise TransientError(ErrorCode.SOURCE_UNREADABLE, f"The object {self._key!r} changes while it is opened.")
        return 0, str(blob.generation), b""

    @property
    def size(self) -> int:
        """See the contract."""
        return self._size

    @property
    def version(self) -> str:
        """Return the generation."""
        return self._generation

    def read_at(self, offset: int, length: int) -> bytes:
        """See the contract. Bytes that came with the opening are not requested again."""
        length = span(offset, length, self.size)
        if not length or offset + length <= len(self._head):
            return self._head[offset : offset + length]
        with translated(self._key), self._get(offset, length) as answer:
            ranged, generation = self._checked(answer)
            if generation != self._generation or ranged.total != self._size:
                raise replaced(self._key)
            return ranged.read_range(offset, length, self._size)

    def _get(self, offset: int, length: int) -> requests.Response:
        # Accepting gzip keeps Google from unpacking what is stored as gzip: then it would ignore the range.
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "gzip"}
        pinned = {"ifGenerationMatch": self._generation} if self._generation else {}
        url, timeout_s = self._client.media_url(self._name), self._client.timeout_s
        return self._client.session.get(url, params=pinned, headers=headers, stream=True, timeout=timeout_s)

    def _checked(self, answer: requests.Response) -> tuple[RangedAnswer, str]:
        read: Any = partial(answer.raw.read, decode_content=False)
        if answer.status_code not in (200, 206):
            said = read(_ERROR_BYTES).decode(errors="replace")
            raise refusal(answer.status_code, said, self._key, answer.headers.get("Retry-After"))
        generation = answer.headers.get("x-goog-generation", "")
        if not generation:
            raise unavailable("The endpoint answered with something that is not Google Cloud Storage.")
        length = answer.headers.get("Content-Length", "")
        ranges = answer.headers.get("Content-Range", "") if answer.status_code == 206 else None
        return RangedAnswer(
            "Google Cloud Storage", ranges, int(length) if length.isdecimal() else None, read
        ), generation

    def close(self) -> None:
        """Let go of the object's beginning; connections belong to the client."""
        self._head = b""
