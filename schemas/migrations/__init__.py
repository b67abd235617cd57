"""Run the Alembic migrations, without a configuration file."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from schemas.database import create_engine_for, write_transaction
from schemas.database_faults import LOCK_NOT_AVAILABLE, sqlstate_of

_LOCK: Final = 7_246_331_042
"""PostgreSQL advisory lock: two starts at the same time migrate one after the other."""
OTHER_UPGRADE_MS: Final = 600_000
"""So long one migration waits for another."""
LOCK_TIMEOUT_MS: Final = 30_000
"""So long each statement waits for the tables; whoever comes after it has to wait as well. Its own work takes as long as it takes."""


class MigrationError(Exception):
    """The database cannot be migrated to the revision; the message says what to do."""


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the database up to `revision`. Safe to repeat; tables and columns that are there already stay."""
    _run(database_url, lambda config: command.upgrade(config, revision))


def downgrade(database_url: str, revision: str = "base") -> None:
    """Remove the pipeline's columns; the platform's tables and rows stay."""
    _run(database_url, lambda config: command.downgrade(config, revision))


def _run(database_url: str, action: Callable[[Config], None]) -> None:
    engine = create_engine_for(database_url, statement_timeout_ms=0)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    try:
        with write_transaction(engine) as connection:
            if connection.dialect.name == "postgresql":
                _wait_for_other_upgrades(connection)
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
            config.attributes["connection"] = connection
            action(config)
    except DBAPIError as exc:
        if sqlstate_of(exc) != LOCK_NOT_AVAILABLE:
            raise
        raise MigrationError(
            f"Another session kept the tables locked for {LOCK_TIMEOUT_MS / 1000:g} s: end it, or wait for its end"
            " (pg_stat_activity has it), and run `thumbnails db upgrade` again. Nothing was changed."
        ) from exc
    except CommandError as exc:  # the database has a revision that this release does not know
        raise MigrationError(
            f"The database is of another version of this service: upgrade with the newest that used it ({exc})."
        ) from exc
    finally:
        engine.dispose()


def _wait_for_other_upgrades(connection: sa.Connection) -> None:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {OTHER_UPGRADE_MS}")
    try:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    except DBAPIError as exc:
        if sqlstate_of(exc) != LOCK_NOT_AVAILABLE:
            raise
        raise MigrationError(
            f"Another `thumbnails db upgrade` is still at work after {OTHER_UPGRADE_MS / 1000:g} s: wait for its end, and run this again."
        ) from exc
