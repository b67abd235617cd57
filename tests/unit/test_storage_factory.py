"""get_provider and tenants: which storage a company gets, and the wall around it."""

from pathlib import Path

import pytest

from schemas.errors import ErrorCode, PermanentError, TransientError
from service.settings import ConnectionSettings
from storage.connections import FallbackPolicy, LocalStorageSettings, ProviderConfigurationError, StorageConnection
from storage.factory import ProviderSettings, get_provider, provider_label
from storage.tenants import Company, Tenants
from storage.yandex.settings import YandexDiskOptions
from tests.doubles.documented_provider import documented_provider

TYPE = "image/webp"


def a_connection(**changes: object) -> StorageConnection:
    fields: dict[str, object] = {
        "id": 5,
        "name": "disk",
        "provider": "local_disk",
        "credentials": '{"secret": "s3cr3t"}',
    }
    return StorageConnection(**(fields | changes))  # type: ignore[arg-type]


def a_company(connection: StorageConnection | None, **changes: object) -> Company:
    fields: dict[str, object] = {
        "id": 1,
        "slug": "acme",
        "is_active": True,
        "storage_path": "acme",
        "connection": connection,
    }
    return Company(**(fields | changes))  # type: ignore[arg-type]


class Directory:
    """Companies in a dictionary; counts the look-ups."""

    def __init__(self, *companies: Company) -> None:
        self.companies = {company.id: company for company in companies}
        self.lookups = 0

    def find_company(self, company_id: int) -> Company | None:
        self.lookups += 1
        return self.companies.get(company_id)


def tenants_of(root: Path, *companies: Company, fallback: FallbackPolicy = "local") -> Tenants:
    return Tenants(
        Directory(*companies),
        settings=ProviderSettings(LocalStorageSettings(root, "http://files.example")),
        fallback=fallback,
    )


def test_no_connection_is_local_storage(tmp_path: Path) -> None:
    assert (
        get_provider(None, settings=ProviderSettings(LocalStorageSettings(tmp_path, "http://x"))).name == "local_disk"
    )


def test_an_unknown_provider_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(ProviderConfigurationError, match=r"'gopher'; known are azure_blob, gcs, local_disk"):
        get_provider(
            a_connection(provider="gopher"), settings=ProviderSettings(LocalStorageSettings(tmp_path, "http://x"))
        )


@pytest.mark.parametrize("base_path", ["../other", "a/../../b", "a\\b"])
def test_a_base_path_that_leaves_the_root_is_a_broken_configuration(tmp_path: Path, base_path: str) -> None:
    with pytest.raises(ProviderConfigurationError):
        get_provider(
            a_connection(base_path=base_path), settings=ProviderSettings(LocalStorageSettings(tmp_path, "http://x"))
        )


def test_the_operators_settings_of_a_provider_reach_it(tmp_path: Path) -> None:
    settings = ProviderSettings(
        LocalStorageSettings(tmp_path, "http://x"), options=(YandexDiskOptions(yandex_disk_api_url="ftp://elsewhere"),)
    )
    connection = a_connection(provider="yandex_disk", credentials='{"token": "t"}')
    with pytest.raises(ProviderConfigurationError, match="must begin with https"):
        get_provider(connection, settings=settings)
    get_provider(connection, settings=ProviderSettings(settings.local)).close()


def test_an_environment_variable_is_a_providers_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YANDEX_DISK_API_URL", "https://elsewhere.example")
    settings = ProviderSettings(LocalStorageSettings(tmp_path, "http://x"), options=(ConnectionSettings(),))
    assert settings.options_of(YandexDiskOptions).yandex_disk_api_url == "https://elsewhere.example"


def test_credentials_are_not_in_the_repr() -> None:
    assert "s3cr3t" not in repr(a_company(a_connection()))


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        (None, "no_connection"),
        (a_connection(is_active=False), "connection_inactive"),
        (a_connection(provider="gopher"), "connection_broken"),
        (a_connection(base_path=".."), "connection_broken"),
    ],
)
def test_a_company_whose_storage_cannot_work_gets_local_storage_and_the_reason(
    tmp_path: Path, connection: StorageConnection | None, reason: str
) -> None:
    tenant = tenants_of(tmp_path, a_company(connection)).open(1)
    tenant.upload_file("acme/a", b"x", content_type=TYPE)

    assert (tenant.fallback_reason, tenant.connection_id) == (reason, None)
    assert (tmp_path / "acme" / "a").read_bytes() == b"x"


def test_without_fallback_a_broken_connection_is_an_error(tmp_path: Path) -> None:
    tenants = tenants_of(tmp_path, a_company(a_connection(is_active=False)), fallback="never")
    with pytest.raises(PermanentError) as caught:
        tenants.open(1)
    assert caught.value.code is ErrorCode.STORAGE_DENIED


def test_an_unknown_company_may_come_later(tmp_path: Path) -> None:
    with pytest.raises(TransientError) as caught:
        tenants_of(tmp_path).open(7)
    assert caught.value.code is ErrorCode.TENANT_UNKNOWN


def test_an_inactive_company_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as caught:
        tenants_of(tmp_path, a_company(None, is_active=False)).open(1)
    assert caught.value.code is ErrorCode.TENANT_INACTIVE


def test_what_an_inactive_company_has_left_can_be_deleted(tmp_path: Path) -> None:
    tenants = tenants_of(tmp_path, a_company(None, is_active=False))
    assert [storage.prefix for storage in tenants.storages_of(1)] == ["acme"]


def test_an_empty_storage_path_is_the_slug_never_the_root(tmp_path: Path) -> None:
    assert tenants_of(tmp_path, a_company(None, storage_path="")).open(1).prefix == "acme"


def test_rows_are_remembered_for_a_while(tmp_path: Path) -> None:
    directory, now = Directory(a_company(None)), [0.0]
    tenants = Tenants(
        directory,
        settings=ProviderSettings(LocalStorageSettings(tmp_path, "http://x")),
        cache_ttl_s=10,
        max_cached=2,
        clock=lambda: now[0],
    )
    tenants.open(1)
    tenants.open(1)
    assert directory.lookups == 1
    now[0] = 10.5
    directory.companies[1] = a_company(None, storage_path="moved")
    assert tenants.open(1).prefix == "moved"


def test_local_storage_has_no_fallback_to_itself(tmp_path: Path) -> None:
    tenants = tenants_of(tmp_path, a_company(a_connection()))
    assert tenants.fallback_for(tenants.open(1), "storage.full") is None


def test_two_companies_on_one_connection_do_not_reach_each_other(tmp_path: Path) -> None:
    connection = a_connection(base_path="shared")
    tenants = tenants_of(
        tmp_path, a_company(connection), a_company(connection, id=2, slug="acme-2", storage_path="acme-2")
    )
    one, two = tenants.open(1), tenants.open(2)
    two.upload_file("acme-2/secret", b"theirs", content_type=TYPE)
    for key in ("acme-2/secret", "acme/../acme-2/secret", "acme-2", "acme"):
        with pytest.raises(PermanentError):
            one.open_source(key)
        with pytest.raises(PermanentError):
            one.upload_file(key, b"mine", content_type=TYPE)
    assert (tmp_path / "shared" / "acme-2" / "secret").read_bytes() == b"theirs"


def test_a_connection_whose_row_is_gone_is_told_apart_from_none(tmp_path: Path) -> None:
    tenant = tenants_of(tmp_path, a_company(None, is_connection_missing=True)).open(1)
    assert (tenant.fallback_reason, tenant.wanted_provider) == ("connection_missing", "unknown")
    with pytest.raises(PermanentError, match="does not exist"):
        tenants_of(tmp_path, a_company(None, is_connection_missing=True), fallback="never").open(1)


def test_every_provider_of_the_platform_is_known(tmp_path: Path) -> None:
    minio = '{"bucket": "bucket", "access_key": "a", "secret_key": "b"}'
    rows = {"local_disk": "{}", "minio": minio, "yandex_disk": '{"token": "t"}'}
    for name, credentials in rows.items():
        provider = get_provider(
            a_connection(provider=name, credentials=credentials),
            settings=ProviderSettings(LocalStorageSettings(tmp_path, "http://x")),
        )
        assert provider.name == provider_label(name) == name
        provider.close()
    assert provider_label("gopher") == "unknown"


@pytest.mark.parametrize("name", ["minio", "yandex_disk"])
@pytest.mark.parametrize("base_path", ["../other", "a/../../b", "a\\b", "a//b", "a/%2e%2e/b"])
def test_no_provider_takes_a_base_path_that_leads_out(tmp_path: Path, name: str, base_path: str) -> None:
    credentials = '{"bucket": "bucket", "access_key": "a", "secret_key": "b"}' if name == "minio" else '{"token": "t"}'
    connection = a_connection(provider=name, credentials=credentials, base_path=base_path)
    with pytest.raises(ProviderConfigurationError):
        get_provider(connection, settings=ProviderSettings(LocalStorageSettings(tmp_path, "http://x")))


def test_an_installed_package_brings_a_provider(tmp_path: Path) -> None:
    settings = ProviderSettings(LocalStorageSettings(tmp_path, "http://x"))
    with pytest.raises(ProviderConfigurationError, match=r"'sqlite'; known are azure_blob, gcs, local_disk, "):
        get_provider(a_connection(provider="sqlite"), settings=settings)
    with documented_provider(tmp_path / "package"):
        assert provider_label("sqlite") == "sqlite"
        get_provider(a_connection(provider="sqlite", credentials="{}"), settings=settings).check()
        with pytest.raises(ProviderConfigurationError, match=r"'gopher'; known are .*, sqlite,"):
            get_provider(a_connection(provider="gopher"), settings=settings)
