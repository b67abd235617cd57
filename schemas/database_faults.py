"""Classify errors of the database: a refused value, or a state that passes. Explain each in a sentence.

The codes are PostgreSQL's SQLSTATEs (https://www.postgresql.org/docs/current/errcodes-appendix.html), of which the first
two characters are the class, and SQLite's result codes (https://www.sqlite.org/rescode.html).
"""

from typing import Final

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    StatementError,
)

LOCK_NOT_AVAILABLE: Final = "55P03"
READ_ONLY: Final = "25006"
"""The server is a replica by now, or an administrator or a full disk made it read-only."""

_OF_A_VALUE: Final = (
    "22",  # data exception: too long, out of range, a NUL in a JSON text, no valid UTF-8
    "23",  # integrity constraint violation
    "54000",  # program limit exceeded: a value is too large for an index or a page
)
_SCHEMA: Final = "The tables are not as this version needs them: run `thumbnails db upgrade`"
_POOLER: Final = (
    "A prepared statement is gone or there twice, and this service makes none: see the pooler before the database"
)
_MEANINGS: Final = {
    "08": "The connection to the database broke: see that its server runs",
    "0A": "The database cannot do this in its present state: see its server's log",
    READ_ONLY: "The database is read-only: end its failover, recovery or read-only mode, or give its disk room",
    "25": "The database ended the transaction: see its server's log and its transaction timeouts",
    "26": _POOLER,
    "28": "The database refuses the login: check the user and the password in DATABASE_URL",
    "3D": "The database or its user does not exist: create it, or correct its name in DATABASE_URL",
    "3F": _SCHEMA,
    "40": "Other transactions were in the way: it helps to wait",
    "42501": "The database's user lacks a right: grant it SELECT and UPDATE on videos and ar_contents",
    "42703": _SCHEMA,
    "42P01": _SCHEMA,
    "42P05": _POOLER,
    "42": "The database does not take the statement: run `thumbnails db upgrade`, then see its server's log",
    "53": "The database is short of disk, memory or connections: give it more",
    "55": "The database keeps the tables locked, or is not ready: end what locks them",
    "57014": "The database ended a statement that took too long: end what locks the tables or slows the server",
    "57": "The database shuts down or starts: bring its server back",
    "58": "The database's server fails at its own files: see its log and its disk",
    "P0": "A trigger or a function of the database refuses the row: see its code",
    "XX": "The database's server reports a fault of its own: see its log",
    "SQLITE_BUSY": "Another process keeps the database's file locked: end it",
    "SQLITE_CANTOPEN": "The database's file cannot be opened: make its folder, and let this user write there",
    "SQLITE_FULL": "The disk of the database's file is full: make room",
    "SQLITE_IOERR": "The database's file cannot be read or written: see its disk",
    "SQLITE_NOTADB": "The file that DATABASE_URL names is not an SQLite database: correct the path",
    "SQLITE_READONLY": "The database's file is read-only: let this user write to it and to its folder",
}
_NO_SUCH: Final = ("no such table", "no such column")
_SAID_AT_LOGIN: Final = {
    '" does not exist': "3D000",  # the role or the database
    "password authentication failed": "28P01",
    "no pg_hba.conf entry": "28000",
    "permission denied for database": "42501",
    "is not permitted to log in": "28000",
    "too many connections": "53300",
    "too many clients": "53300",
    "connection slots are reserved": "53300",
    "no more connections allowed": "53300",  # PgBouncer's own
    "database system is": "57P03",  # starting up, shutting down, in recovery mode
    "session is read-only": READ_ONLY,  # of several servers none is the primary
}
"""libpq hands no code on when a connection is refused. In another language the sentence is the general one."""
_OF_SCHEMA_OR_RIGHTS: Final = ("28", "3D", "3F", "42501", "42703", "42P01")
_OF_AN_OUTAGE: Final = ("08", READ_ONLY, "53", "55", "57", "58", "XX")
"""The server is away, starts, is full or was failed over: it passes without a change of settings, schema or rights."""
_UNKNOWN: Final = "The database does not work: see that its server runs, and that DATABASE_URL is right"
_MAX_SAID: Final = 300


def sqlstate_of(exc: BaseException | None) -> str | None:
    """Return PostgreSQL's code of the error, also when SQLAlchemy wraps it; None when the server sent none."""
    state = getattr(exc.orig if isinstance(exc, StatementError) else exc, "sqlstate", None)
    return state if isinstance(state, str) else None


def is_about_a_value(exc: Exception) -> bool:
    """Return whether the database, or its driver, refuses what a row was to hold: to wait does not help.

    All else is a state of the database, its schema or its rights, which has nothing to do with the row.
    """
    if not isinstance(exc, DBAPIError):
        # The driver's own conversion: an integer too large for SQLite, a text that is no valid Unicode.
        return isinstance(exc.orig if isinstance(exc, StatementError) else exc, ValueError | OverflowError)
    if exc.connection_invalidated:
        return False
    state = sqlstate_of(exc)
    if state is None:  # SQLite, or psycopg itself, which sends no NUL in a text
        return isinstance(exc, DataError | IntegrityError)
    return state.startswith(_OF_A_VALUE)


def is_about_schema_or_rights(exc: BaseException | None) -> bool:
    """Return whether tables, rights, login or the database itself are not as they must be: only a person can correct that."""
    if exc is None:
        return False
    has_no_state = isinstance(exc, DBAPIError) and sqlstate_of(exc) is None
    is_schema_of_sqlite = has_no_state and any(sign in said_by_database(exc) for sign in _NO_SUCH)
    return is_schema_of_sqlite or (sqlstate_of(exc) or _code_at_login(exc) or "").startswith(_OF_SCHEMA_OR_RIGHTS)


def is_an_outage(exc: BaseException) -> bool:
    """Return whether the server is away or takes nobody in at present. A file of SQLite is never away: its path is wrong."""
    code = fault_code(exc)
    return isinstance(exc, OperationalError) if code is None else code.startswith(_OF_AN_OUTAGE)


def fault_code(exc: BaseException) -> str | None:
    """Return the SQLSTATE, or SQLite's name of the code; None when the database sent none."""
    code = sqlstate_of(exc) or getattr(getattr(exc, "orig", None), "sqlite_errorname", None) or _code_at_login(exc)
    return code if isinstance(code, str) else None


def _code_at_login(exc: BaseException) -> str | None:
    if not isinstance(exc, DBAPIError) or exc.orig is None or sqlstate_of(exc) is not None:
        return None
    said = str(exc.orig)
    return next((code for sign, code in _SAID_AT_LOGIN.items() if sign in said), None)


def said_by_database(exc: BaseException) -> str:
    """Return the first line of the database's message, without the statement and its parameters: they hold the tenant's data."""
    return str(getattr(exc, "orig", None) or exc).strip().partition("\n")[0][:_MAX_SAID].rstrip(". ")


def explain_database_fault(exc: BaseException) -> str:
    """Return one sentence: what is wrong, what to do, and what the database said."""
    said = said_by_database(exc)
    if isinstance(exc, NotSupportedError) and sqlstate_of(exc) is None:  # our own refusal, which says all
        return f"{said}."
    return f"{_meaning(exc)} ({said})."


def _meaning(exc: BaseException) -> str:
    code = fault_code(exc)
    if said_by_database(exc).startswith(_NO_SUCH):  # to SQLite they are errors without a code of their own
        return _SCHEMA
    if code is None:
        return _UNKNOWN
    fitting = [known for known in _MEANINGS if code.startswith(known)]
    return _MEANINGS[max(fitting, key=len)] if fitting else _UNKNOWN
