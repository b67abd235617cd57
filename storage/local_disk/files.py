"""Files below an open folder: made without a name, named in one step, read through one descriptor."""

import errno
import hashlib
import heapq
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, ThumbnailError, TransientError
from storage.base import SourceReader, StoredObject, span
from storage.host_files import failure
from storage.keys import is_partial

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: a FIFO must not hang
_NOT_PLAIN: Final = frozenset({errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EISDIR, errno.ENXIO, errno.ENODEV})
"""Links, files among folders, folders among files; the last two are what sockets and dead devices answer."""
NO_NAMELESS: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
"""How kernels and file systems without nameless files answer."""
NAMES_AT_ONCE: Final = 100_000
"""Names of one folder that a listing holds: about 10 MB."""


@contextmanager
def new_file(folder: int, partial: str) -> Iterator[tuple[int, bool]]:
    """Provide a new file in `folder`, and whether it has the name `partial` because the file system cannot do without."""
    try:
        fd, has_name = os.open(".", os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o644, dir_fd=folder), False
    except OSError as exc:
        if os.fstat(folder).st_nlink == 0:
            # Kernels differ in what they answer for a folder that was removed while it was open.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from exc
        if exc.errno not in NO_NAMELESS:
            raise
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd, has_name = os.open(partial, flags, 0o644, dir_fd=folder), True
    try:
        yield fd, has_name
    finally:
        os.close(fd)


def write(fd: int, content: bytes, key: str) -> StoredObject:
    """Write and sync `content`, and read it back. Raises TransientError upload.unverified when that differs."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
    os.fsync(fd)
    # What was synced may leave the cache, so that the next read is the disk's own answer where the system can do so.
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(fd, "rb", closefd=False) as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    info = os.fstat(fd)
    if found != hashlib.sha256(content).hexdigest() or info.st_size != len(content):
        message = f"What was read back of {key!r} differs from what was written."
        raise TransientError(ErrorCode.UPLOAD_UNVERIFIED, message)
    return StoredObject(key=key, size_bytes=info.st_size, sha256=found, version=version(info))


def give_name(fd: int, folder: int, name: str, partial: str) -> None:
    """Make the file visible under `name`, in one step also where an object is replaced."""
    nameless = f"/proc/self/fd/{fd}"
    try:
        os.link(nameless, name, dst_dir_fd=folder, follow_symlinks=True)
    except FileExistsError:
        # A link cannot replace: take a hidden name for the instant, and rename that.
        os.link(nameless, partial, dst_dir_fd=folder, follow_symlinks=True)
        os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)


def translate(exc: OSError, key: str) -> ThumbnailError:
    """Return the error of our tree for a system error."""
    if exc.errno == errno.ENOENT:
        return ObjectNotFoundError(key)
    if exc.errno in _NOT_PLAIN:
        reason = os.strerror(exc.errno)
        return PermanentError(
            ErrorCode.STORAGE_BAD_KEY, f"The key {key[:80]!r} does not lead to a plain file: {reason}."
        )
    return failure(exc, "Local storage")


def open_folder(part: str, above: int, *, absent_if_file: bool) -> int:
    """Return the folder `part` of the open folder `above`. A link is refused; a file there means that nothing can be below."""
    try:
        return os.open(part, FOLDER_FLAGS, dir_fd=above)
    except NotADirectoryError as exc:
        # The kernel gives the same answer for a link and for a file.
        if absent_if_file and stat.S_ISREG(os.stat(part, dir_fd=above, follow_symlinks=False).st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from exc
        raise


class LocalReader(SourceReader):
    """Reads through one open file; owns its descriptor."""

    def __init__(self, fd: int, key: str) -> None:
        self._fd = fd
        self._key: Final = key
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            os.close(fd)
            if stat.S_ISDIR(info.st_mode):
                raise ObjectNotFoundError(key)
            raise PermanentError(ErrorCode.STORAGE_BAD_KEY, f"The key {key[:80]!r} does not lead to a plain file.")
        self._size: Final = info.st_size
        self._version: Final = version(info)

    @property
    def size(self) -> int:
        """See the contract."""
        return self._size

    @property
    def version(self) -> str:
        """Modification time, size and inode."""
        return self._version

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the version as it was opened, also when the key has a new object now; a change in place is noticed."""
        wanted, data = span(offset, length, self._size), b""
        try:
            while wanted > len(data) and (more := os.pread(self._fd, wanted - len(data), offset + len(data))):
                data += more  # one read gives all of it, but for more than 2 GB
            # Also detects that another thread closed this reader and that its descriptor now belongs to another file.
            changed = version(os.fstat(self._fd)) != self._version
        except OSError as exc:
            raise translate(exc, self._key) from exc
        if changed:
            raise TransientError(
                ErrorCode.SOURCE_UNREADABLE, f"The object {self._key!r} changed while it was being read."
            )
        return data

    def close(self) -> None:
        """See the contract."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def version(info: os.stat_result) -> str:
    """Return what identifies the content of a file: modification time, size and inode."""
    return f"{info.st_mtime_ns:x}-{info.st_size:x}-{info.st_ino:x}"


def walk(folder: int, path: str, after: str) -> Iterator[tuple[str, os.stat_result]]:
    """Return the paths of all objects below an open folder, in order, that come after `after`; links are not followed."""
    for name in _names_in_order(folder, path, after):
        if name.endswith("/"):
            try:
                below = os.open(name[:-1], FOLDER_FLAGS, dir_fd=folder)
            except (FileNotFoundError, NotADirectoryError):  # gone, or swapped for something else, since then
                continue
            try:
                yield from walk(below, f"{path}{name}", after)
            finally:
                os.close(below)
        elif not is_partial(name):
            with suppress(FileNotFoundError):
                info = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(info.st_mode):
                    yield f"{path}{name}", info


def _names_in_order(folder: int, path: str, after: str) -> Iterator[str]:
    """Return the names in an open folder, those of folders with a slash, which then sort as what is in them does.

    A folder of any size takes the memory of NAMES_AT_ONCE names: it is read again for each so many.
    """
    last = ""
    while True:
        with os.scandir(folder) as found:  # closed before going deeper: one descriptor a level, not two
            entries = (f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in found)
            wanted = (name for name in entries if name > last and _is_after(f"{path}{name}", after))
            names = heapq.nsmallest(NAMES_AT_ONCE, wanted)
        yield from names
        if len(names) < NAMES_AT_ONCE:
            return
        last = names[-1]


def _is_after(path: str, after: str) -> bool:
    """Return whether a file, or something in a folder, may come after `after`."""
    return path > after or (path.endswith("/") and after.startswith(path))
