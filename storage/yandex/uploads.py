"""Uploads to a Yandex Disk: make the folders, put under a hidden name, confirm the content, move into place."""

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import yadisk
from yadisk import exceptions as yandex

from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError
from storage.base import StoredObject
from storage.keys import partial_name
from storage.yandex.client import WAITING

_CONFIRM_DELAYS_S: Final = (0.0, 0.2, 0.5, 1.0, 2.0)
"""A file, or its checksums, may be absent for a moment after its upload."""
_MAX_REMEMBERED: Final = 10_000
_PUT_TRIES: Final = 3


def remember(memory: OrderedDict[str, Any], name: str, value: Any) -> None:
    """Keep `value` in `memory`, which stays bounded. Safe in several threads."""
    memory[name] = value
    while len(memory) > _MAX_REMEMBERED:
        with suppress(KeyError):  # another thread was faster
            memory.popitem(last=False)


@dataclass(frozen=True)
class _Digests:
    size: int
    md5: str
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> "_Digests":
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return cls(len(content), md5, hashlib.sha256(content).hexdigest())


class YandexUploads:
    """Uploads to one disk. Raises yadisk's errors, which the provider translates, beside our own."""

    def __init__(self, client: yadisk.Client, root: str, sleep: Callable[[float], None]) -> None:
        self._client: Final = client
        self._root: Final = root.rstrip("/")
        self._sleep: Final = sleep
        self._folders: Final[OrderedDict[str, None]] = OrderedDict()
        """Folders that are known to be there."""

    def upload(self, path: str, key: str, content: bytes) -> StoredObject:
        """Put under a hidden name beside `path`, confirm, move to `path`, confirm again; `key` is for messages.

        The hidden name comes from the content: a repetition after a kill uses the same one and leaves nothing behind.
        """
        digests = _Digests.of(content)
        folder, _, name = path.rpartition("/")
        partial = f"{folder}/{partial_name(name, digests.sha256[:16])}"
        try:
            self._put(partial, folder, content, key)
            self._confirm(partial, digests, key, twin=path)
            self._move(partial, path, key)
            self._confirm_move(partial, path, digests, key)
        except BaseException:
            with suppress(yandex.YaDiskError, ThumbnailError):  # the first error says more
                self._client.remove(partial, permanently=True, **WAITING)
            raise
        return StoredObject(key, digests.size, digests.sha256, digests.sha256)

    def _put(self, path: str, folder: str, content: bytes, key: str) -> None:
        for attempt in range(_PUT_TRIES):
            self._make_folder(folder, key)
            try:
                self._client.upload(io.BytesIO(content), path, overwrite=True)
            except yandex.ParentNotFoundError:
                # Somebody removed the folder that we remember.
                self._folders.clear()
                if attempt == _PUT_TRIES - 1:
                    raise
            else:
                return

    def _make_folder(self, folder: str, key: str) -> None:
        """Make `folder` and the folders that are missing above it, from the leaf upwards: usually only the leaf is missing."""
        missing: list[str] = []
        root = self._root
        while folder not in self._folders and folder != root:
            try:
                self._client.mkdir(folder)
            except yandex.DirectoryExistsError:
                break
            except yandex.ParentNotFoundError:
                missing.append(folder)
                folder = folder.rpartition("/")[0]
                continue
            except yandex.ConflictError:
                self._require_folder(folder, key)
            break
        remember(self._folders, folder, None)
        for below in reversed(missing):
            with suppress(yandex.DirectoryExistsError):  # a rival was faster
                self._client.mkdir(below)
            remember(self._folders, below, None)

    def _require_folder(self, path: str, key: str) -> None:
        if self._client.get_type(path) != "dir":
            raise PermanentError(ErrorCode.STORAGE_BAD_KEY, f"The key {key[:80]!r} is below another object's.")

    def _confirm_move(self, partial: str, path: str, digests: _Digests, key: str) -> None:
        """Confirm the file under its final name, unless another upload has replaced it since."""
        try:
            self._confirm(path, digests, key)
        except TransientError:
            if self._client.exists(partial) or not self._client.exists(path):
                raise

    def _confirm(self, path: str, digests: _Digests, key: str, *, twin: str | None = None) -> None:
        """Raise upload.unverified unless Yandex Disk has what was sent. Ask again for a while if it has no checksums yet.

        The same content at `twin` is enough: another upload of it has moved our file there.
        """
        for delay_s in _CONFIRM_DELAYS_S:
            if delay_s:
                self._sleep(delay_s)
            is_there = self._has(path, digests)
            if is_there or (is_there is None and twin is not None and self._has(twin, digests)):
                return
            if is_there is False:
                break
        raise TransientError(ErrorCode.UPLOAD_UNVERIFIED, f"Yandex Disk did not confirm what was sent as {key!r}.")

    def _has(self, path: str, digests: _Digests) -> bool | None:
        """Return True if the file has this content, None if the file or its checksums are not there yet."""
        try:
            found = self._client.get_meta(path, fields=["size", "md5", "sha256"])
        except yandex.PathNotFoundError:
            return None
        if not (found.sha256 or found.md5):
            return None
        shown = (found.size, found.md5 or digests.md5, found.sha256 or digests.sha256)
        return shown == (digests.size, digests.md5, digests.sha256)

    def _move(self, source: str, target: str, key: str) -> None:
        """Move a file, replacing a file but never a folder."""
        try:
            self._client.move(source, target, overwrite=False, **WAITING)
        except yandex.ParentNotFoundError:
            raise
        except yandex.PathNotFoundError:
            return  # a twin of this upload has moved it: the confirmation decides
        except yandex.ConflictError:
            with suppress(yandex.PathNotFoundError):  # what stood there was deleted meanwhile
                if self._client.get_type(target) == "dir":
                    raise PermanentError(ErrorCode.STORAGE_BAD_KEY, f"A folder has the key {key[:80]!r}.") from None
            with suppress(yandex.PathNotFoundError):
                self._client.move(source, target, overwrite=True, **WAITING)
