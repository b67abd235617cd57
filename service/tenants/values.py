"""The values of a new company and of a new storage connection, checked before anything is written."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from schemas.errors import ThumbnailError
from storage.keys import check_folder

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
    """A company to add. Its keys begin with `storage_path`, or with `slug` where that is empty.

    `connection` is the id or the name of its storage connection; None is local storage.
    """

    name: str
    slug: str
    storage_path: str = ""
    connection: str | None = None

    @property
    def prefix(self) -> str:
        """Return the folder that holds all the company's objects."""
        return company_prefix(self.storage_path, self.slug)


def company_prefix(storage_path: str | None, slug: str) -> str:
    """Return the folder that holds all of a company's objects, of the values in its row."""
    return (storage_path or "").strip("/") or slug


def new_company(name: str, slug: str | None, storage_path: str | None, connection: str | None) -> NewCompany:
    """Return the company that these values describe; without a slug it is made of the name. Raises WrongValueError."""
    name = checked_name(name)
    chosen = slug if slug is not None else slug_of(name)
    if not chosen:
        raise WrongValueError(f"No slug can be made of the name {name[:80]!r}: give one with --slug.")
    return NewCompany(name, checked_slug(chosen), checked_folder(storage_path or "", "storage path"), connection)


def checked_slug(slug: str) -> str:
    """Return `slug`. Raises WrongValueError for what cannot be one."""
    check_path("slug", slug, MAX_NAME_CHARS)
    if "/" in slug:
        raise WrongValueError(f"The slug {slug[:80]!r} has a slash: give the folder with --storage-path.")
    return slug


def checked_folder(given: str, what: str) -> str:
    """Return `given` without the slashes around it; it may be empty. Raises WrongValueError, which names `what` it is."""
    path = given.strip("/")
    if path:
        check_path(what, path)
    return path


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
        check_folder(path)
    except ThumbnailError as exc:
        raise WrongValueError(f"The {what} cannot be used: {exc.message}") from exc
