"""Ranged reads of one version of a file on Yandex Disk, by its temporary download link."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Final

import requests

from schemas.errors import ObjectNotFoundError
from storage.base import SourceReader, span
from storage.ranges import RangedAnswer, replaced
from storage.yandex.errors import translated, unavailable

_LINK_TRIES: Final = 2


@dataclass(frozen=True)
class FileMeta:
    """A file as get_meta describes it. `link` is temporary; `version` is its checksum, or its revision without one."""

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
        """`get_meta` and `get_link` ask the API again at each call. Raises as StorageProvider.open_source does."""
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
        """See the contract."""
        return self._meta.size

    @property
    def version(self) -> str:
        """Return the file's SHA-256, MD5 or revision: the first that Yandex Disk gives."""
        return self._meta.version

    def read_at(self, offset: int, length: int) -> bytes:
        """See the contract. A link that has expired is renewed."""
        length = span(offset, length, self.size)
        if not length:
            return b""
        with translated(self._key):
            data, is_pinned = self._fetch(offset, length)
        if not is_pinned and self._get_meta().version != self.version:
            raise replaced(self._key)
        return data

    def close(self) -> None:
        """Do nothing: connections belong to the provider's session."""

    def _fetch(self, offset: int, length: int) -> tuple[bytes, bool]:
        """Return the bytes, and whether the answer itself proves that they are of our version."""
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        for attempt in range(_LINK_TRIES):
            link = self._current_link(renew=attempt > 0)
            with self._session.get(link, headers=headers, stream=True, timeout=self._timeout_s) as answer:
                if answer.status_code in (200, 206):
                    ranged = _ranged(answer)
                    is_pinned = self._check_version(answer, ranged.total)
                    return ranged.read_range(offset, length, self.size), is_pinned
                status = answer.status_code
        if status == 404:
            raise ObjectNotFoundError(self._key)
        if status == 416:
            raise replaced(self._key)
        raise unavailable(f"Yandex Disk's download link answered with status {status}.")

    def _current_link(self, *, renew: bool) -> str:
        with self._lock:
            if self._link is None or renew:
                self._link = self._get_link()
            return self._link

    def _check_version(self, answer: requests.Response, total: int | None) -> bool:
        is_page = answer.status_code == 200 and answer.headers.get("Content-Type", "").startswith("text/html")
        # A page reports an error; a real HTML file is given with its own length.
        if is_page and answer.headers.get("Content-Length") != str(self.size):
            raise unavailable("Yandex Disk's download link answered with a page.")
        if total is not None and total != self.size:
            raise replaced(self._key)
        etag = answer.headers.get("ETag", "").strip('"').removeprefix('W/"')
        if not etag or self._meta.md5 is None or len(etag) != len(self._meta.md5):
            return False
        if etag != self._meta.md5:
            raise replaced(self._key)
        return True


def _ranged(answer: requests.Response) -> RangedAnswer:
    length = answer.headers.get("Content-Length", "")
    return RangedAnswer(
        "Yandex Disk",
        answer.headers.get("Content-Range", "") if answer.status_code == 206 else None,
        int(length) if length.isdecimal() else None,
        partial(answer.raw.read, decode_content=False),
    )
