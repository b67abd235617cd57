"""Objects in a folder of this host: atomic, checksums confirmed, and no way out of the folder."""

import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from schemas.errors import ErrorCode, ObjectNotFoundError, TransientError
from storage.base import ListedObject, SourceReader, StorageProvider, StoredObject
from storage.host_files import failure
from storage.keys import check_folder, check_key, is_key, is_partial, join_key, partial_name
from storage.local_disk.files import (
    FILE_FLAGS,
    LocalReader,
    give_name,
    new_file,
    open_folder,
    translate,
    walk,
    write,
)
from storage.provider_settings import ProviderSettings

_MKDIR_TRIES: Final = 20


class LocalStorageProvider(StorageProvider):
    """Keys are paths below `root`/`base_path`. Every part is opened without following symbolic links."""

    def __init__(self, root: Path, base_url: str, base_path: str = "") -> None:
        self._root: Final = root
        self._base_path: Final = check_folder(base_path) if base_path else ""
        self._base_url: Final = base_url.rstrip("/")

    @property
    def name(self) -> str:
        """See the contract."""
        return "local_disk"

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:  # noqa: ARG002 - a folder keeps no types
        """Write a file without a name, sync, confirm, name it, sync the folder.

        A process that is killed leaves nothing, for such a file goes with its last descriptor. Where the file system
        has none, and in the instant of replacing an object, a hidden name stands in its folder: see sweep_unfinished.
        When the last sync fails, the new object is there but may not outlive a power cut: the caller uploads again.
        """
        for _ in range(_MKDIR_TRIES):
            # A deletion may prune the folder between its opening and the file's making: make it again.
            with suppress(ObjectNotFoundError):
                return self._upload(key, content)
        message = f"The folder of {key!r} was removed again and again."
        raise TransientError(ErrorCode.STORAGE_UNAVAILABLE, message)

    def _upload(self, key: str, content: bytes) -> StoredObject:
        with self._translated(key), self._folder_of(key, create=True) as (folder, name):
            partial = partial_name(name)
            try:
                with new_file(folder, partial) as (fd, has_name):
                    confirmed = write(fd, content, key)
                    if not has_name:
                        give_name(fd, folder, name, partial)
                if has_name:
                    os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):  # the first error says more, and the sweep runs again
                    os.unlink(partial, dir_fd=folder)
                raise
            os.fsync(folder)
            return confirmed

    def open_source(self, key: str) -> SourceReader:
        """Hold the file open: a rename over it does not reach this reader, a change in place is noticed."""
        with self._translated(key), self._folder_of(key) as (folder, name):
            return LocalReader(os.open(name, FILE_FLAGS, dir_fd=folder), key)

    def file_exists(self, key: str) -> bool:
        """See the contract. Only a regular file is an object."""
        try:
            with self._translated(key), self._folder_of(key) as (folder, name):
                return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
        except ObjectNotFoundError:
            return False

    def delete_file(self, key: str) -> None:
        """Unlink the file (a link itself, never what it names), then every folder above it that is empty now."""
        with (
            suppress(ObjectNotFoundError),
            self._translated(key),
            self._folder_of(key) as (folder, name),
            suppress(IsADirectoryError),  # a folder is no object
        ):
            os.unlink(name, dir_fd=folder)
        parts = key.split("/")[:-1]
        while parts:
            try:
                with suppress(FileNotFoundError), self._folder(parts[:-1]) as above:
                    os.rmdir(parts[-1], dir_fd=above)
            except OSError:  # not empty: it is still needed, or an upload was faster
                return
            parts.pop()

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """Walk the folder without following links; hidden partial files are not objects.

        Others may put files here whose names are no keys: nobody could open them, so they are left out.
        """
        check_key(prefix)
        try:
            with self._translated(prefix), self._folder(prefix.split("/")) as folder:
                for key, info in walk(folder, f"{prefix}/", after):
                    if is_key(key):
                        yield ListedObject(key, info.st_size, datetime.fromtimestamp(info.st_mtime, tz=UTC))
        except ObjectNotFoundError:
            return

    def get_file_url(self, key: str) -> str:
        """Return the base URL, then the key with everything quoted that a URL reserves."""
        return f"{self._base_url}/{quote(join_key(self._base_path, check_key(key)))}"

    def sweep_unfinished(self, *, older_than_s: float) -> int:
        """Remove partial files that a killed process left, unless they are younger; returns how many."""
        swept, before = 0, time.time() - older_than_s
        # No root yet means nothing to sweep.
        with suppress(ObjectNotFoundError), self._translated("(the root)"), self._folder([]) as top:
            for _, _, names, folder in os.fwalk(".", dir_fd=top):
                for name in filter(is_partial, names):
                    with suppress(FileNotFoundError):
                        if os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime < before:
                            os.unlink(name, dir_fd=folder)
                            swept += 1
        return swept

    @contextmanager
    def _folder_of(self, key: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Open the folder that holds `key`; yield it and the file's name in it."""
        *parents, name = check_key(key).split("/")
        if create:
            self._make_root()
        with self._folder(parents, create=create) as folder:
            yield folder, name

    def _make_root(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as exc:  # not as the absence of an object, which would be tried again and again
            raise failure(exc, "The root folder of local storage") from exc

    @contextmanager
    def _folder(self, parts: list[str], *, create: bool = False) -> Iterator[int]:
        base = self._base_path.split("/") if self._base_path else []
        fd = self._open_chain([*base, *parts], create=create)
        try:
            yield fd
        finally:
            os.close(fd)

    def _open_chain(self, parts: list[str], *, create: bool) -> int:
        for attempt in range(_MKDIR_TRIES):
            fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for part in parts:
                    if create:
                        with suppress(FileExistsError):
                            os.mkdir(part, dir_fd=fd)
                            os.fsync(fd)  # an object outlives a power cut only if the folders above it do
                    below = open_folder(part, fd, absent_if_file=not create)
                    os.close(fd)
                    fd = below
            except FileNotFoundError:
                os.close(fd)
                # A deletion pruned a folder between its making and its opening: make it again.
                if not create or attempt == _MKDIR_TRIES - 1:
                    raise
            except BaseException:
                os.close(fd)
                raise
            else:
                return fd
        raise AssertionError("unreachable")

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise translate(exc, key) from exc


def build(_credentials: Mapping[str, Any], base_path: str, settings: ProviderSettings) -> StorageProvider:
    """Return the provider of one connection: a tenant chooses a folder below the host's root, never a host's path."""
    return LocalStorageProvider(settings.local.root, settings.local.base_url, base_path)
