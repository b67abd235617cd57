"""Answers to ranged HTTP requests: checks them, and reads one range from servers that ignore ranges too."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from schemas.errors import ErrorCode, PermanentError, TransientError

MAX_SKIPPED_BYTES: Final = 64 * 1024**2
"""The furthest offset that is read up to where a server ignores Range."""
_SKIP_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class RangedAnswer:
    """One answer to a ranged GET. `store` begins the messages; `read` gives the next bytes of the body.

    `content_range` is None where the server answered with the whole object, and empty where it gave a range without
    saying which.
    """

    store: str
    content_range: str | None
    content_length: int | None
    read: Callable[[int], bytes] = field(repr=False)

    @property
    def total(self) -> int | None:
        """Return the size of the whole object, or None where the answer does not say it."""
        if self.content_range is None:
            return self.content_length
        total = self.content_range.rpartition("/")[2]
        return int(total) if total.isdecimal() else None

    def read_range(self, offset: int, length: int, size: int) -> bytes:
        """Return `length` bytes from `offset` on, of an object of `size` bytes.

        Raises TransientError storage.unavailable for another range or a body that ends early, PermanentError
        source.unreadable where the server ignores ranges and `offset` is too far into the object.
        """
        if self.content_range is not None:
            if self.content_range != f"bytes {offset}-{offset + length - 1}/{size}":
                raise self._unavailable("answered with another range than was asked for")
            return self.read_exactly(length)
        if offset > MAX_SKIPPED_BYTES:
            message = f"{self.store} ignores ranges, and the object is too long to read whole."
            raise PermanentError(ErrorCode.SOURCE_UNREADABLE, message)
        for start in range(0, offset, _SKIP_BYTES):
            self.read_exactly(min(_SKIP_BYTES, offset - start))
        return self.read_exactly(length)

    def read_exactly(self, length: int) -> bytes:
        """Return the next `length` bytes of the body. Raises TransientError storage.unavailable if it ends before."""
        data = self.read(length) if length else b""
        if len(data) != length:
            raise self._unavailable(f"ended its answer after {len(data)} of {length} bytes")
        return data

    def _unavailable(self, what: str) -> TransientError:
        return TransientError(ErrorCode.STORAGE_UNAVAILABLE, f"{self.store} {what}.")


def replaced(key: str) -> TransientError:
    """Return the error for an object that was replaced while it was being read."""
    return TransientError(ErrorCode.SOURCE_UNREADABLE, f"The object {key!r} was replaced while it was being read.")
