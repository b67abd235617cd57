"""Names of companies: asked for once, from a database that may be away, unknown or empty."""

from collections.abc import Collection
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from schemas.tables import companies, metadata
from service.settings import Settings
from service.web import company_names
from service.web.company_names import MAX_NAME_CHARS, CompanyNames, names_from_database


class Database:
    """Knows the companies below 10, unless it is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.asked: list[list[int]] = []

    def names(self, ids: Collection[int]) -> dict[int, str]:
        self.asked.append(sorted(ids))
        if self.is_away:
            raise OperationalError("SELECT", {}, Exception("connection refused"))
        return {number: f"Company {'x' * 100}" for number in ids if number < 10}


def test_a_name_is_asked_for_once_and_an_unknown_company_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    database, given = Database(), list[dict[int, str]]()
    names = CompanyNames(database.names, given.append)
    names.want([1, 2, 99])
    names._ask()
    names.want([1, 2, 99])
    names._ask()
    assert database.asked == [[1, 2, 99]]
    assert [sorted(found) for found in given] == [[1, 2]]
    assert len(given[0][1]) == MAX_NAME_CHARS
    monkeypatch.setattr(company_names, "AGAIN_S", 0.0)
    names._ask()
    assert database.asked[1:] == [[99]]


def test_a_database_that_is_away_is_left_alone_and_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    database, given = Database(), list[dict[int, str]]()
    database.is_away = True
    names = CompanyNames(database.names, given.append)
    names.want([1])
    for _ in range(3):
        names._ask()
    assert (len(database.asked), given) == (1, [])
    database.is_away = False
    monkeypatch.setattr(company_names, "AGAIN_S", 0.0)
    names._ask()
    assert [sorted(found) for found in given] == [[1]]


def test_the_platforms_database_knows_names_and_none_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "platform.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{file}")
    assert names_from_database(Settings())([1]) == {}
    assert not file.exists()
    engine = sa.create_engine(f"sqlite:///{file}")
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(companies.insert(), [{"id": 1, "name": "Acme", "slug": "acme"}])
    engine.dispose()
    assert names_from_database(Settings())([1, 2]) == {1: "Acme"}
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    assert names_from_database(Settings())([1]) == {}
