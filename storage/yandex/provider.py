"""Objects on a Yandex Disk, by yadisk: folders made as needed, uploads moved into place when they are proven."""

import hashlib
import io
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import requests
import yadisk
from yadisk import exceptions as yandex

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage.base import SourceReader, StorageProvider, StoredObject
from storage.keys import check_key, is_key, join_key, partial_name
from storage.local_disk.host_files import whole_or_absent
from storage.yandex.errors import translated
from storage.yandex.reader import FileMeta, YandexReader
from storage.yandex.session import GuardedYandexSession

_COPY_BYTES: Final = 4 * 1024**2
_CONFIRM_DELAYS_S: Final = (0.0, 0.2, 0.5, 1.0, 2.0)
"""A file, or its checksums, may be absent for a moment after its upload."""
_WAITING: Final[dict[str, Any]] = {"wait": True, "poll_interval": 0.25, "poll_timeout": 30.0}
"""For moves and removals, which become operations where Yandex Disk so pleases; seconds."""
_MAX_REMEMBERED: Final = 10_000
"""Folders that are known to be there, and public addresses."""
_PUT_TRIES: Final = 3


@dataclass(frozen=True)
class YandexDiskSettings:
    """One account's disk. `root` is disk:/ or app:/; times in seconds: to connect, and between two bytes."""

    token: str = field(repr=False)
    api_url: str = "https://cloud-api.yandex.net"
    root: str = "disk:/"
    public_base_url: str | None = None
    timeout_s: tuple[float, float] = (3.0, 10.0)


@dataclass(frozen=True)
class _Digests:
    size: int
    md5: str
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> "_Digests":
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return cls(len(content), md5, hashlib.sha256(content).hexdigest())


class YandexDiskProvider(StorageProvider):
    """Keys are paths below `base_path`. yadisk's own retries are off: one place decides about retries."""

    def __init__(
        self,
        settings: YandexDiskSettings,
        *,
        base_path: str = "",
        session: requests.Session,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """All traffic goes by `session`, which judges addresses: see storage.outbound. It is closed with the provider."""
        self._settings: Final = settings
        self._base_path: Final = check_key(base_path) if base_path else ""
        self._session: Final = session
        self._transport: Final = GuardedYandexSession(session, settings.api_url)
        self._sleep: Final = sleep
        self._client: Final = yadisk.Client(
            token=settings.token,
            session=self._transport,
            default_args={"n_retries": 0, "timeout": settings.timeout_s},
        )
        self._folders: Final[OrderedDict[str, None]] = OrderedDict()
        self._public_urls: Final[OrderedDict[str, str]] = OrderedDict()

    @property
    def name(self) -> str:
        """As in the contract."""
        return "yandex_disk"

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:  # noqa: ARG002 - Yandex Disk goes by the name
        """Put under a hidden name beside it, confirm, move into place, confirm again.

        The hidden name comes from the content: a repetition after a kill takes up the same one and leaves nothing.
        """
        path, digests = self._path(key), _Digests.of(content)
        folder, _, name = path.rpartition("/")
        partial = f"{folder}/{partial_name(name, digests.sha256[:16])}"
        with self._translated(key):
            try:
                self._put(partial, folder, content, key)
                self._confirm(partial, digests, key, twin=path)
                self._move(partial, path, key)
                self._confirm_move(partial, path, digests, key)
            except BaseException:
                with suppress(yandex.YaDiskError, ThumbnailError):  # the first error tells more
                    self._remove(partial)
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
        """Make `folder` and what is missing above it, from the leaf upwards: as a rule all but the leaf are there."""
        missing: list[str] = []
        root = self._settings.root.rstrip("/")
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
        self._remember(self._folders, folder, None)
        for below in reversed(missing):
            with suppress(yandex.DirectoryExistsError):  # a rival was faster
                self._client.mkdir(below)
            self._remember(self._folders, below, None)

    def _require_folder(self, path: str, key: str) -> None:
        if self._client.get_type(path) != "dir":
            raise PermanentError(ErrorCode.STORAGE_BAD_KEY, f"The key {key[:80]!r} is below another object's.")

    def _confirm_move(self, partial: str, path: str, digests: _Digests, key: str) -> None:
        """What was proven has its name now, unless another upload has taken the name over since."""
        try:
            self._confirm(path, digests, key)
        except TransientError:
            if self._client.exists(partial) or not self._client.exists(path):
                raise

    def _confirm(self, path: str, digests: _Digests, key: str, *, twin: str | None = None) -> None:
        """Raise upload.unverified unless Yandex Disk has what was sent. Without checksums, for a while, it is asked again.

        The same content at `twin` will do: another upload of it has moved our file there already.
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
        """Whether the file has this content; None as long as it is not there, or its checksums are not."""
        try:
            found = self._client.get_meta(path, fields=["size", "md5", "sha256"])
        except yandex.PathNotFoundError:
            return None
        if not (found.sha256 or found.md5):
            return None
        shown = (found.size, found.md5 or digests.md5, found.sha256 or digests.sha256)
        return shown == (digests.size, digests.md5, digests.sha256)

    def _move(self, source: str, target: str, key: str) -> None:
        """A move never replaces a folder: what stands there is looked at before it is overwritten."""
        try:
            self._client.move(source, target, overwrite=False, **_WAITING)
        except yandex.ParentNotFoundError:
            raise
        except yandex.PathNotFoundError:
            return  # a twin of this upload has moved it: the confirmation decides
        except yandex.ConflictError:
            with suppress(yandex.PathNotFoundError):  # what stood there was deleted meanwhile
                if self._client.get_type(target) == "dir":
                    raise PermanentError(ErrorCode.STORAGE_BAD_KEY, f"A folder has the key {key[:80]!r}.") from None
            with suppress(yandex.PathNotFoundError):
                self._client.move(source, target, overwrite=True, **_WAITING)

    def download_file(self, key: str, path: Path) -> None:
        """Ranges of one version, to a temporary name beside `path`."""
        with self.open_source(key) as source, whole_or_absent(path) as file:
            for offset in range(0, source.size, _COPY_BYTES):
                file.write(source.read_at(offset, _COPY_BYTES))

    def open_source(self, key: str) -> SourceReader:
        """One request; it brings a download link, too."""
        path = self._path(key)
        return YandexReader(
            self._session,
            key,
            get_meta=lambda: self._meta(path, key),
            get_link=lambda: self._link(path, key),
            timeout_s=self._settings.timeout_s,
        )

    def _meta(self, path: str, key: str) -> FileMeta:
        with self._translated(key):
            found = self._client.get_meta(path, fields=["type", "size", "md5", "sha256", "revision", "file"])
        if found.type != "file" or found.size is None:
            raise ObjectNotFoundError(key)
        return FileMeta(found.size, found.sha256 or found.md5 or str(found.revision), found.md5, found.file)

    def _link(self, path: str, key: str) -> str:
        with self._translated(key):
            return self._client.get_download_link(path)

    def file_exists(self, key: str) -> bool:
        """As in the contract."""
        path = self._path(key)
        try:
            with self._translated(key):
                return self._client.get_type(path) == "file"
        except ObjectNotFoundError:
            return False

    def delete_file(self, key: str) -> None:
        """Remove the file for good; folders stay, for removing one would take along what was put into it meanwhile."""
        path = self._path(key)
        with suppress(ObjectNotFoundError), self._translated(key):
            if self._client.get_type(path) == "file":
                self._remove(path)

    def _remove(self, path: str) -> None:
        self._client.remove(path, permanently=True, **_WAITING)

    def list_files(self, prefix: str) -> Iterator[str]:
        """Folder by folder, while it is asked for more."""
        base = f"{self._path(prefix)}/"
        waiting = [f"{check_key(prefix)}/"]
        cut = len(base) - len(waiting[0])
        with self._translated(prefix):
            while waiting:
                name = waiting.pop()
                if name.endswith("/"):
                    waiting += sorted(self._names_in(f"{base[:cut]}{name}".rstrip("/"), name), reverse=True)
                elif is_key(name):
                    yield name

    def _names_in(self, path: str, prefix: str) -> list[str]:
        """Keys of files, and of folders with a slash at their end, which then sort as what is in them does."""
        try:
            found = list(self._client.listdir(path, fields=["name", "type"]))
        except (yandex.PathNotFoundError, yandex.WrongResourceTypeError):
            return []
        return [f"{prefix}{item.name}{'/' if item.type == 'dir' else ''}" for item in found]

    def get_file_url(self, key: str) -> str:
        """Below `public_base_url`; without one the file is published, and has its public page's URL for good.

        Then the object must exist (ObjectNotFoundError).
        """
        path, base_url = self._path(key), self._settings.public_base_url
        if base_url:
            return f"{base_url.rstrip('/')}/{quote(join_key(self._base_path, key))}"
        known = self._public_urls.get(path)
        if known is None:
            with self._translated(key):
                self._client.publish(path)
                known = self._client.get_meta(path, fields=["public_url"]).public_url
            if not known:
                raise TransientError(ErrorCode.STORAGE_UNAVAILABLE, "Yandex Disk gave a published file no address.")
            self._remember(self._public_urls, path, known)
        return known

    def close(self) -> None:
        """Close the connection pool."""
        self._client.close()

    def _path(self, key: str) -> str:
        return f"{self._settings.root}{join_key(self._base_path, check_key(key))}"

    def _translated(self, key: str) -> AbstractContextManager[None]:
        return translated(key, lambda: self._transport.retry_after_s)

    @staticmethod
    def _remember(memory: OrderedDict[str, Any], name: str, value: Any) -> None:
        memory[name] = value
        while len(memory) > _MAX_REMEMBERED:
            with suppress(KeyError):  # another thread was faster
                memory.popitem(last=False)
