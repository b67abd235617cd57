"""Files of this host, for local storage and for copies of objects: errors translated, and whole files only."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError
from storage.keys import partial_name

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def failure(exc: OSError, what: str) -> ThumbnailError:
    """Return the error of our tree for a system error of `what`, which begins the sentence."""
    reason = os.strerror(exc.errno) if exc.errno else str(exc)
    if exc.errno in _FULL:
        return TransientError(ErrorCode.STORAGE_FULL, f"{what} is full: {reason}.")
    if exc.errno in _DENIED:
        return PermanentError(ErrorCode.STORAGE_DENIED, f"{what} refuses access: {reason}.")
    return TransientError(ErrorCode.STORAGE_UNAVAILABLE, f"{what} failed: {reason}.")


@contextmanager
def whole_or_absent(path: Path) -> Iterator[BinaryIO]:
    """Provide a file that takes the name `path` when the block ends well, and is gone when it does not.

    Raises what `failure` makes of a system error.
    """
    partial = path.with_name(partial_name(path.name))
    try:
        try:
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise failure(exc, "The disk for a copy") from exc
