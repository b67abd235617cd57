"""Which keys are allowed, and how thumbnails are named."""

import re
import unicodedata
from typing import Final

from schemas.errors import ErrorCode, PermanentError

MAX_KEY_BYTES: Final = 1024
"""S3's limit, the smallest of the stores that we know."""
MAX_PART_BYTES: Final = 240
"""Of one part between slashes: a file system's 255, less what a temporary name adds."""

_ENCODED: Final = re.compile(r"%(2e|2f|5c|00)", re.IGNORECASE)
_LOOK_ALIKES: Final = frozenset("\u2044\u2215\u29f8\u29f9\ufe68\uff0f\uff3c\u2216\u2024\ufe52\uff0e\u2025\u2026")


def check_key(key: str) -> str:
    """`key` itself, when it is a plain relative path; raises PermanentError storage.bad_key when it is not.

    Refused: empty and absolute keys, empty, '.' and '..' parts, backslashes, control and direction characters, encoded
    or look-alike separators and dots, and keys that are too long for any of the stores. Keys are taken as they are:
    two Unicode forms of one text are two keys, so neither can stand in for the other.
    """
    problem = _problem(key)
    if problem is not None:
        raise PermanentError(ErrorCode.STORAGE_BAD_KEY, f"The key {key[:80]!r} {problem}.")
    return key


def _problem(key: str) -> str | None:
    try:
        length_bytes = len(key.encode())
    except UnicodeEncodeError:
        return "is not text that UTF-8 can write"
    if length_bytes > MAX_KEY_BYTES:
        return f"has {length_bytes} bytes; at most {MAX_KEY_BYTES} are allowed"
    if not key:
        return "is empty"
    if "\\" in key or _ENCODED.search(key) or _LOOK_ALIKES & frozenset(key):
        return "has a backslash, or an encoded or look-alike separator or dot"
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in key):
        return "has a control or direction character"
    for part in key.split("/"):
        if part in ("", ".", ".."):
            return "is absolute, or has an empty, '.' or '..' part"
        if len(part.encode()) > MAX_PART_BYTES:
            return f"has a part of more than {MAX_PART_BYTES} bytes"
    return None


def is_inside(key: str, prefix: str) -> bool:
    """Whether `key` is below the folder `prefix`; whole parts count, so 'acme-2/x' is not inside 'acme'."""
    return key.startswith(f"{prefix}/")


def join_key(base: str, key: str) -> str:
    """`key` below `base`, which may be empty."""
    return f"{base}/{key}" if base else key


def thumbnails_prefix(storage_path: str, kind: str, media_id: int) -> str:
    """The folder of all versions of one media's thumbnails."""
    return f"{storage_path}/thumbnails/{kind}/{media_id}"


def thumbnail_key(prefix: str, version: str, rendition: str, extension: str) -> str:
    """The key of one rendition of one upload, below the media's `thumbnails_prefix`."""
    return f"{prefix}/{version}/{rendition}.{extension}"
