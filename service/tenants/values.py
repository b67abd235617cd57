"""What a new company and a new storage connection are made of, checked before anything is written."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from schemas.errors import ThumbnailError
from storage.keys import check_key

MAX_NAME_CHARS: Final = 255
MAX_PATH_CHARS: Final = 500


class RowError(Exception):
    """A row cannot be written or read; the message is one sentence that says why."""

    exit_code = 1


class WrongValueError(RowError):
    """A value that was given cannot work in any installation."""

    exit_code = 2


@dataclass(frozen=True)
class NewCompany:
    """A company to add. Its keys begin with `storage_path`, or with `slug` where that is empty."""

    name: str
    slug: str
    storage_path: str = ""
    connection_id: int | None = None

    @property
    def prefix(self) -> str:
        """Return the folder that holds all the company's objects."""
        return self.storage_path or self.slug


def new_company(name: str, slug: str | None, storage_path: str | None, connection_id: int | None) -> NewCompany:
    """Return the company that these values describe; without a slug it is made of the name. Raises WrongValueError."""
    name = checked_name(name)
    chosen = slug if slug is not None else slug_of(name)
    if not chosen:
        raise WrongValueError(f"No slug can be made of the name {name[:80]!r}: give one with --slug.")
    check_path("slug", chosen, MAX_NAME_CHARS)
    if "/" in chosen:
        raise WrongValueError(f"The slug {chosen[:80]!r} has a slash: give the folder with --storage-path.")
    path = (storage_path or "").strip("/")
    if path:
        check_path("storage path", path)
    return NewCompany(name, chosen, path, connection_id)


def checked_name(name: str) -> str:
    """Return `name` without the white space around it. Raises WrongValueError for a name that the column cannot hold."""
    found = name.strip()
    if not found or len(found) > MAX_NAME_CHARS or not found.isprintable():
        raise WrongValueError(f"A name has 1 to {MAX_NAME_CHARS} characters, and no control characters.")
    return found


def slug_of(name: str) -> str:
    """Return the ASCII letters and digits of `name` in lower case, joined by hyphens; empty where it has none."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")[:MAX_NAME_CHARS]


def check_path(what: str, path: str, longest: int = MAX_PATH_CHARS) -> None:
    """Return when `path` can begin a key. Raises WrongValueError, which names `what` it is."""
    if len(path) > longest:
        raise WrongValueError(f"The {what} has {len(path)} characters; at most {longest} are allowed.")
    try:
        check_key(path)
    except ThumbnailError as exc:
        raise WrongValueError(f"The {what} cannot be used: {exc.message}") from exc
