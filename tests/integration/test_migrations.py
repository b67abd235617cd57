"""The migration: makes everything where nothing is, and adds only what is ours where the platform is."""

import pytest
import sqlalchemy as sa

from schemas.database import create_engine_for
from schemas.migrations import downgrade, upgrade
from schemas.tables import THUMBNAIL_COLUMN_NAMES


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def columns(engine: sa.Engine, table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(engine).get_columns(table)}


def test_an_empty_database_gets_every_table_and_an_upgrade_can_be_repeated(url: str) -> None:
    upgrade(url)
    upgrade(url)
    engine = create_engine_for(url)
    assert {"companies", "storage_connections", "projects", "ar_contents", "videos"} <= set(
        sa.inspect(engine).get_table_names()
    )
    engine.dispose()


def test_the_platforms_own_tables_keep_their_rows_and_columns(url: str) -> None:
    engine = create_engine_for(url)
    with engine.begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE videos (id INTEGER PRIMARY KEY, mood VARCHAR(20), thumbnail_url VARCHAR(50))")
        )
        connection.execute(sa.text("INSERT INTO videos VALUES (1, 'sunny', 'http://old')"))
        connection.execute(sa.text("CREATE TABLE ar_contents (id INTEGER PRIMARY KEY, company_id INTEGER)"))
    upgrade(url)

    assert columns(engine, "videos") == {"id", "mood", *THUMBNAIL_COLUMN_NAMES}
    with engine.connect() as connection:
        row = connection.execute(sa.text("SELECT mood, thumbnail_url, thumbnail_status FROM videos")).one()
    assert tuple(row) == ("sunny", "http://old", None)

    downgrade(url)
    assert columns(engine, "videos") == {"id", "mood", "thumbnail_url"}
    engine.dispose()
