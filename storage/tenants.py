"""Opens the storage of a company, and confines it to the company's prefix."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType
from typing import Final, Protocol, Self

import structlog

from schemas.errors import ErrorCode, PermanentError, TransientError
from storage.base import ListedObject, SourceReader, StorageProvider, StoredObject
from storage.connections import FallbackPolicy, ProviderConfigurationError, StorageConnection
from storage.factory import ProviderSettings, get_provider, provider_label
from storage.keys import check_folder, check_key, is_inside
from storage.provider_cache import ProviderCache

log = structlog.get_logger(__name__)

NO_CONNECTION: Final = "no_connection"
"""The fallback reason of a company that has chosen no storage: local storage is its own."""


@dataclass(frozen=True)
class Company:
    """A row of companies with its storage connection.

    `is_connection_missing`: the row names a connection that is not there any more.
    """

    id: int
    slug: str
    is_active: bool
    storage_path: str
    connection: StorageConnection | None
    is_connection_missing: bool = False


class CompanyDirectory(Protocol):
    """Looks up companies."""

    def find_company(self, company_id: int) -> Company | None:
        """Return the company, or None. Blocks; raises TransientError database.unavailable."""


@dataclass(frozen=True)
class TenantStorage:
    """A provider, confined to one company's prefix: every key outside of it is refused with storage.bad_key.

    `fallback_reason` says why this is not the company's own storage, whose provider is `wanted_provider`.
    Close it, or use it in a `with`: the provider may be closed after that.
    """

    provider: StorageProvider
    prefix: str
    connection_id: int | None
    wanted_provider: str
    fallback_reason: str | None = None
    release: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def is_substitute(self) -> bool:
        """Return whether this is local storage in place of another one. A company without a connection has no other."""
        return self.fallback_reason not in (None, NO_CONNECTION)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the provider. Call it once."""
        self.release()

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        """See StorageProvider."""
        return self.provider.upload_file(self._confined(key), content, content_type=content_type)

    def open_source(self, key: str) -> SourceReader:
        """See StorageProvider."""
        return self.provider.open_source(self._confined(key))

    def file_exists(self, key: str) -> bool:
        """See StorageProvider."""
        return self.provider.file_exists(self._confined(key))

    def delete_file(self, key: str) -> None:
        """See StorageProvider."""
        self.provider.delete_file(self._confined(key))

    def list_files(self, prefix: str) -> Iterator[str]:
        """See StorageProvider. `prefix` may also be the company's whole folder."""
        return self.provider.list_files(prefix if prefix == self.prefix else self._confined(prefix))

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """See StorageProvider."""
        return self.provider.list_objects(self._confined(prefix), after=after)

    def get_file_url(self, key: str) -> str:
        """See StorageProvider."""
        return self.provider.get_file_url(self._confined(key))

    def _confined(self, key: str) -> str:
        if not is_inside(check_key(key), self.prefix):
            raise PermanentError(
                ErrorCode.STORAGE_BAD_KEY, f"The key {key[:80]!r} is outside the company's storage_path."
            )
        return key


class Tenants:
    """Opens a company's storage. Rows are remembered for `cache_ttl_s` seconds, `max_cached` of them at most."""

    def __init__(
        self,
        directory: CompanyDirectory,
        *,
        settings: ProviderSettings,
        cache: ProviderCache | None = None,
        fallback: FallbackPolicy = "local",
        cache_ttl_s: float = 10.0,
        max_cached: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory: Final = directory
        self._local: Final = get_provider(None, settings=settings)
        self._providers: Final = cache or ProviderCache(lambda connection: get_provider(connection, settings=settings))
        self._fallback: Final = fallback
        self._cache_ttl_s: Final = cache_ttl_s
        self._max_cached: Final = max_cached
        self._clock: Final = clock
        self._cache: Final[OrderedDict[int, tuple[float, Company]]] = OrderedDict()
        self._lock: Final = Lock()

    def open(self, company_id: int) -> TenantStorage:
        """Return the company's storage, or local storage with the reason why.

        Raises TransientError tenant.unknown (a row may lag behind its first upload), PermanentError tenant.inactive,
        and what the directory raises; with the fallback turned off also PermanentError storage.denied.
        """
        company = self._find(company_id)
        if not company.is_active:
            raise PermanentError(ErrorCode.TENANT_INACTIVE, f"Company {company_id} is not active.")
        return self._open(company)

    def _open(self, company: Company) -> TenantStorage:
        prefix = check_folder(company.storage_path.strip("/") or company.slug)
        connection = company.connection
        if connection is None and company.is_connection_missing:
            self._require_fallback(f"The storage connection of company {company.id} does not exist.")
            return self._on_local(prefix, "unknown", "connection_missing")
        if connection is None:
            return self._on_local(prefix, "local_disk", NO_CONNECTION)
        if not connection.is_active:
            self._require_fallback(f"Storage connection {connection.id} is not active.")
            return self._on_local(prefix, provider_label(connection.provider), "connection_inactive")
        try:
            lease = self._providers.lease(connection)
        except ProviderConfigurationError as exc:
            log.warning("connection_broken", company_id=company.id, connection_id=connection.id, problem=exc.message)
            self._require_fallback(exc.message)
            return self._on_local(prefix, provider_label(connection.provider), "connection_broken")
        return TenantStorage(lease.provider, prefix, connection.id, connection.provider, release=lease.release)

    def companies_of(self, connection_id: int) -> list[int]:
        """Return the ids of the companies that use this connection, of those that were opened recently."""
        with self._lock:
            known = [(company_id, company.connection) for company_id, (_, company) in self._cache.items()]
        return sorted(
            company_id for company_id, connection in known if connection is not None and connection.id == connection_id
        )

    def fallback_for(self, tenant: TenantStorage, reason: str) -> TenantStorage | None:
        """Return local storage under the company's prefix, for when `tenant` has failed; None if there is no other storage."""
        if self._fallback == "never" or tenant.provider.name == "local_disk":
            return None
        return self._on_local(tenant.prefix, tenant.wanted_provider, reason)

    def storages_of(self, company_id: int) -> tuple[TenantStorage, ...]:
        """Return every storage that may hold the company's thumbnails: its own, and local storage after fallbacks.

        A company that is not active any more has them too: what no row shows is deleted there as well.
        """
        own = self._open(self._find(company_id))
        if own.fallback_reason is not None:
            return (own,)
        return own, self._on_local(own.prefix, own.wanted_provider, "fallback")

    def _find(self, company_id: int) -> Company:
        now = self._clock()
        with self._lock:
            entry = self._cache.get(company_id)
            if entry is not None and now - entry[0] < self._cache_ttl_s:
                return entry[1]
        company = self._directory.find_company(company_id)
        if company is None:
            raise TransientError(ErrorCode.TENANT_UNKNOWN, f"No company has the id {company_id}.")
        with self._lock:
            self._cache[company_id] = (now, company)
            self._cache.move_to_end(company_id)
            while len(self._cache) > self._max_cached:
                self._cache.popitem(last=False)
        return company

    def _on_local(self, prefix: str, wanted_provider: str, reason: str) -> TenantStorage:
        return TenantStorage(self._local, prefix, None, wanted_provider, reason)

    def _require_fallback(self, problem: str) -> None:
        if self._fallback == "never":
            raise PermanentError(ErrorCode.STORAGE_DENIED, f"{problem} The fallback to local storage is turned off.")
