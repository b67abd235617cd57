"""Checks keys, and makes the keys of thumbnails."""

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from schemas.errors import ErrorCode, PermanentError

MAX_KEY_BYTES: Final = 1024
"""S3's limit, the smallest of the stores that we know."""
MAX_PART_BYTES: Final = 255
"""The limit of one part between slashes: that of file systems."""

_SEPARATORS: Final = str.maketrans(dict.fromkeys("\\\u2044\u2215\u2216\u29f5\u29f8\u29f9", "/"))
"""What others may take for a slash, besides what Unicode's compatibility form (NFKC) makes one."""
_PARTIAL: Final = re.compile(r"\..*\.[0-9a-f]{16}\.part", re.DOTALL)


def check_key(key: str) -> str:
    """`key` itself, when it is a plain relative path; raises PermanentError storage.bad_key when it is not.

    Refused: empty and absolute keys, empty, '.' and '..' parts, also where only a reader finds them who decodes the key
    again, takes backslashes for slashes or look-alikes for what they look like; control characters; keys that are too
    long for any of the stores; the names of unfinished uploads. All else is a name. Keys are taken as they are: two
    Unicode forms of one text are two keys, so neither stands in for the other.
    """
    problem = _problem(key)
    if problem is not None:
        raise PermanentError(ErrorCode.STORAGE_BAD_KEY, f"The key {key[:80]!r} {problem}.")
    return key


def check_folder(path: str) -> str:
    """Return `path`, a folder that an operator chose, when it is a key whose parts are the same for every reader.

    Raises PermanentError storage.bad_key. Backslashes and encoded slashes in it are mistakes, and it is what keeps
    companies apart: other readers must not find it below another one.
    """
    if _as_others_read(check_key(path)).count("/") != path.count("/"):
        raise PermanentError(
            ErrorCode.STORAGE_BAD_KEY, f"The folder {path[:80]!r} has a slash that is none, such as '\\'."
        )
    return path


def is_key(key: str) -> bool:
    """Return whether `check_key` lets `key` pass."""
    return _problem(key) is None


def _problem(key: str) -> str | None:
    try:
        length_bytes = len(key.encode())
    except UnicodeEncodeError:
        return "is not text that UTF-8 can write"
    if length_bytes > MAX_KEY_BYTES:
        return f"has {length_bytes} bytes; at most {MAX_KEY_BYTES} are allowed"
    if any(map(_is_control, key)):
        return "has a control character"
    parts = key.split("/")
    if any(part.strip() in ("", ".", "..") for part in parts):  # MinIO, for one, trims them itself
        return "is empty or absolute, or has an empty, '.' or '..' part"
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        return f"has a part of more than {MAX_PART_BYTES} bytes"
    if any(map(is_partial, parts)):
        return "has the name of an unfinished upload"
    if not _is_plain_to_others(key):
        return "is another path for whoever decodes it again, or takes look-alikes for dots and slashes"
    return None


def _is_control(char: str) -> bool:
    # Joiners and direction marks are format characters (Cf): they belong into names of many languages.
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")


def _is_plain_to_others(key: str) -> bool:
    """Return whether the key is a plain path to every reader: it may have more parts, but leads to no folder above them."""
    read = _as_others_read(key)
    return "\0" not in read and not any(part.strip() in ("", ".", "..") for part in read.split("/"))


def _as_others_read(key: str) -> str:
    """Return the path that a reader finds who decodes the key until nothing is left to decode, and folds look-alikes."""
    if key.isascii() and "%" not in key and "\\" not in key:
        return key
    read, before = key, ""
    while read != before:
        before = read
        visible = "".join(char for char in unquote(read) if unicodedata.category(char) != "Cf")
        read = unicodedata.normalize("NFKC", visible).translate(_SEPARATORS)
    return read


def partial_name(name: str, token: str | None = None) -> str:
    """Return a hidden name for the unfinished upload of `name`, beside it and no longer than a file system takes.

    A new one, or always the same for a `token` of 16 hexadecimal digits.
    """
    # The dots, the digits and the ending are 23 bytes; a character that the cut splits is left out.
    kept = name.encode()[: MAX_PART_BYTES - 23].decode(errors="ignore")
    return f".{kept}.{token or secrets.token_hex(8)}.part"


def is_partial(name: str) -> bool:
    """Return whether a name is one of `partial_name`. No key has such a part, so nobody's object is taken for a leftover."""
    return _PARTIAL.fullmatch(name) is not None


def is_inside(key: str, prefix: str) -> bool:
    """Return whether `key` is below the folder `prefix`; whole parts count, so 'acme-2/x' is not inside 'acme'."""
    return key.startswith(f"{prefix}/")


def join_key(base: str, key: str) -> str:
    """`key` below `base`, which may be empty."""
    return f"{base}/{key}" if base else key


def thumbnails_prefix(storage_path: str, kind: str, media_id: int) -> str:
    """Return the folder of all versions of one media's thumbnails."""
    return f"{storage_path}/thumbnails/{kind}/{media_id}"


def version_folder(
    version: str, company_id: int, pictures: Iterable[tuple[str, bytes]], *, is_substitute: bool = False
) -> str:
    """Return the folder of the `pictures` (file name and content) that one attempt at an upload has made.

    Other content has another folder, and so has another company, also where both share a storage: nothing that was
    announced is ever overwritten. Equal content has the same folder, so that a repetition writes the same objects. In
    storage that `is_substitute` for the company's own it has another one: of two such folders a row shows only one.
    """
    digest = hashlib.sha256(b"substitute\n" if is_substitute else b"")
    for name, content in sorted(pictures):
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return f"{version}-{company_id}-{digest.hexdigest()[:12]}"


def is_folder_of(folder: str, version: str, company_id: int) -> bool:
    """Return whether a folder holds pictures of the company's upload `version`; releases before 0.2 had one for all of them."""
    return folder == version or folder.startswith(f"{version}-{company_id}-")


def thumbnail_key(prefix: str, folder: str, rendition: str, extension: str) -> str:
    """Return the key of one rendition in a `version_folder`, below the media's `thumbnails_prefix`."""
    return f"{prefix}/{folder}/{rendition}.{extension}"
