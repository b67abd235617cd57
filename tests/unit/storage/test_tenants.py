"""Tenants: what is remembered and for how long, which storages a company has, and that no message has a secret."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.errors import ErrorCode, PermanentError, TransientError
from storage.connections import FallbackPolicy, LocalStorageSettings, ProviderConfigurationError, StorageConnection
from storage.factory import ProviderSettings, get_provider
from storage.memory import MemoryStorageProvider
from storage.tenants import Company, Tenants, TenantStorage

SECRET = "s3cr3t-k3y"  # noqa: S105 - the tests look for it in messages


class Directory:
    """Knows every company; remembers who was asked for."""

    def __init__(self, connection: StorageConnection | None = None, storage_path: str | None = None) -> None:
        self.asked: list[int] = []
        self.error: TransientError | None = None
        self._connection = connection
        self._storage_path = storage_path

    def find_company(self, company_id: int) -> Company | None:
        self.asked.append(company_id)
        if self.error is not None:
            raise self.error
        path = f"c-{company_id}" if self._storage_path is None else self._storage_path
        return Company(company_id, "" if path == "" else f"slug-{company_id}", True, path, self._connection)


def a_connection(provider: str = "local_disk", *, base_path: str = "", is_active: bool = True) -> StorageConnection:
    return StorageConnection(5, "disk", provider, json.dumps({"secret_key": SECRET}), base_path, is_active)


def tenants_of(directory: Directory, root: Path, *, max_cached: int = 8, fallback: FallbackPolicy = "local") -> Tenants:
    local = LocalStorageSettings(root, "http://files.example")
    return Tenants(
        directory,
        settings=ProviderSettings(local),
        fallback=fallback,
        cache_ttl_s=10,
        max_cached=max_cached,
        clock=lambda: 0.0,
    )


def test_the_least_recently_found_company_is_forgotten_first(tmp_path: Path) -> None:
    directory = Directory()
    tenants = tenants_of(directory, tmp_path, max_cached=2)
    for company_id in (1, 2, 2, 1, 3, 2, 1):
        tenants.open(company_id)
    assert directory.asked == [1, 2, 3, 1]


def test_a_directory_that_fails_is_asked_again_and_its_error_passes_through(tmp_path: Path) -> None:
    directory = Directory()
    directory.error = TransientError(ErrorCode.DATABASE_UNAVAILABLE, "The database sleeps.")
    tenants = tenants_of(directory, tmp_path)
    with pytest.raises(TransientError) as caught:
        tenants.open(1)
    assert caught.value is directory.error
    directory.error = None
    assert tenants.open(1).prefix == "c-1"


def test_threads_get_the_company_that_they_ask_for(tmp_path: Path) -> None:
    tenants = tenants_of(Directory(), tmp_path, max_cached=3)
    wanted = [number % 7 for number in range(2000)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda company_id: tenants.open(company_id).prefix, wanted))
    assert found == [f"c-{company_id}" for company_id in wanted]


@pytest.mark.parametrize("storage_path", ["..", "a/../b", "a\\b", ".", "a//b"])
def test_a_storage_path_that_is_no_folder_is_refused(tmp_path: Path, storage_path: str) -> None:
    with pytest.raises(PermanentError) as caught:
        tenants_of(Directory(storage_path=storage_path), tmp_path).open(1)
    assert caught.value.code is ErrorCode.STORAGE_BAD_KEY


def test_without_path_and_slug_there_is_no_storage_at_all(tmp_path: Path) -> None:
    with pytest.raises(PermanentError):
        tenants_of(Directory(storage_path=""), tmp_path).open(1)


def test_a_company_without_a_connection_is_on_local_storage_by_design_also_when_fallbacks_are_off(
    tmp_path: Path,
) -> None:
    tenant = tenants_of(Directory(), tmp_path, fallback="never").open(1)
    assert (tenant.provider.name, tenant.fallback_reason) == ("local_disk", "no_connection")


@pytest.mark.parametrize(
    "connection", [a_connection("gopher"), a_connection(base_path="../.."), a_connection(is_active=False)]
)
def test_what_is_told_of_a_broken_connection_has_no_secret_in_it(tmp_path: Path, connection: StorageConnection) -> None:
    with pytest.raises(PermanentError) as caught:
        tenants_of(Directory(connection), tmp_path, fallback="never").open(1)
    causes: list[BaseException] = [caught.value]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    tenant = tenants_of(Directory(connection), tmp_path).open(1)
    assert SECRET not in repr((causes, [str(cause) for cause in causes], connection, tenant))


def test_credentials_cannot_choose_a_folder_of_the_host(tmp_path: Path) -> None:
    credentials = {"root": "/etc", "base_path": "/etc", "base_url": "http://evil.example"}
    connection = StorageConnection(5, "disk", "local_disk", json.dumps(credentials), "shared")
    provider = get_provider(
        connection, settings=ProviderSettings(LocalStorageSettings(tmp_path, "http://files.example"))
    )
    provider.upload_file("acme/a", b"x", content_type="image/webp")
    assert (tmp_path / "shared" / "acme" / "a").read_bytes() == b"x"
    assert provider.get_file_url("acme/a") == "http://files.example/shared/acme/a"


def test_a_broken_configuration_is_an_error_of_our_tree(tmp_path: Path) -> None:
    with pytest.raises(ProviderConfigurationError) as caught:
        get_provider(a_connection("gopher"), settings=ProviderSettings(LocalStorageSettings(tmp_path, "http://x")))
    assert isinstance(caught.value, PermanentError)
    assert caught.value.code is ErrorCode.STORAGE_DENIED


def test_when_the_tenants_own_storage_fails_local_storage_takes_over_under_the_same_prefix(tmp_path: Path) -> None:
    tenants = tenants_of(Directory(), tmp_path)
    own = TenantStorage(MemoryStorageProvider(), "acme", 5, "minio")
    fallback = tenants.fallback_for(own, "storage.unavailable")
    assert fallback is not None
    fallback.upload_file("acme/a", b"x", content_type="image/webp")
    assert (tmp_path / "acme" / "a").read_bytes() == b"x"
    assert (fallback.connection_id, fallback.wanted_provider, fallback.fallback_reason) == (
        None,
        "minio",
        "storage.unavailable",
    )
    assert tenants_of(Directory(), tmp_path, fallback="never").fallback_for(own, "storage.unavailable") is None


def test_a_company_has_its_own_place_and_the_one_for_fallbacks(tmp_path: Path) -> None:
    own, local = tenants_of(Directory(a_connection(base_path="shared")), tmp_path).storages_of(1)
    assert own.get_file_url("c-1/a") == "http://files.example/shared/c-1/a"
    assert local.get_file_url("c-1/a") == "http://files.example/c-1/a"
    assert len(tenants_of(Directory(), tmp_path).storages_of(1)) == 1


def test_a_connection_is_known_by_the_companies_that_use_it(tmp_path: Path) -> None:
    connection = a_connection()
    tenants = tenants_of(Directory(connection), tmp_path)
    assert tenants.companies_of(connection.id) == []
    for company_id in (9, 4):
        tenants.open(company_id).close()
    assert tenants.companies_of(connection.id) == [4, 9]
    assert tenants.companies_of(connection.id + 1) == []
