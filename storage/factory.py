"""get_provider: a storage connection's row becomes the provider that it describes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from schemas.errors import ErrorCode, PermanentError, ThumbnailError
from storage.base import StorageProvider
from storage.local import LocalStorageProvider


class ProviderConfigurationError(PermanentError):
    """The connection's row cannot work as it is: the caller falls back, and a person mends the row."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.STORAGE_DENIED, message)


@dataclass(frozen=True)
class StorageConnection:
    """A row of storage_connections. Credentials are never part of a repr."""

    id: int | None
    name: str
    provider: str
    credentials: Mapping[str, object] = field(repr=False)
    base_path: str = ""
    is_active: bool = True


@dataclass(frozen=True)
class LocalStorageSettings:
    """Where this host keeps objects, and under which URL they are served."""

    root: Path
    base_url: str


def get_provider(connection: StorageConnection | None, *, local: LocalStorageSettings) -> StorageProvider:
    """The provider of `connection`; None is the host's own local storage.

    Raises ProviderConfigurationError for an unknown provider, and for settings that cannot work.
    """
    if connection is None:
        return LocalStorageProvider(local.root, local.base_url)
    build = _BUILDERS.get(connection.provider)
    if build is None:
        known = ", ".join(sorted(_BUILDERS))
        raise ProviderConfigurationError(
            f"Storage connection {connection.id} names the provider {connection.provider[:40]!r}; known are {known}."
        )
    try:
        return build(connection, local)
    except ThumbnailError as exc:
        raise ProviderConfigurationError(f"Storage connection {connection.id} cannot work: {exc.message}") from exc


def provider_label(name: str) -> str:
    """`name` where it is a known provider's, else `unknown`: rows may hold anything, metrics' labels must be bounded."""
    return name if name in _BUILDERS else "unknown"


def _build_local(connection: StorageConnection, local: LocalStorageSettings) -> StorageProvider:
    # A tenant chooses a folder below the host's root, never a path of the host.
    return LocalStorageProvider(local.root, local.base_url, connection.base_path.strip("/"))


_BUILDERS: Final[dict[str, Callable[[StorageConnection, LocalStorageSettings], StorageProvider]]] = {
    "local_disk": _build_local,
}
