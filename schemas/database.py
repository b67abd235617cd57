"""Engines that behave alike: PostgreSQL in production, SQLite as the embedded default."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa

CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_MS: Final = 30_000
SQLITE_LOCK_TIMEOUT_S: Final = 15
_WRITES: Final = "thumbnails_writes"


def create_engine_for(url: str) -> sa.Engine:
    """An engine with bounded waits; it connects at its first use."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _create_sqlite_engine(parsed)
    arguments: dict[str, Any] = {}
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        arguments = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "thumbnail-pipeline",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}",
            # A server that vanished without a word is noticed within half a minute.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
    return sa.create_engine(parsed, pool_pre_ping=True, pool_timeout=10, connect_args=arguments)


@contextmanager
def write_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that is going to write: it commits at the end, or rolls back when the body raises."""
    with engine.connect() as connection:
        writing = connection.execution_options(**{_WRITES: True})
        with writing.begin():
            yield writing


def _create_sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": SQLITE_LOCK_TIMEOUT_S})

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver would delay BEGIN; ours is sent below
        connection.execute("PRAGMA journal_mode=WAL")  # readers and the one writer do not wait for each other
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A writer that first reads would fail at once, without waiting, when another wrote in between.
        is_writing = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    return engine
