"""The migration: makes everything where nothing is, and adds only what is ours where the platform is."""

from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from schemas import database, migrations
from schemas.database import create_engine_for
from schemas.events import MediaKind
from schemas.migrations import MigrationError, downgrade, upgrade
from schemas.tables import THUMBNAIL_COLUMN_NAMES
from service.backfill.rows import RowPages
from service.backfill.state import Mode, RowChoice, Run


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


def test_rows_of_before_count_as_made_with_other_settings_and_are_found_by_their_ids(url: str) -> None:
    """The migration touches no row; the query of a backfill walks along the primary key, and needs no index of ours."""
    upgrade(url)
    downgrade(url, "0002")
    engine = create_engine_for(url)
    assert "thumbnail_settings" not in columns(engine, "videos") | columns(engine, "ar_contents")
    upgrade(url)
    assert {"thumbnail_settings"} <= columns(engine, "videos") & columns(engine, "ar_contents")
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO companies (id, name, slug) VALUES (1, 'Acme', 'acme')"))
        connection.execute(sa.text("INSERT INTO projects (id, company_id, name) VALUES (1, 1, 'x')"))
        connection.execute(
            sa.text("INSERT INTO ar_contents (id, project_id, company_id, unique_id) VALUES (1, 1, 1, 'x')")
        )
        for first in range(1, 20_001, 500):
            rows = [{"id": number, "path": "acme/v.mp4"} for number in range(first, first + 500)]
            insert = (
                "INSERT INTO videos (id, ar_content_id, video_path, thumbnail_status) VALUES (:id, 1, :path, 'ready')"
            )
            connection.execute(sa.text(insert), rows)
    choice = RowChoice(mode=Mode.OLDER, settings="1-x", kinds=(MediaKind.VIDEO,))
    asked: list[str] = []
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "

    @sa.event.listens_for(engine, "before_cursor_execute")
    def keep(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if not statement.startswith(explain) and "thumbnail_settings" in statement:
            asked.append(statement)
            with engine.connect() as other:
                if engine.dialect.name == "postgresql":
                    other.exec_driver_sql("ANALYZE videos")
                plans.append("\n".join(str(row) for row in other.exec_driver_sql(explain + statement, parameters)))

    plans: list[str] = []
    run = Run(name="x", topic="t", choice=choice, last_ids={MediaKind.VIDEO: 20_000})
    page = RowPages(engine).page(run, MediaKind.VIDEO, 100)
    assert [row.id for row in page.rows] == list(range(1, 101))
    assert len(asked) == 1
    assert "SCAN videos" not in plans[0]
    assert "Seq Scan on videos" not in plans[0]
    engine.dispose()


def test_a_migration_takes_longer_than_any_other_statement_may(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STATEMENT_TIMEOUT_MS", 200)
    to_head = command.upgrade

    def upgrade_slowly(config: Config, revision: str) -> None:
        to_head(config, revision)
        config.attributes["connection"].exec_driver_sql("SELECT pg_sleep(0.6)")

    monkeypatch.setattr(command, "upgrade", upgrade_slowly)
    upgrade(postgres_url)
    engine = create_engine_for(postgres_url)
    assert "videos" in sa.inspect(engine).get_table_names()
    with pytest.raises(sa.exc.OperationalError, match="statement timeout"), engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_sleep(0.6)")
    engine.dispose()


@pytest.mark.parametrize(
    ("limit", "lock", "sentence"),
    [
        ("LOCK_TIMEOUT_MS", "LOCK TABLE videos IN ACCESS EXCLUSIVE MODE", "kept the tables locked for 0.2 s: end it"),
        ("OTHER_UPGRADE_MS", f"SELECT pg_advisory_xact_lock({migrations._LOCK})", "still at work after 0.2 s: wait"),
    ],
)
def test_a_migration_that_is_locked_out_changes_nothing_and_says_what_to_do(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, limit: str, lock: str, sentence: str
) -> None:
    monkeypatch.setattr(migrations, limit, 200)
    owner = sa.create_engine(postgres_url)
    with owner.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE videos (id INTEGER PRIMARY KEY)")
    with owner.begin() as connection:
        connection.exec_driver_sql(lock)
        with pytest.raises(MigrationError, match=sentence):
            upgrade(postgres_url)
    assert sa.inspect(owner).get_table_names() == ["videos"]
    upgrade(postgres_url)
    assert set(THUMBNAIL_COLUMN_NAMES) <= columns(owner, "videos")
    owner.dispose()
