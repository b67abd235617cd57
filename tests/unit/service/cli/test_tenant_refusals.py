"""Whatever is wrong with `company`, `storage` and `credentials`: one sentence, exit code 1 or 2, and no secret."""

import io
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas.migrations import upgrade
from schemas.tables import companies, storage_connections
from service.cli.main import main

PASSWORD = "hunter2"  # noqa: S105 - it is looked for in what is printed
SECRET = "s3cr3t-value"  # noqa: S105 - likewise
KEY = "q7Vt8C7y1mJ2m6pCkq1fJ8wq2m5c0o3m6Yl9o3tqk2A="
JSON = json.dumps({"bucket": "media", "access_key": "a", "secret_key": SECRET})
NEEDS_LOCAL = {"STORAGE_ALLOW_HTTP": "true", "STORAGE_ALLOWED_NETWORKS": "127.0.0.0/8"}
READ_ONLY = "A platform owns the companies and storage connections here (TENANT_TABLES_READ_ONLY=true)"
NO_ANSWER = f"postgresql://someone:{PASSWORD}@127.0.0.1:1/x"
S3 = ["storage", "add", "New", "s3", "--bucket", "media", "--access-key", "a", "--secret-key", "-"]
BY_JSON = ["storage", "add", "New", "s3", "--credentials", "-"]


@dataclass(frozen=True)
class Wrong:
    """A command, what it is given, and how it has to end; the beginning of the sentence is enough."""

    command: list[str]
    sentence: str
    code: int = 1
    stdin: str = ""
    settings: dict[str, str] = field(default_factory=dict)


def of_platform(*command: str, stdin: str = "") -> Wrong:
    return Wrong([*command], READ_ONLY, stdin=stdin, settings={"TENANT_TABLES_READ_ONLY": "true"})


def without_database(*command: str, stdin: str = "") -> Wrong:
    sentence = "The database does not work: see that its server runs, and that DATABASE_URL is right"
    return Wrong([*command], sentence, stdin=stdin, settings={"DATABASE_URL": NO_ANSWER})


def without_tables(*command: str, stdin: str = "") -> Wrong:
    sentence = "The tables are not as this version needs them: run `thumbnails db upgrade`"
    return Wrong([*command], sentence, stdin=stdin, settings={"DATABASE_URL": "sqlite:///empty.db"})


WRONG = {
    "a slug that exists": Wrong(["company", "add", "Acme"], "Company 1 has the slug 'acme': give another one with"),
    "a company's id that is none": Wrong(["company", "show", "99"], "No company has the id 99: `thumbnails company"),
    "a company's id beyond integers": Wrong(["company", "show", "9" * 40], f"No company has the id {'9' * 40}: "),
    "a negative id": Wrong(["company", "show", "--", "-1"], "No company has the slug or the name '-1': "),
    "no company's name": Wrong(["company", "set", "nobody", "--name", "x"], "No company has the slug or the name 'no"),
    "nothing to change": Wrong(["company", "set", "acme"], "Nothing is to be changed: see `thumbnails company se", 2),
    "an empty name": Wrong(["company", "set", "acme", "--name", ""], "A name has 1 to 255 characters, and no", 2),
    "a slug with a slash": Wrong(["company", "set", "acme", "--slug", "a/b"], "The slug 'a/b' has a slash: give", 2),
    "another's folder": Wrong(["company", "set", "globex", "--storage-path", "acme/x"], "The folder 'acme/x' and the"),
    "a folder outside": Wrong(
        ["company", "set", "acme", "--storage-path", "../x"], "The storage path cannot be used", 2
    ),
    "no such connection": Wrong(["company", "set", "acme", "--connection", "x"], "No storage connection has the name"),
    "a connection that is off": Wrong(["company", "set", "acme", "--connection", "Off"], "Storage connection 2 is not"),
    "an upload of no company": Wrong(
        ["publish", "x.mp4", "--company", "nobody"], "No company has the slug or the name"
    ),
    "an unknown provider": Wrong(
        ["storage", "add", "New", "s4"], "No provider is called 's4': known are azure_blob, gcs, local_disk, ", 2
    ),
    "a connection's name that exists": Wrong(
        ["storage", "add", "Disk", "local_disk"], "Storage connection 1 has the n"
    ),
    "a base path outside": Wrong(
        ["storage", "add", "New", "local_disk", "--base-path", "/../x"],
        "The base path cannot be used: The key '../x'",
        2,
    ),
    "no terminal and no secret": Wrong(
        ["storage", "add", "New", "s3", "--bucket", "media"],
        "minio needs --access-key and --secret-key (for a secret",
        2,
    ),
    "no terminal and no token": Wrong(
        ["storage", "add", "New", "yandex_disk"], "yandex_disk needs --token (for a s", 2
    ),
    "a secret on the command line": Wrong(
        [*S3[:-1], SECRET],
        "Do not write a secret on the command line: give --secret-key - for standard input, or --secret-key @FILE.",
        2,
    ),
    "credentials on the command line": Wrong(
        [*BY_JSON[:-1], JSON], "Do not write a secret on the command line: give --credentials - for standard input", 2
    ),
    "an empty standard input": Wrong(S3, "Standard input is empty: a secret was to be read from it.", 2),
    "a file of secrets that is not there": Wrong([*S3[:-1], "@nowhere"], "nowhere: No such file or directory."),
    "a folder as a file of secrets": Wrong([*S3[:-1], "@/"], "/: Is a directory."),
    "a file of secrets with a NUL": Wrong([*S3[:-1], "@a\0b"], "The file: embedded null byte."),
    "an authority that is no file": Wrong(
        [*S3, "--ca-file", "nowhere.pem"], "nowhere.pem: No such file or directory.", stdin=SECRET
    ),
    "an authority that is no certificate": Wrong(
        [*S3, "--ca-file", "notes.txt"], "The storage connection cannot work: The connection's own CA", stdin=SECRET
    ),
    "a secret of two lines": Wrong(
        S3,
        "The storage connection cannot work: The credentials have a value in 'secret_key' that cannot work (a text",
        stdin=f"{SECRET}\n{SECRET}",
    ),
    "an option of another provider": Wrong([*S3, "--root", "app:/"], "minio has no --root: it has --endpoint, --bu", 2),
    "credentials that are no JSON": Wrong(
        BY_JSON, "The storage connection cannot work: The credentials are not JSON.", stdin=SECRET
    ),
    "a field that is unknown": Wrong(
        BY_JSON,
        "The storage connection cannot work: The credentials have the unknown field 'bukket'.",
        stdin=JSON[:-1] + ', "bukket": "x"}',
    ),
    "a bucket's name that cannot be": Wrong(
        BY_JSON,
        "The storage connection cannot work: The credentials have a value in 'bucket' that cannot work (3 to 63",
        stdin=JSON.replace("media", "b"),
    ),
    "an addressing that is none": Wrong(
        [*S3, "--addressing", "street"],
        "The storage connection cannot work: The credentials have a value in 'addressing'"
        " that cannot work (auto, path or virtual).",
        stdin=SECRET,
    ),
    "http without leave": Wrong(
        [*S3, "--endpoint", "http://s3.example"],
        "The storage connection cannot work: The endpoint must begin with https",
        stdin=SECRET,
    ),
    "a private address without leave": Wrong(
        [*S3, "--endpoint", "https://10.0.0.1"],
        "The storage connection cannot work: The endpoint '10.0.0.1' is at 10.0",
        stdin=SECRET,
    ),
    "an endpoint that does not answer": Wrong(
        [*S3, "--endpoint", "http://127.0.0.1:1"],
        "The storage connection was tested and not added: Writing a probe failed: The S3 storage cannot be reached.",
        stdin=SECRET,
        settings=NEEDS_LOCAL,
    ),
    "a Yandex Disk that does not answer": Wrong(
        ["storage", "add", "New", "yandex_disk", "--token", "-"],
        "The storage connection was tested and not added: Writing a probe failed: The connection to Yandex Disk broke.",
        stdin=SECRET,
        settings=NEEDS_LOCAL | {"YANDEX_DISK_API_URL": "http://127.0.0.1:1"},
    ),
    "a root folder that cannot be made": Wrong(
        ["storage", "add", "New", "local_disk"],
        "The storage connection was tested and not added: Writing a probe failed: The root folder of local storage failed",
        settings={"LOCAL_STORAGE_ROOT": "/proc/none"},
    ),
    "no key": Wrong(
        S3,
        "STORAGE_CREDENTIALS_KEY is not set; `thumbnails credentials key` makes a key for it.",
        stdin=SECRET,
        settings={"STORAGE_CREDENTIALS_KEY": ""},
    ),
    "a key that is none": Wrong(
        S3,
        "STORAGE_CREDENTIALS_KEY holds no Fernet key; `thumbnails credentials key` makes o",
        stdin=SECRET,
        settings={"STORAGE_CREDENTIALS_KEY": SECRET},
    ),
    "a company with a connection": Wrong(
        ["storage", "add", "New", "local_disk", "--company", "acme"], "Company 1 uses storage connection 1: its objects"
    ),
    "a test of no connection": Wrong(["storage", "test", "nope"], "No storage connection has the name 'nope': `thumb"),
    "no change of a connection": Wrong(
        ["storage", "set", "Disk"], "Nothing is to be changed: see `thumbnails storage", 2
    ),
    "a secret for a folder": Wrong(
        ["storage", "set", "Disk", "--bucket", "b"], "local_disk has no credentials: leave", 2
    ),
    "a connection in use": Wrong(
        ["storage", "remove", "Disk", "--yes"], "Storage connection 1 is used by companies 1, 2: "
    ),
    "nobody to ask": Wrong(["storage", "remove", "Off"], "Give --yes to remove storage connection 2 ('Off', minio)", 2),
    "credentials that no key opens": Wrong(
        ["storage", "set", "Off", "--bucket", "other"],
        "No key in STORAGE_CREDENTIALS_KEY decrypts the credentials. Give ",
    ),
    "a setting that is no yes or no": Wrong(
        ["company", "list"], "TENANT_TABLES_READ_ONLY: ", 2, settings={"TENANT_TABLES_READ_ONLY": "perhaps"}
    ),
    "read-only: company add": of_platform("company", "add", "New"),
    "read-only: company set": of_platform("company", "set", "acme", "--name", "New"),
    "read-only: storage add": of_platform(*S3, stdin=SECRET),
    "read-only: storage set": of_platform("storage", "set", "Disk", "--inactive"),
    "read-only: storage remove": of_platform("storage", "remove", "Off", "--yes"),
    "read-only: credentials encrypt": of_platform("credentials", "encrypt"),
    "read-only: credentials rotate": of_platform("credentials", "rotate"),
    "no database: company add": without_database("company", "add", "New"),
    "no database: storage list": without_database("storage", "list"),
    "no database: storage add": without_database(*S3, stdin=SECRET),
    "no tables: company list": without_tables("company", "list"),
    "no tables: company show": without_tables("company", "show", "acme"),
    "no tables: storage remove": without_tables("storage", "remove", "Disk", "--yes"),
    "no tables: storage add": without_tables(*S3, stdin=SECRET),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two companies and two connections, which each test copies."""
    path = tmp_path_factory.mktemp("prepared") / "x.db"
    upgrade(f"sqlite:///{path}")
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        of_another_key = {"encrypted": "gAAAAAB" + "A" * 90}
        connection.execute(sa.insert(storage_connections).values(name="Disk", provider="local_disk", credentials={}))
        connection.execute(
            sa.insert(storage_connections).values(
                name="Off", provider="minio", credentials=of_another_key, is_active=False
            )
        )
        connection.execute(sa.insert(companies).values(name="Acme", slug="acme", storage_connection_id=1))
        connection.execute(sa.insert(companies).values(name="Globex", slug="globex", storage_connection_id=1))
    engine.dispose()
    return path


def dump(path: Path) -> list[str]:
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        rows = [str(row) for table in (companies, storage_connections) for row in connection.execute(sa.select(table))]
    engine.dispose()
    return rows


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_input_is_one_sentence_changes_nothing_and_shows_no_secret(
    name: str,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong, database = WRONG[name], tmp_path / "x.db"
    shutil.copy(prepared, database)
    (tmp_path / "notes.txt").write_text("dear diary")
    (tmp_path / "x.mp4").write_bytes(b"a file")
    monkeypatch.chdir(tmp_path)
    defaults = {
        "DATABASE_URL": f"sqlite:///{database}",
        "STORAGE_CREDENTIALS_KEY": KEY,
        "LOCAL_STORAGE_ROOT": str(tmp_path / "storage"),
        "LOCAL_STORAGE_URL": "http://127.0.0.1:1/storage",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    for variable, value in (defaults | wrong.settings).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.argv", ["thumbnails", *wrong.command])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(wrong.stdin.encode())))
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert said.err.startswith(wrong.sentence)
    assert ended.value.code == wrong.code
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.endswith((".\n", ".)\n"))
    for hidden in ("Traceback", PASSWORD, SECRET, KEY):
        assert hidden not in said.err
    assert dump(database) == dump(prepared)
