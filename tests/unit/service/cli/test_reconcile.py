"""The options of `thumbnails reconcile`, and what it says of local storage without changing anything."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import typer
from typer.testing import CliRunner, Result

from schemas.database import create_engine_for, write_transaction
from schemas.migrations import upgrade
from schemas.tables import companies, storage_connections
from service.cli.main import app
from service.cli.reconcile import age_of
from service.exits import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from storage.local_disk.provider import LocalStorageProvider
from tests.doubles.library import Library, Shelf, add_company


def reconcile(*arguments: str, environment: dict[str, str]) -> Result:
    return CliRunner().invoke(app, ["reconcile", *arguments], env=environment)


@pytest.fixture
def environment(sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Company 2, globex, in local storage; the commands run in a folder of their own, without Kafka."""
    monkeypatch.chdir(tmp_path)
    upgrade(sqlite_url)
    engine = create_engine_for(sqlite_url)
    add_company(engine, 2, "globex")
    local = LocalStorageProvider(tmp_path / "local", "http://localhost:8000/storage")
    Library(engine, [Shelf(2, "globex", local, local)]).fill(16, 16)
    engine.dispose()
    return {
        "DATABASE_URL": sqlite_url,
        "LOCAL_STORAGE_ROOT": str(tmp_path / "local"),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--resume", "--fix"), "give no --company, --fix or --checksums"),
        (("--resume", "--company", "globex"), "give no --company, --fix or --checksums"),
        (("--resume",), "no reconciliation was interrupted here"),
        (("--grace", "soon"), "give an age such as 90m, 24h, 7d"),
        (("--stuck-after", "2026-01-01"), "give an age such as 90m, 24h, 7d"),
        (("--rate", "0"), "--rate"),
        (("--max-fixes", "0"), "--max-fixes"),
        (("--max-waiting", "0"), "--max-waiting"),
    ],
)
def test_options_that_cannot_be_are_refused(environment: dict[str, str], arguments: tuple[str, ...], says: str) -> None:
    done = reconcile(*arguments, environment=environment)
    assert done.exit_code == EXIT_USAGE or says in str(done.exception)
    assert says in done.stderr + str(done.exception)


def test_ages_are_written_as_people_write_them() -> None:
    assert [age_of(text) for text in ("90m", "24h", "7d", "0s")] == [
        timedelta(minutes=90),
        timedelta(hours=24),
        timedelta(days=7),
        timedelta(0),
    ]
    with pytest.raises(typer.BadParameter):
        age_of("24")


def test_a_dry_run_needs_no_kafka_and_says_one_object_a_line(environment: dict[str, str], tmp_path: Path) -> None:
    done = reconcile("--json", "--grace", "0s", "--stuck-after", "0s", environment=environment)
    assert done.exit_code == EXIT_FAILED
    *records, company, run = map(json.loads, done.stdout.splitlines())
    assert {one["trouble"] for one in records} == {"missing", "incomplete", "damaged", "orphan", "ownerless", "stuck"}
    assert all(one["done"] is None and one["slug"] == "globex" for one in records)
    assert (company["state"], company["media"]) == ("compared", 16)
    assert (run["state"], run["fix"], run["media"]) == ("done", False, 16)
    assert run["troubles"]["orphan"]["found"] == 4
    assert not (tmp_path / "thumbnails-reconcile.json").exists()


def test_people_get_a_table_and_what_to_do(environment: dict[str, str]) -> None:
    done = reconcile("--grace", "0s", "--stuck-after", "0s", environment=environment)
    heading = next(line for line in done.stdout.splitlines() if line.startswith("trouble "))
    assert heading.split() == ["trouble", "found", "fixed", "left", "objects", "MB", "what", "such", "as"]
    assert "nothing was changed. `thumbnails reconcile --fix` repairs what it can." in done.stderr


def test_a_run_that_was_interrupted_is_not_begun_again_by_mistake(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "thumbnails-reconcile.json").write_text("{}")
    done = reconcile(environment=environment)
    assert "go on with --resume, give another --state, or delete the file" in str(done.exception)


def test_metrics_of_a_run_are_written_whole(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "reconcile.prom"
    reconcile("--grace", "0s", "--stuck-after", "0s", "--metrics-file", str(path), environment=environment)
    found = dict(line.rsplit(" ", 1) for line in path.read_text().splitlines() if not line.startswith("#"))
    assert found['thumbnail_reconcile_troubles{state="left",trouble="orphan"}'] == "4.0"
    assert found['thumbnail_reconcile_troubles{state="fixed",trouble="orphan"}'] == "0.0"
    assert found['thumbnail_reconcile_companies{state="compared"}'] == "1.0"
    page = (Path(__file__).parents[4] / "docs" / "reconcile.md").read_text()
    assert {name.partition("{")[0] for name in found} <= {word.strip("`") for word in page.split()}


@pytest.mark.parametrize(
    ("change", "state", "code"),
    [({"is_active": False}, "left_out", EXIT_OK), ({"credentials": {"bucket": "b"}}, "failed", EXIT_FAILED)],
    ids=("switched off", "broken"),
)
def test_a_company_whose_connection_cannot_be_used_is_named_and_stops_no_other(
    environment: dict[str, str], change: dict[str, object], state: str, code: int
) -> None:
    engine = create_engine_for(environment["DATABASE_URL"])
    with write_transaction(engine) as connection:
        row = {"id": 1, "name": "s3", "provider": "minio", "credentials": {}} | change
        connection.execute(sa.insert(storage_connections).values(**row))
        values = {"id": 1, "name": "acme", "slug": "acme", "storage_connection_id": 1}
        connection.execute(sa.insert(companies).values(**values))
    engine.dispose()
    done = reconcile("--json", "--company", "acme", environment=environment)
    first, _ = map(json.loads, done.stdout.splitlines())
    assert (first["slug"], first["state"], done.exit_code) == ("acme", state, code)
    assert "thumbnails check --tenants" in first["reason"]
    done = reconcile("--json", environment=environment)
    assert '"slug": "globex", "state": "compared"' in done.stdout
