"""`thumbnails storage …`: what becomes a row is encrypted, proved by use, and never shown."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from typer.testing import CliRunner, Result

from schemas.database import create_engine_for
from schemas.migrations import upgrade
from schemas.tables import companies, storage_connections
from service.cli.main import app
from service.tenants.connection_rows import change_connection, find_connection
from service.tenants.values import RowError
from storage.credentials import CredentialsKeyError
from tests.servers.s3.server import S3Server

SECRET = "s3cr3t-value"  # noqa: S105 - it is looked for in what the commands say
CREDENTIALS = {"endpoint": "https://s3.example", "bucket": "bucket", "access_key": "a", "secret_key": SECRET}
KEY = Fernet.generate_key().decode()


def bucket_called(name: str) -> str:
    return json.dumps(CREDENTIALS | {"bucket": name})


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[sa.Engine]:
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    upgrade(url)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("LOCAL_STORAGE_ROOT", str(tmp_path / "storage"))
    monkeypatch.setenv("LOCAL_STORAGE_URL", "http://localhost:1/storage")
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
    added = run("add", "Disk", "local_disk", "--base-path", "/disk/", "--company", "acme")
    assert added.stdout == "Storage connection 1 is tested and added: company 1 uses it.\n"
    assert "http://localhost:1 gives no answer: `thumbnails serve-local` serves local storage." in added.stderr
    assert stored(database) == [("Disk", "local_disk", {}, "disk")]
    assert connection_of_company(database, 1) == 1
    assert (tmp_path / "storage").is_dir(), "the probe was written"
    for given in ("1", "Disk"):
        tested = run("test", given).stdout
        assert tested == "Storage connection 1 works: a probe was written, read, listed and deleted.\n"
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
    assert (
        added.stdout
        == "Storage connection 1 is tested and added: `thumbnails company add NAME --connection 1` uses it.\n"
    )
    assert "answers 403 to everybody who is not logged in" in added.stderr, "the bucket is private"
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
        (["B", "s3"], None, "minio needs --bucket, --access-key and --secret-key (for a secret, - is", 2),
        (["B", "s3", "--bucket", "b"], None, "minio needs --access-key and --secret-key (for a secret, ", 2),
        (["B", "yandex_disk"], None, "yandex_disk needs --token (for a secret, - is standard input", 2),
        (
            ["B", "s3", "--secret-key", SECRET],
            None,
            "command line: give --secret-key - for standard input, or --secret-key @FILE.",
            2,
        ),
        (
            ["B", "s3", "--session-token", SECRET],
            None,
            "give --session-token - for standard input, or --session-token @FILE.",
            2,
        ),
        (
            ["B", "yandex_disk", "--token", SECRET],
            None,
            "command line: give --token - for standard input, or --token @FILE.",
            2,
        ),
        (["B", "s3", "--secret-key", "-"], "", "Standard input is empty", 2),
        (["B", "s3", "--secret-key", "-", "--session-token", "-"], SECRET, "Standard input can be one secret only", 2),
        (["B", "s3", "--secret-key", "@/nowhere"], None, "/nowhere: No such file or directory.", 1),
        (["B", "s3", "--secret-key", "@/"], None, "/: Is a directory.", 1),
        (["B", "s3", "--token", "-"], SECRET, "minio has no --token: it has --endpoint, --bucket, --access-key", 2),
        (["B", "yandex_disk", "--bucket", "b"], None, "yandex_disk has no --bucket: it has --token, --root and", 2),
        (["B", "local_disk", "--bucket", "b"], None, "local_disk has no credentials: leave out --bucket.", 2),
        (["B", "s3", "--bucket", "b", "--credentials", "-"], "{}", "Give either --credentials or the options", 2),
        (
            ["B", "s3", "--credentials", json.dumps(CREDENTIALS)],
            None,
            "command line: give --credentials - for standard input, or",
            2,
        ),
        (["B", "local_disk", "--credentials", "-"], "{}", "local_disk has no credentials", 2),
        (["B", "s3", "--credentials", "@/nowhere"], None, "/nowhere: No such file or directory.", 1),
        (["B", "s3", "--credentials", "-"], f"{SECRET} no JSON", "The credentials are not JSON.", 1),
        (["B", "s3", "--credentials", "-"], f'{{"bucket": "{SECRET}"}}', "lack the field 'access_key'", 1),
        (["B", "s3", "--credentials", "-"], bucket_called("b"), "value in 'bucket' that cannot work (3 to 63 let", 1),
        (
            ["B", "gopher", "--credentials", "-"],
            "{}",
            "No provider is called 'gopher': known are azure_blob, gcs, local_disk",
            2,
        ),
        (
            ["B", "gopher"],
            None,
            "No provider is called 'gopher': known are azure_blob, gcs, local_disk, minio, yandex",
            2,
        ),
        (["Disk", "local_disk"], None, "Storage connection 1 has the name 'Disk': give another one.", 1),
        (["B", "local_disk", "--base-path", "../up"], None, "The base path cannot be used: ", 2),
        (["\n", "local_disk"], None, "A name has 1 to 255 characters", 2),
        (["B", "local_disk", "--company", "9"], None, "No company has the id 9: `thumbnails company list`", 1),
        (["B", "local_disk", "--company", "nobody"], None, "No company has the slug or the name 'nobody': ", 1),
        (["B", "local_disk", "--company", "9" * 30], None, f"No company has the id {'9' * 30}: ", 1),
        (["B", "local_disk", "--company", "a\0b"], None, "No company has the slug or the name 'a\\x00b': ", 1),
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
    assert refusal("test", "theirs")[0].startswith("No storage connection has the name 'theirs': ")
    assert refusal("test", "5") == ("No storage connection has the id 5: `thumbnails storage list` shows all.", 1)
    with database.begin() as connection:
        connection.execute(sa.insert(storage_connections).values(name="x", provider="gopher", credentials={}))
    said, code = refusal("test", "1")
    assert said.startswith("Storage connection 1 cannot work: It names the provider 'gopher'")
    assert code == 1


@pytest.fixture
def s3(s3_server: S3Server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The options of a connection to a real S3 but for its secret key, which is in the file `key`."""
    monkeypatch.setenv("STORAGE_ALLOW_HTTP", "true")
    monkeypatch.setenv("STORAGE_ALLOWED_NETWORKS", "127.0.0.0/8")
    (tmp_path / "key").write_text(f"{s3_server.secret_key}\n")
    return ["--endpoint", s3_server.endpoint_url, "--bucket", s3_bucket, "--access-key", s3_server.access_key]


def decrypted(engine: sa.Engine) -> dict[str, str]:
    ((_, _, credentials, _),) = stored(engine)
    assert isinstance(credentials, dict)
    found: dict[str, str] = json.loads(Fernet(KEY).decrypt(credentials["encrypted"]))
    return found


def test_s3_is_added_by_its_options_and_one_of_them_is_changed(
    database: sa.Engine, s3: list[str], s3_server: S3Server, s3_bucket: str, tmp_path: Path
) -> None:
    by_file, by_stdin = ["--secret-key", f"@{tmp_path / 'key'}"], ["--secret-key", "-"]
    added = run("add", "Theirs", "s3", *s3, *by_file, "--json")
    shown = json.loads(added.stdout)
    assert (shown["id"], shown["name"], shown["provider"], shown["company"]) == (1, "Theirs", "minio", None)
    fields = {
        "endpoint": s3_server.endpoint_url,
        "bucket": s3_bucket,
        "access_key": s3_server.access_key,
        "secret_key": s3_server.secret_key,
    }
    assert decrypted(database) == fields

    said, code = refusal("set", "Theirs", *by_stdin, given=SECRET)
    assert said.startswith("The storage connection was tested and not changed: Writing a probe failed: ")
    assert (code, decrypted(database)) == (1, fields)
    refusal("set", "Theirs", "--bucket", "no-such-bucket")
    assert decrypted(database) == fields
    changed = run("set", "Theirs", "--public-url", "https://cdn.example/acme", *by_stdin, given=s3_server.secret_key)
    assert changed.stdout == "Storage connection 1 is tested and changed. Workers know it within 10 s.\n"
    assert decrypted(database) == fields | {"public_base_url": "https://cdn.example/acme"}


def test_a_field_that_was_saved_under_its_other_name_is_replaced(database: sa.Engine) -> None:
    other_names = {"bucket_name": "old", "access_key_id": "a", "secret_access_key": SECRET}
    run("add", "Theirs", "s3", "--credentials", "-", "--no-test", given=json.dumps(other_names))
    assert run("set", "1", "--bucket", "new", "--no-test").exit_code == 0
    assert decrypted(database) == {"bucket": "new", "access_key_id": "a", "secret_access_key": SECRET}


def test_what_a_bucket_allows_decides_and_the_step_that_fails_is_named(
    database: sa.Engine, s3: list[str], s3_server: S3Server, s3_bucket: str, tmp_path: Path
) -> None:
    secret = ["--secret-key", f"@{tmp_path / 'key'}"]
    said, _ = refusal("add", "Theirs", "s3", *s3, *secret, "--bucket", "no-such-bucket")
    assert "Writing a probe failed: The S3 storage refuses: the bucket does not exist." in said
    said, _ = refusal("add", "Theirs", "s3", *s3, *secret, "--endpoint", "http://127.0.0.1:1")
    assert "Writing a probe failed: The S3 storage cannot be reached." in said
    assert stored(database) == []
    s3_server.let_everybody_read(s3_bucket)
    added = run("add", "Theirs", "s3", *s3, *secret)
    assert added.stderr == "", "browsers see its pictures"
    assert list_bucket(s3_server, s3_bucket) == [], "no probe is left"


def list_bucket(server: S3Server, bucket: str) -> list[str]:
    client = server.client()
    try:
        return [found["Key"] for found in client.list_objects_v2(Bucket=bucket).get("Contents", ())]
    finally:
        client.close()


def test_a_connection_is_renamed_turned_off_and_on(database: sa.Engine, tmp_path: Path) -> None:
    run("add", "Disk", "local_disk")
    run("add", "Acme", "--connection", "Disk", command="company")
    assert run("set", "1", "--name", "Main disk").exit_code == 0
    assert stored(database)[0][0] == "Main disk"
    said = run("set", "Main disk", "--inactive").stdout
    assert said.startswith("Storage connection 1 is changed: the thumbnails of companies 1 go to local storage.")
    refused = run("add", "B", "--connection", "1", command="company").exception
    assert str(refused).startswith("Storage connection 1 is not active: `thumbnails storage set 1 --active` changes")
    (tmp_path / "storage").rename(tmp_path / "was")
    (tmp_path / "storage").write_text("no folder")
    assert refusal("set", "1", "--active")[0].startswith("The storage connection was tested and not changed: ")
    (tmp_path / "storage").unlink()
    assert run("set", "1", "--active").stdout.startswith("Storage connection 1 is tested and changed.")


def test_the_base_path_changes_only_while_no_company_uses_it(database: sa.Engine) -> None:
    run("add", "Disk", "local_disk")
    assert run("set", "Disk", "--base-path", "b").exit_code == 0
    run("add", "Acme", "--connection", "Disk", command="company")
    said, code = refusal("set", "Disk", "--base-path", "c")
    assert said.startswith("Storage connection 1 is used by company 1, whose objects are below its base path")
    assert (code, stored(database)[0][3]) == (1, "b")


def test_a_connection_is_removed_when_no_company_uses_it(database: sa.Engine) -> None:
    run("add", "Disk", "local_disk")
    run("add", "Acme", "--connection", "Disk", command="company")
    said, _ = refusal("remove", "Disk", "--yes")
    assert said.startswith("Storage connection 1 is used by company 1: give each another one first")
    advised = said.partition("`thumbnails company ")[2].partition("`")[0].split()
    assert run(*advised, command="company").exit_code == 0, "the advice works as it stands"
    assert refusal("remove", "Disk") == (
        "Give --yes to remove storage connection 1 ('Disk', local_disk) without being asked.",
        2,
    )
    assert len(stored(database)) == 1
    assert run("remove", "Disk", "--yes").stdout.startswith("Storage connection 1 is removed.")
    assert stored(database) == []


def test_a_row_that_somebody_else_changed_meanwhile_is_left_alone(database: sa.Engine) -> None:
    run("add", "Disk", "local_disk")
    before = find_connection(database, 1)
    with database.begin() as connection:
        connection.execute(sa.update(storage_connections).values(base_path="theirs"))
    with pytest.raises(RowError, match="was changed by somebody else meanwhile"):
        change_connection(database, before, replace(before, name="ours"))
    assert stored(database)[0][0] == "Disk"


@pytest.mark.parametrize("kind", ["sqlite_url", "postgres_url"])
def test_a_database_without_tables_says_what_to_run(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", request.getfixturevalue(kind))
    for arguments in (["list"], ["test", "1"], ["add", "x", "local_disk", "--no-test"]):
        assert "run `thumbnails db upgrade`" in refusal(*arguments)[0]
