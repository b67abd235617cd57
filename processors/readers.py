"""The one boundary around the libraries that read media: whatever they raise says something of the file, not of us.

Pillow's plugins raise some twenty classes for damaged files (`struct.error` and `KeyError` are among them), and each of their
releases may add one. Only calls into those libraries stand within it, so that a mistake of our own is still seen as one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from av.error import FFmpegError

from schemas.errors import ErrorCode, PermanentError, ThumbnailError

_WORDED: Final = (OSError, SyntaxError, ValueError, EOFError, RuntimeError)
"""Their texts are sentences; of the others the class says as much as the text."""
_MAX_REASON: Final = 200


class DamagedMediaError(PermanentError):
    """A library could not read the media: code media.corrupt, as for every dead letter of a damaged file."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.MEDIA_CORRUPT, message)


@contextmanager
def reading(what: Literal["picture", "video"]) -> Iterator[None]:
    """Call a library that reads the `what` of a file. Raises DamagedMediaError for whatever it raises, and
    PermanentError media.unsupported where it says that it does not know the kind yet (NotImplementedError).

    Four pass unchanged: errors of ours, which the source raises within a read; FFmpegError, which its callers know how to go
    on from; MemoryError, which is about limits; and what is no Exception.
    """
    try:
        yield
    except (ThumbnailError, FFmpegError, MemoryError):
        raise
    except NotImplementedError as exc:
        raise PermanentError(
            ErrorCode.MEDIA_UNSUPPORTED, f"The {what} is of a kind that is not read: {_reason(exc)}."
        ) from exc
    except Exception as exc:
        raise DamagedMediaError(f"The {what} cannot be decoded: {_reason(exc)}.") from exc


def _reason(exc: Exception) -> str:
    text = str(exc).rstrip(".")[:_MAX_REASON]
    if text and isinstance(exc, _WORDED):
        return text
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
