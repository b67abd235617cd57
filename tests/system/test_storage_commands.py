"""The commands about tenants' storage, and the demo on every provider, as a person types them."""

import json
import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas.migrations import upgrade
from tests.doubles.documented_provider import code_of_the_page
from tests.system.snippets import run_shell
from tests.system.supervisor import no_decoder_is_orphaned

MINIO = {"endpoint": "https://s3.example", "bucket": "bucket", "access_key": "a", "secret_key": "s3cr3t"}


@pytest.fixture
def database(tmp_path: Path) -> sa.Engine:
    url = f"sqlite:///{tmp_path / 'thumbnails.db'}"
    upgrade(url)
    return sa.create_engine(url)


def add_connection(engine: sa.Engine, number: int, provider: str, credentials: str) -> None:
    statement = (
        "INSERT INTO storage_connections (id, name, provider, credentials) VALUES (:id, 'theirs', :provider, :found)"
    )
    with engine.begin() as connection:
        connection.execute(sa.text(statement), {"id": number, "provider": provider, "found": credentials})


def add_company(engine: sa.Engine, number: int, storage_path: str | None, connection_id: int | None) -> None:
    values = {"id": number, "slug": f"slug-{number}", "path": storage_path, "connection": connection_id}
    statement = "INSERT INTO companies (id, name, slug, storage_path, storage_connection_id) VALUES (:id, 'n', :slug, :path, :connection)"
    with engine.begin() as connection:
        connection.execute(sa.text(statement), values)


def stored(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(sa.text("SELECT credentials FROM storage_connections ORDER BY id")).scalars())


def test_the_documented_way_to_encrypt_and_to_rotate(database: sa.Engine, tmp_path: Path) -> None:
    add_connection(database, 1, "minio", json.dumps(MINIO))
    done = run_shell(code_of_the_page("sh") + "\necho $STORAGE_CREDENTIALS_KEY", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 connections encrypted." in done.stdout
    (before,) = stored(database)
    assert "s3cr3t" not in before

    old = done.stdout.splitlines()[-1]
    rotating = run_shell(
        f"export STORAGE_CREDENTIALS_KEY=$(thumbnails credentials key),{old}\nthumbnails credentials rotate", tmp_path
    )
    assert "1 connections encrypted with the first key." in rotating.stdout
    assert stored(database) != [before]
    without_the_new_key = run_shell("thumbnails credentials rotate", tmp_path, {"STORAGE_CREDENTIALS_KEY": old})
    assert without_the_new_key.returncode == 1
    assert "Storage connection 1 is left as it was" in without_the_new_key.stdout


def test_credentials_from_standard_input_become_what_belongs_into_the_column(tmp_path: Path) -> None:
    script = "export STORAGE_CREDENTIALS_KEY=$(thumbnails credentials key)\nthumbnails credentials encrypt --stdin <<< "
    done = run_shell(f"{script}'{json.dumps(MINIO)}'", tmp_path)
    assert list(json.loads(done.stdout)) == ["encrypted"]
    broken = run_shell(f"{script}'{{no JSON'", tmp_path)
    assert (broken.returncode, broken.stderr.strip()) == (1, "storage.denied: The credentials are not JSON.")


@pytest.mark.parametrize(("key", "words"), [("", "is not set"), ("junk", "holds no Fernet key")])
def test_a_missing_or_wrong_key_is_one_sentence_with_a_way_out(
    database: sa.Engine, tmp_path: Path, key: str, words: str
) -> None:
    add_connection(database, 1, "minio", json.dumps(MINIO))
    done = run_shell("thumbnails credentials encrypt", tmp_path, {"STORAGE_CREDENTIALS_KEY": key})
    assert done.returncode == 1
    assert words in done.stderr.replace("\n", " ")
    assert "thumbnails credentials key" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_check_proves_each_connection_and_names_what_is_wrong(database: sa.Engine, tmp_path: Path) -> None:
    add_connection(database, 1, "local_disk", "{}")
    add_connection(database, 2, "minio", json.dumps(MINIO | {"endpoint": "http://127.0.0.1:1"}))
    add_connection(database, 3, "minio", "no JSON")
    add_connection(database, 4, "gopher", "{}")
    for number, path, connection_id in ((1, "acme", 1), (2, "acme-2", 1), (3, "acme/sub", 1), (4, "acme", None)):
        add_company(database, number, path, connection_id)
    done = run_shell("thumbnails check --tenants --json", tmp_path, {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert done.returncode == 1
    found = {re.sub(r" \(.*", "", name): problem for name, problem in json.loads(done.stdout).items()}
    assert found["Storage connection 1"] is None
    assert "must begin with https://" in found["Storage connection 2"]
    assert "not JSON" in found["Storage connection 3"]
    assert "'gopher'; known are azure_blob, gcs, local_disk, minio, yandex_disk" in found["Storage connection 4"]
    assert found["Companies' parts of shared storage"].startswith("1 overlap: company 3 is inside company 1.")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("providers", "names"),
    [("yandex", {"yandex_disk"}), ("all", {"local_disk", "minio", "yandex_disk"})],
)
def test_the_demo_runs_on_every_provider_and_leaves_nothing(
    tmp_path: Path,
    temporary_files: Path,
    providers: str,
    names: set[str],
    s3_server: object,  # built by then
) -> None:
    assert s3_server
    done = run_shell(f"thumbnails demo --providers {providers} --out sheet", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "sheet" / "contact-sheet.html").read_text()
    assert page.count('class="ready') == 9
    assert page.count("data:image/webp;base64,") == 27
    assert set(re.findall(r"<dt>stored</dt><dd>(\w+): ", page)) == names
    assert list(temporary_files.iterdir()) == []
    assert no_decoder_is_orphaned()


def test_the_demo_names_the_providers_that_it_has(tmp_path: Path) -> None:
    done = run_shell("thumbnails demo --providers floppy", tmp_path)
    assert (done.returncode, done.stderr) == (2, "No provider 'floppy': choose from local, minio, yandex, or all.\n")
