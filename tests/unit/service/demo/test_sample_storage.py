"""The company that `thumbnails sample` adds: it has a bucket of its own where credentials and a key are given."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from schemas.database import create_engine_for
from schemas.migrations import upgrade
from schemas.tables import companies, storage_connections
from service.demo.sample import _company
from service.settings import Settings
from tests.servers.s3.server import S3Server


@pytest.fixture
def engine(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    upgrade(sqlite_url)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("LOCAL_STORAGE_ROOT", str(tmp_path / "storage"))
    monkeypatch.setenv("STORAGE_ALLOW_HTTP", "true")
    monkeypatch.setenv("STORAGE_ALLOWED_NETWORKS", "127.0.0.0/8")
    found = create_engine_for(sqlite_url)
    yield found
    found.dispose()


def rows(engine: sa.Engine, table: sa.Table, *columns: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*(table.c[name] for name in columns)))]


def credentials_of(server: S3Server, bucket: str) -> str:
    keys = {"access_key": server.access_key, "secret_key": server.secret_key}
    return json.dumps({"endpoint": server.endpoint_url, "bucket": bucket, **keys})


def test_a_run_that_was_killed_before_the_company_was_added_leaves_one_connection(
    engine: sa.Engine, s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_CREDENTIALS_KEY", Fernet.generate_key().decode())
    credentials = credentials_of(s3_server, s3_bucket)
    assert _company(engine, Settings(), credentials) == 1
    assert rows(engine, companies, "slug", "storage_connection_id") == [("sample", 1)]
    with engine.begin() as connection:
        connection.execute(sa.delete(companies))
    assert _company(engine, Settings(), credentials) is not None
    assert rows(engine, storage_connections, "id", "name", "provider") == [(1, "Sample S3", "minio")]
    assert rows(engine, companies, "slug", "storage_connection_id") == [("sample", 1)]
    ((stored,),) = rows(engine, storage_connections, "credentials")
    assert s3_server.secret_key not in str(stored), "credentials are encrypted"


def test_without_a_key_the_sample_is_in_local_storage(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_CREDENTIALS_KEY", "")
    assert _company(engine, Settings(), "{}") == 1
    assert rows(engine, companies, "slug", "storage_connection_id") == [("sample", None)]
    assert rows(engine, storage_connections, "id") == []
