"""Objects in a folder of this host: atomic, checksums confirmed, and no way out of the folder."""

import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from schemas.errors import ErrorCode, ObjectNotFoundError, ThumbnailError, TransientError
from storage.base import SourceReader, StorageProvider, StoredObject
from storage.keys import check_key, join_key
from storage.local_files import (
    FILE_FLAGS,
    FOLDER_FLAGS,
    PART_SUFFIX,
    LocalReader,
    give_name,
    is_partial,
    new_file,
    translate,
    walk,
    write,
)

_MKDIR_TRIES: Final = 20


class LocalStorageProvider(StorageProvider):
    """Keys are paths below `root`/`base_path`. Every part is opened without following symbolic links."""

    def __init__(self, root: Path, base_url: str, base_path: str = "") -> None:
        self._root: Final = root
        self._base_path: Final = check_key(base_path) if base_path else ""
        self._base_url: Final = base_url.rstrip("/")

    @property
    def name(self) -> str:
        """As in the contract."""
        return "local_disk"

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:  # noqa: ARG002 - a folder keeps no types
        """Write a file without a name, sync, confirm, name it, sync the folder.

        A process that is killed leaves nothing, for such a file goes with its last descriptor. Where the file system
        has none, and in the instant of replacing an object, a hidden name stands in its folder: see sweep_unfinished.
        """
        for attempt in range(_MKDIR_TRIES):
            try:
                return self._upload(key, content)
            except ObjectNotFoundError:
                # A deletion pruned the folder between its opening and the file's making: make it again.
                if attempt == _MKDIR_TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def _upload(self, key: str, content: bytes) -> StoredObject:
        with self._translated(key), self._folder_of(key, create=True) as (folder, name):
            partial = f".{name}.{secrets.token_hex(4)}{PART_SUFFIX}"
            try:
                with new_file(folder, partial) as (fd, has_name):
                    confirmed = write(fd, content, key)
                    if not has_name:
                        give_name(fd, folder, name, partial)
                if has_name:
                    os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(partial, dir_fd=folder)
                raise
            os.fsync(folder)
            return confirmed

    def download_file(self, key: str, path: Path) -> None:
        """Copy to a temporary name beside `path`, then rename."""
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART_SUFFIX}")
        with self.open_source(key) as source:
            try:
                with partial.open("wb") as file:
                    for offset in range(0, source.size, 1 << 20):
                        file.write(source.read_at(offset, 1 << 20))
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise

    def open_source(self, key: str) -> SourceReader:
        """Hold the file open: a rename over it does not reach this reader, a change in place is noticed."""
        with self._translated(key), self._folder_of(key) as (folder, name):
            return LocalReader(os.open(name, FILE_FLAGS, dir_fd=folder), key)

    def file_exists(self, key: str) -> bool:
        """As in the contract; anything but a regular file is not an object."""
        try:
            with self._translated(key), self._folder_of(key) as (folder, name):
                return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
        except ObjectNotFoundError:
            return False

    def delete_file(self, key: str) -> None:
        """Unlink the file, then every folder above it that is empty now."""
        with suppress(ObjectNotFoundError), self._translated(key), self._folder_of(key) as (folder, name):
            os.unlink(name, dir_fd=folder)
        parts = key.split("/")[:-1]
        while parts:
            try:
                with self._folder(parts[:-1]) as above:
                    os.rmdir(parts[-1], dir_fd=above)
            except OSError:  # not empty, or already gone: an upload may have been faster
                return
            parts.pop()

    def list_files(self, prefix: str) -> Iterator[str]:
        """Walk the folder without following links; hidden partial files are not objects."""
        check_key(prefix)
        try:
            with self._translated(prefix), self._folder(prefix.split("/")) as folder:
                names = sorted(walk(folder, ""))
        except ObjectNotFoundError:
            return
        yield from (f"{prefix}/{name}" for name in names)

    def get_file_url(self, key: str) -> str:
        """The base URL, then the key with everything quoted that a URL reserves."""
        return f"{self._base_url}/{quote(join_key(self._base_path, check_key(key)))}"

    def check(self) -> None:
        """Write, read and delete a probe below the base path."""
        with self._translated("(the root)"):
            self._top().mkdir(parents=True, exist_ok=True)
        key, content = f"health-probe/{secrets.token_hex(8)}", secrets.token_bytes(64)
        self.upload_file(key, content, content_type="application/octet-stream")
        try:
            with self.open_source(key) as source:
                if source.read_at(0, 128) != content:
                    raise TransientError(
                        ErrorCode.STORAGE_UNAVAILABLE, "The storage gave back other bytes than were written."
                    )
        finally:
            self.delete_file(key)

    def sweep_unfinished(self, *, older_than_s: float) -> int:
        """Remove partial files that a killed process left, unless they are younger; returns how many."""
        swept = 0
        for folder, _, names in os.walk(self._top()):
            for name in names:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    if is_partial(name) and time.time() - path.lstat().st_mtime > older_than_s:
                        path.unlink()
                        swept += 1
        return swept

    def _top(self) -> Path:
        return self._root / self._base_path if self._base_path else self._root

    @contextmanager
    def _folder_of(self, key: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder that holds `key`, and the file's name in it."""
        *parents, name = check_key(key).split("/")
        if create:
            self._root.mkdir(parents=True, exist_ok=True)
        with self._folder(parents, create=create) as folder:
            yield folder, name

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
                    below = os.open(part, FOLDER_FLAGS, dir_fd=fd)
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
        except ThumbnailError:
            raise
        except OSError as exc:
            raise translate(exc, key) from exc
