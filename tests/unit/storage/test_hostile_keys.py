"""Thousands of generated keys against one tenant's storage: nothing outside of its prefix is read, written or deleted."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError
from storage.connections import LocalStorageSettings
from storage.local_disk.provider import LocalStorageProvider
from storage.tenants import TenantStorage
from tests.doubles.hostile_keys import hostile_keys

TYPE = "image/webp"
KEYS = 10_000


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a neighbour, a base path, secrets around it, and links that lead to all of them."""
    for place in (
        "outside",
        "root/acme",
        "root/acme-2",
        "root/shared/acme-2",
        "root/shared/globex",
        "root/shared/acme",
    ):
        (tmp_path / place).mkdir(parents=True)
        for name in ("secret", "a", "own"):
            (tmp_path / place / name).write_bytes(b"own" if place == "root/shared/acme" else b"THEIRS")
    acme = tmp_path / "root" / "shared" / "acme"
    (acme / "file-link").symlink_to(tmp_path / "outside" / "secret")
    (acme / "folder-link").symlink_to(tmp_path / "outside")
    (acme / "up-link").symlink_to("..")
    return tmp_path


def everything_outside(store: Path) -> dict[str, bytes | None]:
    acme = store / "root" / "shared" / "acme"
    found = (path for path in store.rglob("*") if path != acme and acme not in path.parents)
    return {str(path): path.read_bytes() if path.is_file() else None for path in found}


def test_hostile_keys_reach_nothing_outside_of_the_prefix(store: Path) -> None:
    settings = LocalStorageSettings(store / "root", "http://files.example")
    tenant = TenantStorage(LocalStorageProvider(settings.root, settings.base_url, "shared"), "acme", 5, "local_disk")
    before = everything_outside(store)
    outcomes: Counter[str] = Counter()

    def read(key: str) -> bytes:
        with tenant.open_source(key) as source:
            return source.read_at(0, 100)

    def listed(key: str) -> list[str]:
        return list(tenant.list_files(key))

    for key in hostile_keys(KEYS):
        calls: list[Callable[[str], object]] = [
            read,
            listed,
            tenant.file_exists,
            tenant.get_file_url,
            tenant.delete_file,
        ]
        calls += [lambda key: tenant.upload_file(key, b"own", content_type=TYPE), read]
        for call in calls:
            try:
                result = call(key)
            except PermanentError as error:
                assert error.code is ErrorCode.STORAGE_BAD_KEY, ascii(key)
                outcomes["refused"] += 1
            except ObjectNotFoundError:
                outcomes["absent"] += 1
            else:
                outcomes["done"] += 1
                assert result != b"THEIRS", ascii(key)
                if isinstance(result, list):
                    assert all(found.startswith("acme/") for found in result)
                if isinstance(result, str):
                    assert result.startswith("http://files.example/shared/acme/")

    assert everything_outside(store) == before
    assert min(outcomes["refused"], outcomes["done"]) > KEYS / 2, outcomes


def test_the_whole_part_of_a_company_may_be_listed_but_not_taken_for_an_object(store: Path) -> None:
    tenant = TenantStorage(LocalStorageProvider(store / "root", "http://x", "shared"), "acme", 5, "local_disk")
    assert list(tenant.list_files("acme")) == ["acme/a", "acme/own", "acme/secret"]
    calls: list[Callable[[str], object]] = [tenant.open_source, tenant.delete_file, tenant.file_exists]
    for call in calls:
        with pytest.raises(PermanentError):
            call("acme")
    for prefix in ("acme-2", "", "shared", "acm"):
        with pytest.raises(PermanentError):
            list(tenant.list_files(prefix))
