"""States in which a database takes no results, each made on a real PostgreSQL and ended again."""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

_END_SESSIONS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND usename = '{user}'"
)
"""A changed default is one of the sessions that begin after it."""


@dataclass
class Spoiled:
    """A database that can be spoiled; `url` is that of a user who may read and update its rows, and owns nothing."""

    url: str
    owner: sa.Connection
    """Commits by itself."""
    locker: sa.Connection
    """Holds its locks until it rolls back."""

    def run(self, *statements: str) -> None:
        """Run them as the owner; `{database}` and `{user}` stand for the names in `url`."""
        url = sa.make_url(self.url)
        for statement in statements:
            self.owner.exec_driver_sql(statement.format(database=url.database, user=url.username))

    def make_user(self) -> None:
        """Make the user of `url`, with the rights that docs/runbooks.md names."""
        self.run(
            """CREATE ROLE "{user}" LOGIN PASSWORD '{user}'""",
            'GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO "{user}"',
        )


@dataclass(frozen=True)
class State:
    """A state: what makes and ends it, and what the role must say: its sentence, and PostgreSQL's own words.

    `is_real`: PostgreSQL gets into it as in production; else a trigger raises the SQLSTATE. `for_program`: it takes over 30 s,
    or comes for sure with hundreds of results only, as that in which a session may idle for a millisecond.
    """

    sqlstate: str
    sentence: str
    said: str
    spoil: tuple[str, ...]
    restore: tuple[str, ...]
    is_real: bool = True
    has_lock: bool = False
    for_program: bool = False

    def begin(self, database: Spoiled) -> None:
        """Bring the database into it."""
        database.run(*self.spoil)
        if self.has_lock:
            database.locker.exec_driver_sql("LOCK TABLE videos IN ACCESS EXCLUSIVE MODE")

    def end(self, database: Spoiled) -> None:
        """Repair the database, and nothing else: sessions stay as they are."""
        database.locker.rollback()
        database.run(*self.restore)


def _setting(name: str, value: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    change = f'ALTER DATABASE "{{database}}" SET {name} = {value}'
    return (change, _END_SESSIONS), (f'ALTER DATABASE "{{database}}" RESET {name}',)


def _trigger(body: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    function = f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$"
    trigger = "CREATE TRIGGER refuse BEFORE UPDATE ON videos FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
    return (function, trigger), ("DROP TRIGGER refuse ON videos", "DROP FUNCTION refuse")


def _raised(sqlstate: str, sentence: str) -> State:
    spoil, restore = _trigger(f"RAISE EXCEPTION 'planted {sqlstate}' USING ERRCODE = '{sqlstate}'")
    return State(sqlstate, sentence, f"planted {sqlstate}", spoil, restore, is_real=False)


_SCHEMA: Final = "run `thumbnails db upgrade`"
STATES: Final[dict[str, State]] = {
    "read-only, as after a failover to a replica": State(
        "25006",
        "The database is read-only",
        "in a read-only transaction",
        *_setting("default_transaction_read_only", "on"),
    ),
    "a column is missing": State(
        "42703",
        _SCHEMA,
        "does not exist",
        ("ALTER TABLE videos RENAME thumbnail_placeholder TO away",),
        ("ALTER TABLE videos RENAME away TO thumbnail_placeholder",),
    ),
    "a table is missing": State(
        "42P01",
        _SCHEMA,
        'relation "videos" does not exist',
        ("ALTER TABLE videos RENAME TO videos_away",),
        ("ALTER TABLE videos_away RENAME TO videos",),
    ),
    "a right was taken away": State(
        "42501",
        "grant it SELECT and UPDATE",
        "permission denied for table videos",
        ('REVOKE UPDATE ON videos FROM "{user}"',),
        ('GRANT UPDATE ON videos TO "{user}"',),
    ),
    "no session is free": State(
        "53300",
        "short of disk, memory or connections",
        "too many connections for database",
        ('ALTER DATABASE "{database}" CONNECTION LIMIT 0', _END_SESSIONS),
        ('ALTER DATABASE "{database}" CONNECTION LIMIT -1',),
    ),
    "the server ends each session": State(
        "57P01",
        "The database shuts down or starts",
        "terminating connection due to administrator command",
        *_trigger("PERFORM pg_terminate_backend(pg_backend_pid())"),
    ),
    "a session may not idle in a transaction": State(
        "25P03",
        "The database ended the transaction",
        "idle-in-transaction timeout",
        *_setting("idle_in_transaction_session_timeout", "'1ms'"),
        for_program=True,
    ),
    "a transaction was ended": _raised("25P03", "The database ended the transaction"),
    "somebody cancels each statement": State(
        "57014",
        "ended a statement that took too long",
        "canceling statement due to user request",
        *_trigger("PERFORM pg_cancel_backend(pg_backend_pid()); PERFORM pg_sleep(1)"),
    ),
    "a lock does not come in time": State(
        "55P03",
        "keeps the tables locked",
        "due to lock timeout",
        *_setting("lock_timeout", "'200ms'"),
        has_lock=True,
    ),
    "a statement takes longer than its limit": State(
        "57014",
        "ended a statement that took too long",
        "due to statement timeout",
        (_END_SESSIONS,),
        (),
        has_lock=True,
        for_program=True,
    ),
    "a prepared statement is gone": _raised("26000", "A prepared statement is gone"),
    "a prepared statement is there already": _raised("42P05", "A prepared statement is gone or there twice"),
    "a cached plan does not fit any more": _raised("0A000", "cannot do this in its present state"),
    "the disk is full": _raised("53100", "short of disk, memory or connections"),
    "transactions cannot be put in an order": _raised("40001", "Other transactions were in the way"),
    "a deadlock": _raised("40P01", "Other transactions were in the way"),
    "the server reports a fault of its own": _raised("XX000", "reports a fault of its own"),
    "a trigger refuses": _raised("P0001", "A trigger or a function"),
}
