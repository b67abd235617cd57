"""Where the demo's companies keep their files: local folders, a MinIO, a Yandex Disk, each really running."""

import ipaddress
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import sqlalchemy as sa
from cryptography.fernet import Fernet
from pydantic import SecretStr

from schemas.tables import companies, storage_connections
from service.demo.checkout import S3Access, require_servers
from storage.connections import LocalStorageSettings
from storage.credentials import CredentialsCipher
from storage.factory import ProviderSettings
from storage.outbound import EndpointPolicy
from storage.yandex.settings import YANDEX_API_URL, YandexDiskOptions

ProviderName = Literal["local", "minio", "yandex"]
PROVIDERS: Final[tuple[ProviderName, ...]] = ("local", "minio", "yandex")
_SLUGS: Final = ("acme", "globex", "initech")
_BUCKET: Final = "thumbnails-demo"


class UnknownProviderError(Exception):
    """The command line names a provider that the demo has not."""


@dataclass(frozen=True)
class DemoCompany:
    """A company and what keeps its files."""

    slug: str
    provider: ProviderName


def chosen_companies(text: str) -> list[DemoCompany]:
    """Two companies for one provider, or one for each of several: `minio`, `local,yandex`, `all`. Raises UnknownProviderError."""
    names = PROVIDERS if text == "all" else tuple(part.strip() for part in text.split(","))
    unknown = [name for name in names if name not in PROVIDERS]
    if unknown:
        raise UnknownProviderError(f"No provider {unknown[0]!r}: choose from {', '.join(PROVIDERS)}, or all.")
    kept: list[ProviderName] = [name for name in PROVIDERS if name in names]
    return [DemoCompany(slug, name) for slug, name in zip(_SLUGS, kept * 2 if len(kept) == 1 else kept, strict=False)]


class DemoStorages:
    """The servers that the companies need, between `with` and its end."""

    def __init__(self, chosen: list[DemoCompany], root: Path, local_url: str | None = None) -> None:
        """`root` is the folder of local storage, and `local_url` what serves it; without one, its objects have file URLs."""
        self.companies: Final = chosen
        self._root: Final = root
        self._local_url: Final = local_url or root.as_uri()
        self._key: Final = Fernet.generate_key().decode()
        self._opened: Final = ExitStack()
        self._minio: S3Access | None = None
        self._yandex_url: str | None = None

    def __enter__(self) -> Self:
        used = {company.provider for company in self.companies}
        with ExitStack() as opened:
            if "minio" in used:
                self._minio = opened.enter_context(require_servers("minio").minio(_BUCKET, print))
            if "yandex" in used:
                tokens = [f"token-of-{company.slug}" for company in self.companies]
                self._yandex_url = opened.enter_context(require_servers("yandex").yandex_disk(tokens))
            self._opened.push(opened.pop_all())
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened.close()

    @property
    def description(self) -> str:
        """For the demo's first line."""
        names = {"local": "local storage", "minio": "MinIO", "yandex": "a double of Yandex Disk"}
        return ", ".join(dict.fromkeys(names[company.provider] for company in self.companies))

    @property
    def _yandex_api_url(self) -> str:
        return self._yandex_url or YANDEX_API_URL

    @property
    def settings(self) -> ProviderSettings:
        """Return the settings that the roles read from `environment`."""
        return ProviderSettings(
            LocalStorageSettings(self._root, self._local_url),
            cipher=CredentialsCipher([SecretStr(self._key)]),
            policy=EndpointPolicy((ipaddress.ip_network("127.0.0.0/8"),), allow_http=True),
            options=(YandexDiskOptions(yandex_disk_api_url=self._yandex_api_url),),
        )

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of the roles and of the page."""
        return {
            "LOCAL_STORAGE_ROOT": str(self._root),
            "LOCAL_STORAGE_URL": self._local_url,
            "STORAGE_CREDENTIALS_KEY": self._key,
            "STORAGE_ALLOWED_NETWORKS": "127.0.0.0/8",
            "STORAGE_ALLOW_HTTP": "true",
            "YANDEX_DISK_API_URL": self._yandex_api_url,
            "WEB_IMAGE_ORIGINS": self._minio.endpoint_url if self._minio else "",
        }

    def fill_database(self, connection: sa.Connection) -> None:
        """Insert each company with its connection; credentials are encrypted."""
        for number, company in enumerate(self.companies, start=1):
            row = {"id": number, "name": f"{company.slug}'s own", "base_path": f"tenants-{number}"}
            connection.execute(sa.insert(storage_connections).values(**row, **self._connection(company)))
            row = {"id": number, "name": company.slug.title(), "slug": company.slug, "storage_path": company.slug}
            connection.execute(sa.insert(companies).values(storage_connection_id=number, **row))

    def _connection(self, company: DemoCompany) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if company.provider == "minio" and self._minio is not None:
            found = {"endpoint": self._minio.endpoint_url, "bucket": _BUCKET}
            found |= {"access_key": self._minio.access_key, "secret_key": self._minio.secret_key}
        elif company.provider == "yandex":
            found = {"token": f"token-of-{company.slug}"}
        if not found:
            return {"provider": "local_disk", "credentials": {}}
        encrypted = self.settings.cipher.encrypt(found)
        return {"provider": {"minio": "minio", "yandex": "yandex_disk"}[company.provider], "credentials": encrypted}
