"""What a replay cannot help, by the database: companies and media that are gone; said of uploads alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas.database import write_transaction
from schemas.tables import companies, videos
from service.prospects import Prospects
from service.settings import Settings
from streams.dlq.read import DeadLetter
from streams.rows.queries import TOMBSTONE
from tests.doubles.letters import a_dead_letter
from tests.doubles.results import a_database


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[sa.Engine]:
    """Companies 1 and 2, of which 2 is not active; videos 42 and 43, of which 43 was deleted upstream."""
    made = a_database(sqlite_url, range(42, 44))
    with write_transaction(made) as connection:
        connection.execute(sa.update(companies).where(companies.c.id == 2).values(is_active=False))
        connection.execute(sa.update(videos).where(videos.c.id == 43).values(thumbnail_event_id=TOMBSTONE))
    yield made
    made.dispose()


def reasons(
    monkeypatch: pytest.MonkeyPatch, url: str, *dead_letters: DeadLetter
) -> tuple[list[str | None], str | None]:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", "p.")
    prospects = Prospects(Settings())
    found = [prospects.reason(one) for one in prospects.ahead_of(dead_letters)]
    prospects.close()
    return found, prospects.problem


def test_a_company_or_a_media_that_is_gone_is_said_and_all_else_may_succeed(
    monkeypatch: pytest.MonkeyPatch, engine: sa.Engine
) -> None:
    dead_letters = [
        a_dead_letter(0),
        a_dead_letter(1, company=99),
        a_dead_letter(2, company=2),
        a_dead_letter(3, media_id=43),
        a_dead_letter(4, media_id=4711),
        a_dead_letter(5, media_id=4711, origin="p.thumbnail.cleanup"),  # it deletes what no row shows
        a_dead_letter(6, value=b"no event", media_id=4711),  # by its key
        a_dead_letter(7, company=2**70),
    ]
    found, problem = reasons(monkeypatch, str(engine.url), *dead_letters)
    assert problem is None
    assert found == [
        None,
        "Company 99 is not in the database.",
        "Company 2 is not active.",
        "The media was deleted upstream.",
        "The row of the media is gone.",
        None,
        "The row of the media is gone.",
        f"Company {2**70} is not in the database.",
    ]


def test_without_the_database_nothing_is_said_but_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    found, problem = reasons(monkeypatch, f"sqlite:///{path}", a_dead_letter(1, company=99))
    assert (found, problem) == ([None], "DATABASE_URL names no database that is there.")
    assert not path.exists(), "asking made an empty database"


def test_a_database_without_our_tables_is_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    found, problem = reasons(monkeypatch, f"sqlite:///{path}", a_dead_letter(1, company=99))
    assert (found, problem) == ([None], "it does not answer (OperationalError).")
