"""Makes a storage connection of what an operator gives, and proves it by use before it becomes a row."""

import sys
from pathlib import Path
from typing import Final

from schemas.errors import ThumbnailError
from service.credentials import encrypt_text
from service.tenants.checks import problem_in_use
from service.tenants.values import RowError, WrongValueError, check_path, checked_name
from storage.connections import ProviderConfigurationError, StorageConnection
from storage.factory import ProviderSettings, get_provider

ALIASES: Final = {"s3": "minio"}
"""Other names of providers; rows keep the one that `get_provider` knows."""
WITHOUT_CREDENTIALS: Final = frozenset({"local_disk"})


def read_credentials(given: str | None, provider: str) -> str:
    """Return the JSON text that `given` leads to: `-` is standard input, @FILE a file. Raises WrongValueError, RowError."""
    if provider in WITHOUT_CREDENTIALS:
        if given is not None:
            raise WrongValueError(f"{provider} has no credentials: leave out --credentials.")
        return "{}"
    if given is None:
        raise WrongValueError(f"{provider} needs credentials: --credentials - reads them from standard input.")
    if given == "-":
        return sys.stdin.read()
    if not given.startswith("@"):
        # What is on the command line can be seen by every user of the host, and stays in the shell's history.
        raise WrongValueError("Credentials are not given on the command line: give - for standard input, or @FILE.")
    try:
        return Path(given[1:]).read_text(encoding="utf-8-sig", errors="replace")
    except OSError as exc:
        raise RowError(f"{exc.filename}: {exc.strerror}.") from exc


def new_connection(
    name: str, provider: str, credentials: str, base_path: str, settings: ProviderSettings
) -> StorageConnection:
    """Return the connection with its credentials encrypted. Raises WrongValueError, RowError, CredentialsKeyError."""
    path = base_path.strip("/")
    if path:
        check_path("base path", path)
    try:
        text = "{}" if provider in WITHOUT_CREDENTIALS else encrypt_text(credentials, settings.cipher)
        connection = StorageConnection(0, checked_name(name), provider, text, path)
        get_provider(connection, settings=settings).close()
    except ProviderConfigurationError as exc:
        # The cause speaks of the values; its wrapper of the id of a row, and this one has none yet.
        cause = exc.__cause__ if isinstance(exc.__cause__, ThumbnailError) else exc
        raise RowError(f"The storage connection cannot work: {cause.message}") from exc
    return connection


def prove(connection: StorageConnection, settings: ProviderSettings) -> None:
    """Return when a probe was written, read and deleted. Raises RowError."""
    problem = problem_in_use(get_provider(connection, settings=settings))
    if problem is not None:
        raise RowError(f"The storage connection was tested and not added: {problem} (--no-test adds it untested.)")


def with_alias(provider: str) -> str:
    """Return the provider's name in rows."""
    return ALIASES.get(provider, provider)
