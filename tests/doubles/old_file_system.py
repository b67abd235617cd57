"""A file system as some still are: it has no files without names (O_TMPFILE)."""

import errno
import os
from collections.abc import Callable

Open = Callable[..., int]


def open_without_nameless_files(real: Open) -> Open:
    """`os.open`, which answers as such a file system does."""

    def refusing(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, mode, dir_fd=dir_fd)

    return refusing
