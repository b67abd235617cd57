"""`thumbnails storage …`: what becomes a row is encrypted, proved by use, and never shown."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from typer.testing import CliRunner, Result

from schemas.database import create_engine_for
from schemas.migrations import upgrade
from schemas.tables import companies, storage_connections
from service.cli.main import app
from service.tenants.values import RowError
from storage.credentials import CredentialsKeyError
from tests.servers.s3.server import S3Server

SECRET = "s3cr3t-value"  # noqa: S105 - it is looked for in what the commands say
CREDENTIALS = {"endpoint": "https://s3.example", "bucket": "bucket", "access_key": "a", "secret_key": SECRET}
KEY = Fernet.generate_key().decode()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[sa.Engine]:
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    upgrade(url)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("LOCAL_STORAGE_ROOT", str(tmp_path / "storage"))
    monkeypatch.setenv("STORAGE_CREDENTIALS_KEY", KEY)
    engine = create_engine_for(url)
    yield engine
    engine.dispose()


def run(*arguments: str, given: str | None = None, command: str = "storage") -> Result:
    return CliRunner().invoke(app, [command, *arguments], input=given)


def refusal(*arguments: str, given: str | None = None) -> tuple[str, int]:
    done = run(*arguments, given=given)
    assert isinstance(done.exception, RowError | CredentialsKeyError)
    assert SECRET not in f"{done.output}{done.exception}"
    return str(done.exception), getattr(done.exception, "exit_code", 1)


def stored(engine: sa.Engine) -> list[tuple[str, str, object, str | None]]:
    columns = storage_connections.c
    with engine.connect() as connection:
        query = sa.select(columns.name, columns.provider, columns.credentials, columns.base_path)
        return [(*row,) for row in connection.execute(query.order_by(columns.id))]


def connection_of_company(engine: sa.Engine, company_id: int) -> int | None:
    with engine.connect() as connection:
        query = sa.select(companies.c.storage_connection_id).where(companies.c.id == company_id)
        return connection.scalar(query)


def test_a_folder_is_proved_added_and_given_to_a_company(database: sa.Engine, tmp_path: Path) -> None:
    run("add", "Acme", command="company")
    added = run("add", "Disk", "local_disk", "--base-path", "/disk/", "--company", "1")
    assert added.output == "Storage connection 1 is tested and added: company 1 uses it.\n"
    assert stored(database) == [("Disk", "local_disk", {}, "disk")]
    assert connection_of_company(database, 1) == 1
    assert (tmp_path / "storage").is_dir(), "the probe was written"
    assert run("test", "1").output == "Storage connection 1 works.\n"
    assert run("list").output.splitlines() == [
        "id  provider    active  encrypted  base path  companies  name",
        "1   local_disk  yes     -          disk       1          Disk",
    ]


def test_s3_is_proved_with_credentials_from_standard_input_and_kept_as_minio_encrypted(
    database: sa.Engine, s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORAGE_ALLOW_HTTP", "true")
    monkeypatch.setenv("STORAGE_ALLOWED_NETWORKS", "127.0.0.0/8")
    found = {
        "endpoint": s3_server.endpoint_url,
        "bucket": s3_bucket,
        "access_key": s3_server.access_key,
        "secret_key": s3_server.secret_key,
    }
    added = run("add", "Theirs", "s3", "--credentials", "-", given=json.dumps(found))
    assert added.output == "Storage connection 1 is tested and added: `company add NAME --connection 1` uses it.\n"
    ((_, provider, credentials, _),) = stored(database)
    assert provider == "minio"
    assert isinstance(credentials, dict)
    assert list(credentials) == ["encrypted"]
    assert json.loads(Fernet(KEY).decrypt(credentials["encrypted"])) == found
    assert run("test", "1").exit_code == 0

    wrong = json.dumps(found | {"secret_key": "another"})
    said, code = refusal("add", "Wrong", "s3", "--credentials", "-", given=wrong)
    assert said.startswith("The storage connection was tested and not added: ")
    assert code == 1
    assert len(stored(database)) == 1


def test_an_untested_connection_from_a_file_is_listed_without_its_credentials(
    database: sa.Engine, tmp_path: Path
) -> None:
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps(CREDENTIALS))
    assert run("add", "Theirs", "minio", "--credentials", f"@{file}", "--no-test").output.startswith(
        "Storage connection 1 is added: "
    )
    assert len(stored(database)) == 1
    for arguments in (["list"], ["list", "--json"]):
        listed = run(*arguments).output
        assert "Theirs" in listed
        assert SECRET not in listed
        assert "s3.example" not in listed
    assert json.loads(run("list", "--json").output) == {
        "id": 1,
        "name": "Theirs",
        "provider": "minio",
        "base_path": None,
        "is_active": True,
        "is_encrypted": True,
        "companies": [],
    }


@pytest.mark.parametrize(
    ("arguments", "given", "sentence", "code"),
    [
        (["B", "s3"], None, "minio needs credentials: --credentials - reads them from standard input.", 2),
        (["B", "s3", "--credentials", json.dumps(CREDENTIALS)], None, "are not given on the command line", 2),
        (["B", "local_disk", "--credentials", "-"], "{}", "local_disk has no credentials", 2),
        (["B", "s3", "--credentials", "@/nowhere"], None, "/nowhere: No such file or directory.", 1),
        (["B", "s3", "--credentials", "-"], f"{SECRET} no JSON", "The credentials are not JSON.", 1),
        (["B", "s3", "--credentials", "-"], f'{{"bucket": "{SECRET}"}}', "lack the field 'access_key'", 1),
        (["B", "gopher", "--credentials", "-"], "{}", "It names the provider 'gopher'; known are local_disk", 1),
        (["B", "local_disk", "--base-path", "../up"], None, "The base path cannot be used: ", 2),
        (["\n", "local_disk"], None, "A name has 1 to 255 characters", 2),
        (["B", "local_disk", "--company", "9"], None, "No company has the id 9: `thumbnails company list`", 1),
        (["B", "local_disk", "--company", "1"], None, "Company 1 uses storage connection 1", 1),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence_and_adds_nothing(
    database: sa.Engine, arguments: list[str], given: str | None, sentence: str, code: int
) -> None:
    run("add", "Disk", "local_disk")
    run("add", "Acme", "--connection", "1", command="company")
    said, exit_code = refusal("add", *arguments, given=given)
    assert sentence in said
    assert exit_code == code
    assert "\n" not in said
    assert len(stored(database)) == 1


def test_without_a_key_nothing_is_added_and_the_way_to_one_is_shown(
    database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_CREDENTIALS_KEY")
    said, _ = refusal("add", "Theirs", "s3", "--credentials", "-", given=json.dumps(CREDENTIALS))
    assert said == "STORAGE_CREDENTIALS_KEY is not set; `thumbnails credentials key` makes a key for it."
    assert stored(database) == []


def test_a_folder_that_cannot_be_written_is_not_added(database: sa.Engine, tmp_path: Path) -> None:
    (tmp_path / "storage").write_text("no folder")
    said, _ = refusal("add", "Disk", "local_disk")
    assert said.startswith("The storage connection was tested and not added: ")
    assert stored(database) == []


def test_a_test_names_a_connection_that_is_not_there_and_one_that_does_not_work(database: sa.Engine) -> None:
    assert refusal("test", "5") == ("No storage connection has the id 5: `thumbnails storage list` shows all.", 1)
    with database.begin() as connection:
        connection.execute(sa.insert(storage_connections).values(name="x", provider="gopher", credentials={}))
    said, code = refusal("test", "1")
    assert said.startswith("Storage connection 1 cannot work: It names the provider 'gopher'")
    assert code == 1


@pytest.mark.parametrize("kind", ["sqlite_url", "postgres_url"])
def test_a_database_without_tables_says_what_to_run(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", request.getfixturevalue(kind))
    for arguments in (["list"], ["test", "1"], ["add", "x", "local_disk", "--no-test"]):
        assert "run `thumbnails db upgrade`" in refusal(*arguments)[0]
