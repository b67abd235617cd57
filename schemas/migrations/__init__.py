"""Run the Alembic migrations, without a configuration file."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from schemas.database import create_engine_for, write_transaction

_LOCK: Final = 7_246_331_042
"""PostgreSQL advisory lock: two starts at the same time migrate one after the other."""


class MigrationError(Exception):
    """The database cannot be migrated to the revision; the message says what to do."""


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the database up to `revision`. Safe to repeat; tables and columns that are there already stay."""
    _run(database_url, lambda config: command.upgrade(config, revision))


def downgrade(database_url: str, revision: str = "base") -> None:
    """Remove the pipeline's columns; the platform's tables and rows stay."""
    _run(database_url, lambda config: command.downgrade(config, revision))


def _run(database_url: str, action: Callable[[Config], None]) -> None:
    engine = create_engine_for(database_url)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    try:
        with write_transaction(engine) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            config.attributes["connection"] = connection
            action(config)
    except CommandError as exc:  # the database has a revision that this release does not know
        raise MigrationError(
            f"The database is of another version of this service: upgrade with the newest that used it ({exc})."
        ) from exc
    finally:
        engine.dispose()
