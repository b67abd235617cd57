"""What all tests share: the real services, and what the header says of them."""

import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import structlog
from mypy_boto3_s3 import S3Client

from service.demo.broker import NoKafkaError
from service.kafka.topics import delete_topics
from service.settings import KafkaSettings
from tests.servers import pgbouncer as pgbouncer_service
from tests.servers import postgres as postgres_service
from tests.servers import toxiproxy as toxiproxy_service
from tests.servers.azure import azurite as azure_service
from tests.servers.azure.azurite import AzureServer, Azurite, NoAzureError
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.gcs.double import GcsDouble
from tests.servers.go_tools import time_to_build
from tests.servers.kafka import choice as kafka_service
from tests.servers.kafka.apache import ApacheKafka
from tests.servers.kafka.secure import SecureKafka
from tests.servers.pgbouncer import NoPgBouncerError, PgBouncer
from tests.servers.postgres import NoPostgresError, SystemPostgres
from tests.servers.s3 import choice as s3_service
from tests.servers.s3.minio import LocalMinio
from tests.servers.s3.server import NoS3Error, S3Server
from tests.servers.toxiproxy import NoToxiproxyError, Toxiproxy
from tests.sharing import Sharing, may_have

_TESTS = Path(__file__).parent
_FOLDERS = ("system", "integration", "deployment", "contracts", "documents", "unit")
"""From those whose tests take long to those whose tests are quick."""


def pytest_report_header() -> list[str]:
    return [
        f"Kafka: {kafka_service.describe_choice()}",
        f"PostgreSQL: {postgres_service.describe_choice()}",
        f"PgBouncer: {pgbouncer_service.describe_choice()}",
        f"S3: {s3_service.describe_choice()}",
        f"Azure Blob Storage: {azure_service.describe_choice()}",
        f"Toxiproxy: {toxiproxy_service.describe_choice()}",
        f"REQUIRE_REAL_SERVICES: {os.environ.get('REQUIRE_REAL_SERVICES', 'not set: a missing part is skipped')}",
    ]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Load no file in which no test can be of the run's mark: loading all takes longer than the few of `-m alone`."""
    is_test_file = collection_path.suffix == ".py" and collection_path.name.startswith("test_")
    return True if is_test_file and not may_have(config.option.markexpr, collection_path.read_text()) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, so that no process of xdist is left alone with one; and last where the third process begins."""
    items.sort(key=lambda item: (_FOLDERS.index(_folder(item)), (_folder(item) == "unit") == _is_slow(item)))


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(_TESTS).parts[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Sharing:
    return Sharing(config, log)


def missing(reason: str) -> NoReturn:
    """A missing real part is an error where it is required, and a skip on a laptop."""
    if os.environ.get("REQUIRE_REAL_SERVICES"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def _no_logging_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test that starts a role in this process sets up its logs, which no later test may get.

    A logger that was cached then would write to that test's standard error for ever, whatever a later test captures.
    """
    structlog.contextvars.clear_contextvars()
    configure = structlog.configure
    monkeypatch.setattr(
        structlog, "configure", lambda **given: configure(**given | {"cache_logger_on_first_use": False})
    )
    root, levels = logging.getLogger(), {name: logger.level for name, logger in _loggers().items()}
    level, handlers = root.level, set(root.handlers)
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root.setLevel(level)
        for handler in [found for found in root.handlers if type(found) is logging.StreamHandler]:
            if handler not in handlers:
                root.removeHandler(handler)
        for name, logger in _loggers().items():
            logger.setLevel(levels.get(name, logging.NOTSET))


def _loggers() -> dict[str, logging.Logger]:
    """All that have a name and are no placeholder."""
    found = logging.getLogger().manager.loggerDict
    return {name: logger for name, logger in found.items() if isinstance(logger, logging.Logger)}


@pytest.fixture(autouse=True)
def _no_priority_over_others() -> Iterator[None]:
    """A test that left its process with real-time priority would starve every test beside it: see `ordinary_priority`."""
    yield
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own environment must not decide what a test sees."""
    for name in ("DATABASE_URL", "LOCAL_STORAGE_ROOT", "LOCAL_STORAGE_URL", "KAFKA_TOPIC_PREFIX", "WORKER_GROUP"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith(("KAFKA_SECURITY_", "KAFKA_SASL_", "KAFKA_SSL_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap servers of a real broker that all tests share; take a topic prefix of your own."""
    try:
        with kafka_service.running(kafka_service.choose_kafka()) as servers:
            yield servers
    except NoKafkaError as exc:
        missing(str(exc))


@pytest.fixture
def own_kafka() -> Iterator[ApacheKafka]:
    """A broker for one test alone, which may stop, kill and restart it."""
    try:
        broker = ApacheKafka()
        broker.start()
    except NoKafkaError as exc:
        missing(str(exc))
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture(scope="session")
def secure_kafka() -> Iterator[SecureKafka]:
    """A broker with TLS and SASL listeners that all tests share; take a topic prefix of your own."""
    try:
        broker = SecureKafka()
        broker.start()
    except NoKafkaError as exc:
        missing(str(exc))
    try:
        yield broker
    finally:
        broker.stop()


@pytest.fixture
def topic_prefix() -> Iterator[str]:
    """A prefix of one test's own; topics under it are removed from a cluster that is not ours."""
    prefix = f"t-{uuid.uuid4().hex[:8]}."
    yield prefix
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        delete_topics(KafkaSettings(kafka_bootstrap_servers=given, kafka_topic_prefix=prefix))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    try:
        server = postgres_service.choose_postgres()
        url = server.start()
    except NoPostgresError as exc:
        missing(str(exc))
    try:
        yield url
    finally:
        server.stop()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty PostgreSQL database for one test."""
    url = postgres_service.new_database(postgres_server)
    yield url
    postgres_service.drop_database(postgres_server, url)


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    """An empty PostgreSQL database for one test, by way of PgBouncer in transaction mode."""
    try:
        bouncer = PgBouncer(postgres_url)
    except NoPgBouncerError as exc:
        missing(str(exc))
    try:
        yield bouncer.wait_until_it_answers()
    finally:
        bouncer.stop()


@pytest.fixture
def own_postgres() -> Iterator[SystemPostgres]:
    """A server for one test alone, which may stop and restart it."""
    binaries = postgres_service.system_binaries()
    if binaries is None:
        missing("No PostgreSQL of the system's own: install the package postgresql.")
    server = SystemPostgres(binaries)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3_server(pytestconfig: pytest.Config) -> Iterator[S3Server]:
    """An S3 that all tests share; take a bucket of your own."""
    try:
        with time_to_build(pytestconfig) as say:
            found = s3_service.choose_s3(say)
        found.start()
    except NoS3Error as exc:
        missing(str(exc))
    try:
        yield found.server
    finally:
        found.stop()


@pytest.fixture
def s3_bucket(s3_server: S3Server) -> Iterator[str]:
    """An empty bucket for one test."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    s3_server.make_bucket(name)
    yield name
    s3_server.remove_bucket(name)


@pytest.fixture
def s3_client(s3_server: S3Server) -> Iterator[S3Client]:
    """boto3's client with the keys of the server's owner."""
    client = s3_server.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def azure_server(pytestconfig: pytest.Config) -> Iterator[AzureServer]:
    """An account of Azure Blob Storage that all tests share; take a container of your own."""
    try:
        with time_to_build(pytestconfig) as say:
            azurite = Azurite(say)
        azurite.start()
    except NoAzureError as exc:
        missing(str(exc))
    try:
        yield azurite.server
    finally:
        azurite.stop()


@pytest.fixture
def azure_container(azure_server: AzureServer) -> Iterator[str]:
    """An empty container for one test."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    azure_server.make_container(name)
    yield name
    azure_server.remove_container(name)


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsDouble]:
    """A double of Google Cloud Storage that all tests share; take a bucket of your own."""
    with GcsDouble() as double:
        yield double


@pytest.fixture
def gcs_bucket(gcs_server: GcsDouble) -> Iterator[str]:
    """An empty bucket for one test."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    gcs_server.buckets[name] = {}
    yield name
    del gcs_server.buckets[name]


@pytest.fixture
def own_minio(pytestconfig: pytest.Config) -> Iterator[LocalMinio]:
    """A MinIO for one test alone, which may stop, kill and restart it."""
    yield from _running_minio(pytestconfig, None)


@pytest.fixture
def own_tls_minio(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[LocalMinio]:
    """A MinIO that speaks https alone, with a certificate of an authority that nobody knows."""
    yield from _running_minio(pytestconfig, make_certificates(tmp_path / "certificates"))


def _running_minio(config: pytest.Config, tls: Certificates | None) -> Iterator[LocalMinio]:
    try:
        with time_to_build(config) as say:
            minio = LocalMinio(tls=tls, say=say)
        minio.start()
    except NoS3Error as exc:
        missing(str(exc))
    try:
        yield minio
    finally:
        minio.stop()


@pytest.fixture(scope="session")
def toxiproxy(pytestconfig: pytest.Config) -> Iterator[Toxiproxy]:
    """Proxies that cut, slow and mangle connections; each test makes its own."""
    try:
        with time_to_build(pytestconfig) as say:
            server = Toxiproxy(say)
        server.start()
    except NoToxiproxyError as exc:
        missing(str(exc))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An empty SQLite database for one test."""
    return f"sqlite:///{tmp_path / 'test.db'}"
