"""The status says whose storage connection cannot be used, which one it is and why, and keeps still about harmless ones."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas.errors import STAND_IN
from schemas.tables import companies, storage_connections
from service.settings import Settings
from service.status.fallbacks import Fallback, find_fallbacks, sentences, without_sources
from service.status.recent_results import Recent, Result
from service.status.snapshot import Snapshot, attention
from tests.doubles.results import a_database
from tests.unit.service.status.test_failures import waiting

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)


def a_result(company: int, fallback: str | None, age_s: float = 0, provider: str = "local_disk") -> Result:
    return Result(NOW - timedelta(seconds=age_s), company, provider, fallback)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Company 2 uses connection 7, which cannot work; company 1 has none."""
    url = f"sqlite:///{tmp_path / 'rows.db'}"
    engine = a_database(url)
    with engine.begin() as connection:
        broken = {"id": 7, "name": "theirs", "provider": "minio", "credentials": {"endpoint": "http://x"}}
        connection.execute(sa.insert(storage_connections).values(**broken))
        connection.execute(sa.update(companies).where(companies.c.id == 2).values(storage_connection_id=7))
    engine.dispose()
    return settings_with(url, monkeypatch)


def settings_with(url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DATABASE_URL", url)
    return Settings()


def test_a_broken_connection_is_named_with_its_company_and_what_is_wrong(settings: Settings) -> None:
    recent = Recent((a_result(2, "connection_broken"), a_result(2, "connection_broken", 5)), 300)
    (found,) = find_fallbacks(settings, recent.fallbacks)
    assert (found.company_id, found.connection_id, found.provider, found.ready) == (2, 7, "minio", 2)
    snapshot = Snapshot(NOW, (), recent=recent, fallbacks=[found])
    (sentence,) = attention(snapshot, 60)
    assert sentence.startswith("Company 2's storage connection 7 (minio) cannot be used: ")
    assert "Storage connection 7 cannot work" not in sentence
    assert "; its thumbnails go to local storage. " in sentence
    data = snapshot.to_json(60)
    assert (data["ok"], data["attention"]) == (False, [sentence])
    assert data["fallbacks"] == [
        {
            "company_id": 2,
            "reason": "connection_broken",
            "ready": 2,
            "connection_id": 7,
            "provider": "minio",
            "problem": found.problem,
        }
    ]
    assert found.problem is not None


def test_uploads_that_cannot_be_read_because_of_the_connection_are_not_called_missing(settings: Settings) -> None:
    storm = [
        replace(one, message=f"{STAND_IN} (connection_broken), and has no 'a/{one.offset}.mp4'.")
        for one in waiting("source.missing", 2, 25)
    ]
    assert without_sources({}, waiting("source.missing", 3, 25)) == {}
    found = find_fallbacks(settings, without_sources({}, storm))
    snapshot = Snapshot(NOW, (), dead_letters={}, fallbacks=found, waiting=storm)
    (sentence,) = attention(snapshot, 1e9)
    assert sentence.startswith("Company 2's storage connection 7 (minio) cannot be used: ")
    assert "; its uploads cannot be read, and wait. " in sentence
    (group,) = snapshot.failures
    assert "thumbnails check --tenants" in group.next_action
    assert "upload finished" not in group.next_action

    switched_off = [replace(one, message=one.message.replace("_broken", "_inactive")) for one in storm]
    found = find_fallbacks(settings, without_sources({}, switched_off))
    (sentence,) = attention(replace(snapshot, fallbacks=found, waiting=switched_off), 1e9)
    assert sentence.startswith("25 records wait for a retry after source.missing, all of company 2")


def no_database(path: Path) -> str:
    return f"sqlite:///{path / 'none.db'}"


@pytest.mark.parametrize(
    "url",
    [no_database, lambda _: "postgresql://nobody@127.0.0.1:1/x", lambda _: "no url"],
    ids=["no file", "down", "no URL"],
)
def test_without_a_database_the_company_and_the_reason_are_told(
    tmp_path: Path, url: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_with(url(tmp_path), monkeypatch)
    (sentence,) = sentences(find_fallbacks(settings, {2: ("connection_broken", 1)}))
    assert sentence == (
        "Company 2's storage connection cannot be used (connection_broken); its thumbnails go to local storage."
        " `thumbnails check --tenants` says why."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_connection_that_looks_right_from_here_points_to_the_workers_log(settings: Settings) -> None:
    engine = sa.create_engine(settings.database.database_url)
    with engine.begin() as connection:
        connection.execute(sa.update(storage_connections).values(provider="local_disk", credentials={}))
    engine.dispose()
    (sentence,) = sentences(find_fallbacks(settings, {2: ("connection_broken", 1)}))
    assert sentence.startswith("Company 2's storage connection 7 (local_disk) could not be used by a worker, ")
    assert "`connection_broken` in the worker's log" in sentence


@pytest.mark.parametrize(
    ("results", "companies_told"),
    [
        ([a_result(1, None)], []),
        ([a_result(1, "connection_broken", 60), a_result(1, None, 1, "minio")], []),
        ([a_result(1, None, 60, "minio"), a_result(1, "storage.denied", 1)], [1]),
        ([a_result(1, "connection_missing"), a_result(2, "connection_broken")], [1, 2]),
        ([a_result(1, "connection_broken", 9), Result(NOW, 1, None, None, "media.corrupt")], [1]),
    ],
    ids=["its own storage", "works again", "broken since", "several", "a failure says nothing of it"],
)
def test_the_newest_thumbnails_of_a_company_decide(results: list[Result], companies_told: list[int]) -> None:
    assert list(Recent(tuple(results), 300).fallbacks) == companies_told


def test_a_connection_that_was_switched_off_is_listed_and_needs_no_attention() -> None:
    inactive = Fallback(2, "connection_inactive", 3, 7, "minio")
    snapshot = Snapshot(NOW, (), recent=Recent((), 300), fallbacks=[inactive])
    data = snapshot.to_json(60)
    assert (data["ok"], data["fallbacks"][0]["reason"]) == (True, "connection_inactive")


def test_one_connection_of_many_companies_is_one_sentence() -> None:
    many = [Fallback(number, "connection_broken", 1, 7, "minio", "No key.") for number in range(1, 9)]
    (sentence,) = sentences(many)
    assert sentence == (
        "Storage connection 7 (minio) of companies 1, 2, 3, 4, 5, … cannot be used: No key; their thumbnails go to local"
        " storage. Fix the row of storage_connections; `thumbnails check --tenants` proves it."
    )


def test_what_a_terminal_would_obey_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_with(no_database(tmp_path), monkeypatch)
    (sentence,) = sentences(find_fallbacks(settings, {2: ("\x1b[2J", 1)}))
    assert "\x1b" not in sentence
