"""Ten thousand generated keys against one tenant of each provider: nothing outside of its part is read, written or deleted."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import pytest

from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError
from storage.base import StorageProvider
from storage.keys import is_key
from storage.memory import MemoryStorageProvider
from storage.tenants import TenantStorage
from tests.contracts.conftest import a_gcs, a_minio, a_yandex_disk, an_azure_blob
from tests.contracts.objects import TYPE, put
from tests.doubles.hostile_keys import hostile_keys
from tests.servers.azure.azurite import AzureServer
from tests.servers.gcs.double import GcsDouble
from tests.servers.s3.server import S3Server
from tests.servers.yandex.server import YandexDouble
from tests.system.tenants import BucketStore, ContainerStore, GcsStore

KEYS = 10_000
WRITTEN = 8
"""Of the keys that are harmless, one in so many is also written and deleted: that costs most requests."""
THEIRS = b"THEIRS"


@dataclass(frozen=True)
class Place:
    """A provider with a base path, whose whole store can be looked at."""

    provider: StorageProvider
    everything: Callable[[], dict[str, bytes]]
    own: str


@pytest.fixture
def in_memory() -> Place:
    provider = MemoryStorageProvider()
    return Place(provider, lambda: dict(provider.objects), "acme/")


@pytest.fixture
def in_minio(s3_server: S3Server, s3_bucket: str) -> Place:
    store = BucketStore(s3_server, s3_bucket)
    for key in ("secret", "acme/secret", "shared/secret"):
        store.put(key, THEIRS)
    return Place(a_minio(s3_server, s3_bucket, "shared"), store.objects, "shared/acme/")


@pytest.fixture
def in_yandex_disk() -> Iterator[Place]:
    with YandexDouble() as double:
        disk = double.disks["token"]
        disk.make_folder("/acme")
        for path in ("/secret", "/acme/secret"):
            disk.put(path, THEIRS)
        provider = a_yandex_disk(double, "shared")
        yield Place(provider, lambda: {path.lstrip("/"): found for path, found in disk.files().items()}, "shared/acme/")


@pytest.fixture
def in_azure(azure_server: AzureServer, azure_container: str) -> Place:
    store = ContainerStore(azure_server, azure_container)
    for key in ("secret", "acme/secret", "shared/secret"):
        store.put(key, THEIRS)
    return Place(an_azure_blob(azure_server, azure_container, "shared"), store.objects, "shared/acme/")


@pytest.fixture
def in_gcs(gcs_server: GcsDouble, gcs_bucket: str) -> Place:
    store = GcsStore(gcs_server, gcs_bucket)
    for key in ("secret", "acme/secret", "shared/secret"):
        store.put(key, THEIRS)
    return Place(a_gcs(gcs_server, gcs_bucket, "shared"), store.objects, "shared/acme/")


@pytest.mark.slow
@pytest.mark.timeout(600)  # some twelve thousand requests
@pytest.mark.parametrize("where", ["in_memory", "in_minio", "in_yandex_disk", "in_azure", "in_gcs"])
def test_hostile_keys_reach_nothing_outside_of_the_tenants_part(where: str, request: pytest.FixtureRequest) -> None:
    place: Place = request.getfixturevalue(where)
    for key in ("acme-2/secret", "globex/secret", "acme-2/a"):
        put(place.provider, key, THEIRS)
    put(place.provider, "acme/own", b"own")
    tenant = TenantStorage(place.provider, "acme", 5, "minio")
    before = outside(place)

    # What is written is deleted again: one thread has all attacks with a key, or they would meet each other.
    shares: list[list[tuple[int, str]]] = [[] for _ in range(4)]
    for number, key in enumerate(hostile_keys(KEYS)):
        shares[hash(key) % len(shares)].append((number, key))
    with ThreadPoolExecutor(len(shares)) as pool:
        found = pool.map(lambda share: sum((attack(tenant, *numbered) for numbered in share), Counter[str]()), shares)
        outcomes = sum(found, Counter[str]())

    assert outside(place) == before
    assert outcomes["refused"] + outcomes["harmless"] == KEYS
    assert min(outcomes["refused"], outcomes["harmless"]) > KEYS / 10, outcomes
    assert outcomes["written"] > KEYS / 100, outcomes


def outside(place: Place) -> dict[str, bytes]:
    return {key: content for key, content in place.everything().items() if not key.startswith(place.own)}


def attack(tenant: TenantStorage, number: int, key: str) -> Counter[str]:
    """What became of one key: refused by every method, or harmless."""

    def read() -> None:
        with tenant.open_source(key) as source:
            assert source.read_at(0, 100) != THEIRS, ascii(key)

    def listed() -> None:
        assert all(found.startswith("acme/") for found in tenant.list_files(key)), ascii(key)

    if not (is_key(key) and key.startswith("acme/")):
        calls: list[Callable[[], object]] = [
            read,
            lambda: tenant.file_exists(key),
            lambda: tenant.get_file_url(key),
            lambda: tenant.delete_file(key),
            lambda: tenant.upload_file(key, b"own", content_type=TYPE),
        ]
        calls += [listed] if key != tenant.prefix else []  # its whole part may be listed
        assert [refused(call) for call in calls] == [True] * len(calls), ascii(key)
        return Counter(refused=1)
    with suppress(ObjectNotFoundError):
        if refused(read):  # by the store itself, as Azure does with backslashes
            return Counter(harmless=1)
    if number % WRITTEN:
        return Counter(harmless=1)
    written = not refused(lambda: tenant.upload_file(key, b"own", content_type=TYPE))
    listed()
    tenant.file_exists(key)
    tenant.delete_file(key)
    return Counter(harmless=1, written=int(written))


def refused(call: Callable[[], object]) -> bool:
    """Whether the key itself is refused; a store may do so for one that is below another object."""
    try:
        call()
    except PermanentError as error:
        assert error.code is ErrorCode.STORAGE_BAD_KEY
        return True
    return False
