"""Ranged reads of one version of a file on Yandex Disk, by its temporary download link."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

import requests

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, TransientError
from storage.base import SourceReader, span
from storage.yandex.errors import translated, unavailable

MAX_SKIPPED_BYTES: Final = 64 * 1024**2
"""How far into a file a server that ignores Range is read along, to come to what is asked for."""
_SKIP_BYTES: Final = 1 << 20
_LINK_TRIES: Final = 2


@dataclass(frozen=True)
class FileMeta:
    """A file as get_meta tells of it. `link` is temporary; `version` is its checksum, or its revision without one."""

    size: int
    version: str
    md5: str | None
    link: str | None


class YandexReader(SourceReader):
    """Pinned to a version: an answer whose ETag does not prove it is followed by a look at the file's metadata."""

    def __init__(
        self,
        session: requests.Session,
        key: str,
        *,
        get_meta: Callable[[], FileMeta],
        get_link: Callable[[], str],
        timeout_s: tuple[float, float],
    ) -> None:
        """`get_meta` and `get_link` ask the API anew at each call. Raises as StorageProvider.open_source does."""
        self._session: Final = session
        self._key: Final = key
        self._get_meta: Final = get_meta
        self._get_link: Final = get_link
        self._timeout_s: Final = timeout_s
        self._meta: Final = get_meta()
        self._link = self._meta.link
        self._lock: Final = Lock()

    @property
    def size(self) -> int:
        """As in the contract."""
        return self._meta.size

    @property
    def version(self) -> str:
        """The file's SHA-256, MD5 or revision: the first that Yandex Disk tells."""
        return self._meta.version

    def read_at(self, offset: int, length: int) -> bytes:
        """As in the contract. A link that has expired is renewed."""
        length = span(offset, length, self.size)
        if not length:
            return b""
        with translated(self._key):
            data, is_pinned = self._fetch(offset, length)
        if not is_pinned and self._get_meta().version != self.version:
            raise self._replaced()
        return data

    def close(self) -> None:
        """Nothing is held: connections belong to the provider's session."""

    def _fetch(self, offset: int, length: int) -> tuple[bytes, bool]:
        """The bytes, and whether the answer itself proves that they are of our version."""
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        for attempt in range(_LINK_TRIES):
            link = self._current_link(renew=attempt > 0)
            with self._session.get(link, headers=headers, stream=True, timeout=self._timeout_s) as answer:
                if answer.status_code in (200, 206):
                    is_pinned = self._check_version(answer)
                    self._skip_to(offset, length, answer)
                    return _read(answer.raw, length), is_pinned
                status = answer.status_code
        if status == 404:
            raise ObjectNotFoundError(self._key)
        if status == 416:
            raise self._replaced()
        raise unavailable(f"Yandex Disk's download link answered with status {status}.")

    def _current_link(self, *, renew: bool) -> str:
        with self._lock:
            if self._link is None or renew:
                self._link = self._get_link()
            return self._link

    def _check_version(self, answer: requests.Response) -> bool:
        is_page = answer.status_code == 200 and answer.headers.get("Content-Type", "").startswith("text/html")
        # A page tells of an error; a real HTML file is given with its own length.
        if is_page and answer.headers.get("Content-Length") != str(self.size):
            raise unavailable("Yandex Disk's download link answered with a page.")
        total = _total(answer)
        if total is not None and total != self.size:
            raise self._replaced()
        etag = answer.headers.get("ETag", "").strip('"').removeprefix('W/"')
        if not etag or self._meta.md5 is None or len(etag) != len(self._meta.md5):
            return False
        if etag != self._meta.md5:
            raise self._replaced()
        return True

    def _skip_to(self, offset: int, length: int, answer: requests.Response) -> None:
        """Bring the body to `offset`, where the server gives the whole file whatever range is asked for."""
        if answer.status_code == 206:
            if answer.headers.get("Content-Range") != f"bytes {offset}-{offset + length - 1}/{self.size}":
                raise unavailable("Yandex Disk answered with another range than was asked for.")
            return
        if offset > MAX_SKIPPED_BYTES:
            raise PermanentError(
                ErrorCode.SOURCE_UNREADABLE, "Yandex Disk ignores ranges, and the file is too long to read whole."
            )
        for start in range(0, offset, _SKIP_BYTES):
            _read(answer.raw, min(_SKIP_BYTES, offset - start))

    def _replaced(self) -> TransientError:
        return TransientError(
            ErrorCode.SOURCE_UNREADABLE, f"The object {self._key!r} was replaced while it was being read."
        )


def _total(answer: requests.Response) -> int | None:
    if answer.status_code == 206:
        found = answer.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        found = answer.headers.get("Content-Length", "")
    return int(found) if found.isdecimal() else None


def _read(raw: Any, length: int) -> bytes:
    data: bytes = raw.read(length, decode_content=False)
    if len(data) != length:
        raise unavailable(f"Yandex Disk's answer ended after {len(data)} of {length} bytes.")
    return data
