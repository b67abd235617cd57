"""Storage connections as the platform's rows describe them, before anything is built from them."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from schemas.errors import ErrorCode, PermanentError

FallbackPolicy = Literal["local", "never"]
"""Where thumbnails go when a tenant's own storage fails for good."""


class ProviderConfigurationError(PermanentError):
    """The connection's row is invalid: the caller falls back, and a person fixes the row."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.STORAGE_DENIED, message)


@dataclass(frozen=True)
class StorageConnection:
    """A row of storage_connections. `credentials` is the column's JSON text, encrypted or not; never part of a repr."""

    id: int
    name: str
    provider: str
    credentials: str = field(default="{}", repr=False)
    base_path: str = ""
    is_active: bool = True

    @property
    def fingerprint(self) -> str:
        """Return a fingerprint of what a provider is built from, so that an edited row gets a new one. It reveals no secret."""
        state = f"{self.provider}\0{self.credentials}\0{self.base_path}"
        return hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class LocalStorageSettings:
    """The folder where this host keeps objects, and the URL under which they are served."""

    root: Path
    base_url: str


@dataclass(frozen=True)
class HttpLimits:
    """Limits of one connection's HTTP client. The read timeout is between two bytes; storage.outbound bounds the whole."""

    max_connections: int = 10
    connect_timeout_s: float = 3.0
    read_timeout_s: float = 10.0
