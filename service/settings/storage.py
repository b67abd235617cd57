"""Where media, thumbnails and rows are."""

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from service.settings.component import Component
from storage.azure.settings import AzureOptions
from storage.breaker import BreakerPolicy
from storage.connections import FallbackPolicy, HttpLimits, LocalStorageSettings
from storage.gcs.settings import GcsOptions
from storage.s3.settings import S3Options
from storage.yandex.settings import YandexDiskOptions

_QUERY_PASSWORD: Final = re.compile(r"([?&](?:ssl)?password=)[^&]*")
_NO_PORT: Final = re.compile(r"^([^:/?\[]+):(?!\d+(?:,[^:/?,]+:\d+)*(?:[/?]|$))[^/?]*")


class StorageSettings(Component):
    """Local storage, and what happens when a tenant's own storage fails."""

    local_storage_root: Path = Field(Path("storage-data"), description="Root folder of local storage.")
    local_storage_url: str = Field(
        "http://localhost:8000/storage",
        description="Base URL of local storage: thumbnail URLs begin with it. `thumbnails serve-local` serves the default.",
    )
    storage_fallback: FallbackPolicy = Field(
        "local",
        description="local: use local storage when the tenant's storage fails permanently; never: make a dead letter.",
    )
    tenant_cache_s: float = Field(10.0, ge=0, description="Seconds for which a company's storage settings are cached.")

    @property
    def local(self) -> LocalStorageSettings:
        """Return where local storage is, and under which URL."""
        return LocalStorageSettings(root=self.local_storage_root.absolute(), base_url=self.local_storage_url)


class ConnectionSettings(S3Options, AzureOptions, GcsOptions, YandexDiskOptions, Component):
    """Tenants' own storage connections. The base classes hold the settings of single providers."""

    storage_credentials_key: SecretStr | None = Field(
        None,
        description="Fernet keys for storage_connections.credentials, newest first: KEY,OLD_KEY."
        " `thumbnails credentials key` makes one.",
    )
    storage_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (), description="Private networks that storage connections may use: 10.0.0.0/8,fd00::/8."
    )
    storage_allow_http: bool = Field(False, description="Whether storage connections may use HTTP without TLS.")
    storage_connect_timeout_s: float = Field(
        HttpLimits.connect_timeout_s, gt=0, description="Timeout to connect to a storage, in seconds."
    )
    storage_read_timeout_s: float = Field(
        HttpLimits.read_timeout_s, gt=0, description="Timeout between two bytes of a storage's answer, in seconds."
    )
    storage_pool_size: int = Field(
        HttpLimits.max_connections, ge=1, le=256, description="Maximum of HTTP connections for each storage connection."
    )
    storage_max_open: int = Field(
        64, ge=1, le=4096, description="Maximum of storage connections that are open at once."
    )
    storage_breaker_failures: int = Field(
        BreakerPolicy.failures,
        ge=1,
        description="Failures in a row that open the circuit breaker of a storage connection.",
    )
    storage_breaker_open_s: float = Field(
        BreakerPolicy.open_s,
        gt=0,
        description="Seconds that the circuit breaker stays open before one call tries the storage again.",
    )

    @field_validator("storage_allowed_networks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class DatabaseSettings(Component):
    """The platform's database."""

    database_url: str = Field(
        "sqlite:///thumbnails.db",
        description="postgresql://USER:PASSWORD@HOST:PORT/DATABASE, also as postgres://…, through PgBouncer, and with"
        " several servers: …@HOST:PORT,HOST:PORT/DATABASE?target_session_attrs=read-write; or sqlite:///FILE.",
    )
    tenant_tables_read_only: bool = Field(
        False,
        description="true where your platform owns the tables companies and storage_connections: `thumbnails company`,"
        " `thumbnails storage` and `thumbnails credentials` then change no row in them.",
    )


def redact_url(url: str) -> str:
    """`url` with its passwords replaced by ***, also where it is written wrongly."""
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
    rest = _QUERY_PASSWORD.sub(r"\1***", rest)
    login, at, place = rest.rpartition("@")
    user, colon, _password = login.partition(":")
    if not at:  # after the colon is the port, or a password without the @HOST that must follow it
        place = _NO_PORT.sub(r"\1:***", rest)
    return f"{scheme}{separator}{user}{':***' if colon else ''}{at}{place}"
