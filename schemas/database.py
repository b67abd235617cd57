"""Engines that behave alike: PostgreSQL in production, SQLite as the embedded default."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from schemas.database_faults import READ_ONLY, sqlstate_of

CONNECT_TIMEOUT_S: Final = 5
POSTGRES_PORT: Final = "5432"
STATEMENT_TIMEOUT_MS: Final = 30_000
VANISHED_AFTER_MS: Final = 25_000
SQLITE_LOCK_TIMEOUT_S: Final = 15
_WRITES: Final = "thumbnails_writes"
_DRIVERS: Final = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite"}
_POSTGRES_FORM: Final = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_SEVERAL_HOSTS: Final = re.compile(r"([^:/?#@]+://)([^@]*@)?([^@/?,]*,[^@/?]*)(/[^?]*)?(?:\?(.*))?")
_SQLITE_FORM: Final = "sqlite:///FILE"
_SQL_ASCII: Final = (
    "The database's encoding is SQL_ASCII, which keeps bytes and not characters:"
    " create one with ENCODING 'UTF8' TEMPLATE template0"
)
_UNREADABLE: Final = f"DATABASE_URL cannot be read: write {_POSTGRES_FORM} or {_SQLITE_FORM}."


class DatabaseUrlError(Exception):
    """DATABASE_URL is wrong. The message says what to do and contains no part of a password."""


def create_engine_for(url: str, *, statement_timeout_ms: int | None = None) -> sa.Engine:
    """Create an engine with bounded waits, which connects at its first use. Raises DatabaseUrlError.

    A statement on PostgreSQL may take STATEMENT_TIMEOUT_MS unless another limit is given; 0: as long as it takes.
    """
    parsed = _read_url(url)
    try:
        if parsed.drivername == "sqlite":
            return _create_sqlite_engine(parsed)
        return _create_postgres_engine(
            parsed, STATEMENT_TIMEOUT_MS if statement_timeout_ms is None else statement_timeout_ms
        )
    except (ArgumentError, ValueError, TypeError):  # an option after the `?`, or a host where SQLite has none
        raise DatabaseUrlError(_UNREADABLE) from None


def _read_url(text: str) -> sa.URL:
    """Return the URL with the driver that we use, whichever it names: platforms hand out postgres:// and asyncpg's, too."""
    try:
        url = sa.make_url(_with_hosts_as_options(text.strip()))
    except (ArgumentError, ValueError):  # not chained: it quotes what may be a part of the password
        raise DatabaseUrlError(_UNREADABLE) from None
    driver = _DRIVERS.get(url.get_backend_name().lower())
    if driver is None:
        raise DatabaseUrlError(
            f"DATABASE_URL begins with {url.drivername}://, which is no database of this service:"
            f" give {_POSTGRES_FORM} or {_SQLITE_FORM}."
        )
    if driver != "sqlite" and "@" in f"{url.host}{url.database}":
        raise DatabaseUrlError("The password in DATABASE_URL has an @ of its own: write it as %40, and a % as %25.")
    return url.set(drivername=driver)


def _with_hosts_as_options(text: str) -> str:
    """Return the URL with its hosts as SQLAlchemy takes them, where there are several as libpq takes them: HOST:PORT,HOST:PORT."""
    found = _SEVERAL_HOSTS.fullmatch(text)
    if found is None:
        return text
    scheme, login, hosts, database, options = found.groups(default="")
    names, ports = zip(*[_host_and_port(place) for place in hosts.split(",")], strict=True)
    query = "&".join(filter(None, [f"host={','.join(names)}", f"port={','.join(ports)}", options]))
    return f"{scheme}{login}{database or '/'}?{query}"


def _host_and_port(place: str) -> tuple[str, str]:
    name, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):  # the colon is one of an IPv6 address
        name, port = place, ""
    return name.removeprefix("[").removesuffix("]"), port or POSTGRES_PORT


@contextmanager
def write_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction for writing. It commits at the end, and rolls back when the body raises."""
    with engine.connect() as connection:
        writing = connection.execution_options(**{_WRITES: True})
        with writing.begin():
            yield writing


def _create_postgres_engine(url: sa.URL, statement_timeout_ms: int) -> sa.Engine:
    """Return an engine that also works through PgBouncer in transaction mode, where each transaction may get another session.

    So nothing may be left in a session: no setting, which PgBouncer refuses in the start packet but for a few, and no
    prepared statement.
    """
    arguments: dict[str, Any] = {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "thumbnail-pipeline",
        "autocommit": True,  # the driver would send a BEGIN of its own; ours is sent below
        "prepare_threshold": None,
        # A server that vanished without a word is noticed within half a minute.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": VANISHED_AFTER_MS,  # keepalives are silent while a query waits to be acknowledged
    }
    engine = sa.create_engine(url, pool_pre_ping=True, pool_timeout=10, connect_args=arguments)

    @sa.event.listens_for(engine, "connect", insert=True)  # before SQLAlchemy's own, which fails at such a database
    def refuse_without_encoding(connection: Any, _record: object) -> None:
        if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
            connection.close()
            raise engine.dialect.loaded_dbapi.NotSupportedError(_SQL_ASCII)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # One round trip, as a BEGIN alone.
        connection.exec_driver_sql(f"BEGIN; SET LOCAL statement_timeout = {statement_timeout_ms}")

    @sa.event.listens_for(engine, "handle_error")
    def leave_a_replica(context: sa.engine.ExceptionContext) -> None:
        # After a failover the pool would stay with the server that was the primary: all its connections are replaced.
        if sqlstate_of(context.original_exception) == READ_ONLY:
            context.is_disconnect = True

    return engine


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
