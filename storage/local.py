"""Objects in a folder of this host: atomic, checksums confirmed, and no way out of the folder."""

import errno
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage.base import SourceReader, StorageProvider, StoredObject
from storage.keys import check_key, join_key

_PART_SUFFIX: Final = ".part"
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: a FIFO must not hang
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_ESCAPES: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EISDIR})
_NO_NAMELESS: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
"""How kernels and file systems without nameless files answer."""
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
            partial = f".{name}.{secrets.token_hex(4)}{_PART_SUFFIX}"
            try:
                with _new_file(folder, partial) as (fd, has_name):
                    confirmed = _write(fd, content, key)
                    if not has_name:
                        _give_name(fd, folder, name, partial)
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
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{_PART_SUFFIX}")
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
            return _LocalReader(os.open(name, _FILE_FLAGS, dir_fd=folder), key)

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
                names = sorted(_walk(folder, ""))
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
                    if _is_partial(name) and time.time() - path.lstat().st_mtime > older_than_s:
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
                    below = os.open(part, _FOLDER_FLAGS, dir_fd=fd)
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
            raise _translate(exc, key) from exc


@contextmanager
def _new_file(folder: int, partial: str) -> Iterator[tuple[int, bool]]:
    """A new file in `folder`, and whether it has the name `partial` because the file system cannot do without."""
    try:
        fd, has_name = os.open(".", os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o644, dir_fd=folder), False
    except OSError as exc:
        if exc.errno not in _NO_NAMELESS:
            raise
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd, has_name = os.open(partial, flags, 0o644, dir_fd=folder), True
    try:
        yield fd, has_name
    finally:
        os.close(fd)


def _write(fd: int, content: bytes, key: str) -> StoredObject:
    """Write and sync `content`, and read it back."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.fsync(fd)
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(fd, "rb", closefd=False) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    info = os.fstat(fd)
    if found != hashlib.sha256(content).hexdigest() or info.st_size != len(content):
        message = f"What was read back of {key!r} differs from what was written."
        raise TransientError(ErrorCode.UPLOAD_UNVERIFIED, message)
    return StoredObject(key=key, size_bytes=info.st_size, sha256=found, version=_version(info))


def _give_name(fd: int, folder: int, name: str, partial: str) -> None:
    """Make the file visible under `name`, in one step also where an object is replaced."""
    nameless = f"/proc/self/fd/{fd}"
    try:
        os.link(nameless, name, dst_dir_fd=folder, follow_symlinks=True)
    except FileExistsError:
        # A link cannot replace: take a hidden name for the instant, and rename that.
        os.link(nameless, partial, dst_dir_fd=folder, follow_symlinks=True)
        os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)


def _translate(exc: OSError, key: str) -> ThumbnailError:
    reason = os.strerror(exc.errno) if exc.errno else str(exc)
    if exc.errno == errno.ENOENT:
        return ObjectNotFoundError(key)
    if exc.errno in _ESCAPES:
        return PermanentError(
            ErrorCode.STORAGE_BAD_KEY, f"The key {key[:80]!r} does not lead to a plain file: {reason}."
        )
    if exc.errno in _FULL:
        return TransientError(ErrorCode.STORAGE_FULL, f"Local storage is full: {reason}.")
    if exc.errno in _DENIED:
        return PermanentError(ErrorCode.STORAGE_DENIED, f"Local storage refuses access: {reason}.")
    return TransientError(ErrorCode.STORAGE_UNAVAILABLE, f"Local storage failed: {reason}.")


class _LocalReader(SourceReader):
    """Reads through one open file; owns its descriptor."""

    def __init__(self, fd: int, key: str) -> None:
        self._fd = fd
        self._key: Final = key
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            os.close(fd)
            raise PermanentError(ErrorCode.STORAGE_BAD_KEY, f"The key {key[:80]!r} does not lead to a plain file.")
        self._size: Final = info.st_size
        self._version: Final = _version(info)

    @property
    def size(self) -> int:
        """As in the contract."""
        return self._size

    @property
    def version(self) -> str:
        """Modification time, size and inode."""
        return self._version

    def read_at(self, offset: int, length: int) -> bytes:
        """As in the contract."""
        try:
            data = os.pread(self._fd, length, offset)
            changed = _version(os.fstat(self._fd)) != self._version
        except OSError as exc:
            raise _translate(exc, self._key) from exc
        if changed:
            raise TransientError(
                ErrorCode.SOURCE_UNREADABLE, f"The object {self._key!r} changed while it was being read."
            )
        return data

    def close(self) -> None:
        """As in the contract."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _version(info: os.stat_result) -> str:
    return f"{info.st_mtime_ns:x}-{info.st_size:x}-{info.st_ino:x}"


def _is_partial(name: str) -> bool:
    return name.startswith(".") and name.endswith(_PART_SUFFIX)


def _walk(folder: int, path: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    below = os.open(entry.name, _FOLDER_FLAGS, dir_fd=folder)
                    try:
                        yield from _walk(below, f"{path}{entry.name}/")
                    finally:
                        os.close(below)
            elif entry.is_file(follow_symlinks=False) and not _is_partial(entry.name):
                yield f"{path}{entry.name}"
