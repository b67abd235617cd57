"""One fixture a storage provider: name it in PROVIDERS, and the whole contract is asked of it; and the Kafka clusters."""

import ipaddress
import json
import os
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from storage.base import StorageProvider
from storage.connections import LocalStorageSettings, StorageConnection
from storage.credentials import parse_credentials
from storage.factory import ProviderSettings, get_provider
from storage.local_disk.provider import LocalStorageProvider
from storage.memory import MemoryStorageProvider
from storage.outbound import LOOKUPS, EndpointPolicy, guarded_session
from storage.s3.credentials import MinioCredentials
from storage.s3.provider import MinioStorageProvider
from storage.yandex.provider import YandexDiskProvider
from storage.yandex.settings import YandexDiskSettings
from tests.contracts.kafka_clusters import Cluster, MemoryCluster, RealCluster
from tests.doubles.documented_provider import documented_provider
from tests.doubles.old_file_system import open_without_nameless_files
from tests.doubles.quirk_s3 import NAME, QUIRKS
from tests.doubles.scripted_s3 import ScriptedS3
from tests.servers.azure.azurite import ACCOUNT, AzureServer
from tests.servers.gcs.double import GcsDouble
from tests.servers.s3.gateway import Gateway
from tests.servers.s3.server import S3Server
from tests.servers.yandex.server import YandexDouble

URL = "http://files.example/s"
LOOPBACK = EndpointPolicy((ipaddress.ip_network("127.0.0.0/8"),), allow_http=True)
PROVIDERS = [
    "local_disk",
    "local_disk_with_base_path",
    "local_disk_without_nameless_files",
    "memory",
    "minio",
    "minio_with_base_path",
    "yandex_disk",
    "yandex_disk_with_base_path",
    "azure_blob",
    "azure_blob_with_base_path",
    "gcs",
    "gcs_with_base_path",
    "provider_of_the_documentation",
]
_PARTS = count(256)
"""Of the one bucket for all quirks, each test has a part of its own, with a name of three characters."""


@pytest.fixture
def local_disk(tmp_path: Path) -> StorageProvider:
    return LocalStorageProvider(tmp_path / "root", URL)


@pytest.fixture
def local_disk_with_base_path(tmp_path: Path) -> StorageProvider:
    return LocalStorageProvider(tmp_path / "root", URL, "b/c")


@pytest.fixture
def local_disk_without_nameless_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StorageProvider:
    """As on network and overlay file systems: an unfinished upload has a hidden name."""
    monkeypatch.setattr(os, "open", open_without_nameless_files(os.open))
    return LocalStorageProvider(tmp_path / "root", URL)


@pytest.fixture
def memory() -> StorageProvider:
    return MemoryStorageProvider(URL)


@pytest.fixture
def minio(s3_server: S3Server, s3_bucket: str) -> StorageProvider:
    return a_minio(s3_server, s3_bucket, "")


@pytest.fixture
def minio_with_base_path(s3_server: S3Server, s3_bucket: str) -> StorageProvider:
    return a_minio(s3_server, s3_bucket, "b/c")


def a_minio(server: S3Server, bucket: str, base_path: str, *, public_base_url: str | None = URL) -> StorageProvider:
    credentials = {
        "endpoint": server.endpoint_url,
        "bucket": bucket,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "public_base_url": public_base_url,
    }
    return MinioStorageProvider(parse_credentials(MinioCredentials, credentials), base_path=base_path, policy=LOOPBACK)


@pytest.fixture
def yandex_disk() -> Iterator[StorageProvider]:
    with YandexDouble() as double:
        yield a_yandex_disk(double, "")


@pytest.fixture
def yandex_disk_with_base_path() -> Iterator[StorageProvider]:
    with YandexDouble() as double:
        double.api.moves_become_operations, double.api.polls_of_a_move = True, 0
        yield a_yandex_disk(double, "b/c")


def a_yandex_disk(double: YandexDouble, base_path: str) -> StorageProvider:
    settings = YandexDiskSettings("token", double.url, public_base_url=URL)
    return YandexDiskProvider(settings, base_path=base_path, session=guarded_session(LOOPBACK))


@pytest.fixture
def azure_blob(azure_server: AzureServer, azure_container: str) -> StorageProvider:
    return an_azure_blob(azure_server, azure_container, "")


@pytest.fixture
def azure_blob_with_base_path(azure_server: AzureServer, azure_container: str) -> StorageProvider:
    return an_azure_blob(azure_server, azure_container, "b/c")


def an_azure_blob(server: AzureServer, container: str, base_path: str) -> StorageProvider:
    credentials = {
        "account": ACCOUNT,
        "container": container,
        "account_key": server.account_key,
        "endpoint": server.account_url,
        "public_base_url": URL,
    }
    return by_its_row("azure_blob", credentials, base_path)


@pytest.fixture
def gcs(gcs_server: GcsDouble, gcs_bucket: str) -> StorageProvider:
    return a_gcs(gcs_server, gcs_bucket, "")


@pytest.fixture
def gcs_with_base_path(gcs_server: GcsDouble, gcs_bucket: str) -> StorageProvider:
    return a_gcs(gcs_server, gcs_bucket, "b/c")


def a_gcs(server: GcsDouble, bucket: str, base_path: str) -> StorageProvider:
    credentials = server.credentials | {"bucket": bucket, "public_base_url": URL}
    return by_its_row("gcs", credentials, base_path)


def by_its_row(provider: str, credentials: dict[str, str], base_path: str) -> StorageProvider:
    """As a worker gets it: the SDK is loaded then."""
    connection = StorageConnection(1, "theirs", provider, json.dumps(credentials), base_path)
    return get_provider(
        connection, settings=ProviderSettings(LocalStorageSettings(Path("/none"), URL), policy=LOOPBACK)
    )


@pytest.fixture
def provider_of_the_documentation(tmp_path: Path) -> StorageProvider:
    """The example in docs/storage.md, as a package of somebody else's would bring it."""
    root = tmp_path / "root"
    root.mkdir()
    with documented_provider(tmp_path / "package"):
        connection = StorageConnection(1, "documented", "sqlite")
        return get_provider(connection, settings=ProviderSettings(LocalStorageSettings(root, URL)))


@pytest.fixture(scope="session")
def quirk_bucket(s3_server: S3Server) -> Iterator[str]:
    """A bucket for all tests of S3 servers with quirks: making one for each would take longer than the tests."""
    name = f"q-{uuid.uuid4().hex[:12]}"
    s3_server.make_bucket(name)
    yield name
    s3_server.remove_bucket(name)


@pytest.fixture
def quirk_s3(
    request: pytest.FixtureRequest, s3_server: S3Server, quirk_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StorageProvider]:
    """An S3 that does otherwise what the test's parameter says, before the real one."""
    gateway, name = Gateway(s3_server), request.node.callspec.params["provider"]
    quirk = QUIRKS[name]
    monkeypatch.setattr(LOOKUPS, "find", lambda _host, _port: ["127.0.0.1"])
    with ScriptedS3(lambda asked: quirk(asked, gateway)) as server:
        credentials = {
            "endpoint": server.url.replace("127.0.0.1", NAME),
            "bucket": quirk_bucket,
            "access_key": "quirk",
            "secret_key": "quirk",
            "public_base_url": URL,
            "addressing": "virtual" if name == "only_virtual_hosts" else "auto",
        }
        found = parse_credentials(MinioCredentials, credentials)
        yield MinioStorageProvider(found, base_path=f"{next(_PARTS):03x}", policy=LOOPBACK)
    gateway.close()


@pytest.fixture(params=[*PROVIDERS, *(pytest.param(quirk, marks=pytest.mark.slow) for quirk in QUIRKS)])
def provider(request: pytest.FixtureRequest) -> Iterator[StorageProvider]:
    """Each provider, the one for S3 also before each server that has a quirk."""
    made: StorageProvider = request.getfixturevalue("quirk_s3" if request.param in QUIRKS else request.param)
    yield made
    made.close()


@pytest.fixture(params=["memory", "kafka"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if request.param == "memory":
        yield MemoryCluster()
        return
    real = RealCluster(request.getfixturevalue("kafka"))
    yield real
    real.close()


@pytest.fixture
def group() -> str:
    return uuid.uuid4().hex
