"""Which errors of the database are a value's fault: those make dead letters, and all others wait."""

import sqlite3

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import errors

from schemas.database_faults import (
    explain_database_fault,
    is_about_a_value,
    is_about_schema_or_rights,
    is_an_outage,
    sqlstate_of,
)

STATES = [code for code in errors._sqlcodes if errors.lookup(code).sqlstate == code]  # it has their names as well


def wrapped(original: Exception, base: type[Exception] = psycopg.Error) -> Exception:
    """`original` as SQLAlchemy raises it: in its own class, beside a statement with parameters."""
    raised = sa.exc.DBAPIError.instance("UPDATE videos …", {"url": "http://tenant/secret"}, original, base)
    assert isinstance(raised, Exception)
    return raised


def of_postgres(state: str, text: str = "refused\nDETAIL: a tenant's value") -> Exception:
    return wrapped(errors.lookup(state)(text))


def of_sqlite(kind: type[sqlite3.Error], name: str = "SQLITE_ERROR", text: str = "refused") -> Exception:
    original = kind(text)
    original.sqlite_errorname = name
    return wrapped(original, sqlite3.Error)


@pytest.mark.parametrize(
    "exc",
    [
        of_postgres("22001"),
        of_postgres("22003"),
        of_postgres("22021"),
        of_postgres("22P02"),
        of_postgres("22P05"),
        of_postgres("23502"),
        of_postgres("23505"),
        of_postgres("23514"),
        of_postgres("54000", "index row size 2720 exceeds btree version 4 maximum 2704"),
        wrapped(psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")),
        of_sqlite(sqlite3.IntegrityError),
        of_sqlite(sqlite3.DataError),
        OverflowError("Python int too large to convert to SQLite INTEGER"),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        sa.exc.StatementError("x", "UPDATE …", {}, ValueError("no number")),
    ],
    ids=repr,
)
def test_what_is_refused_in_a_value_is_the_values_fault(exc: Exception) -> None:
    assert is_about_a_value(exc)


def test_no_other_state_of_postgresql_is_a_values_fault() -> None:
    taken = {state for state in STATES if is_about_a_value(of_postgres(state))}
    assert taken == {state for state in STATES if state[:2] in ("22", "23")} | {"54000"}


def test_only_tables_rights_and_logins_are_no_matter_of_time() -> None:
    lasting = {state for state in STATES if is_about_schema_or_rights(of_postgres(state))}
    assert lasting == {state for state in STATES if state[:2] in ("28", "3D", "3F")} | {"42501", "42703", "42P01"}
    assert is_about_schema_or_rights(wrapped(psycopg.OperationalError('FATAL: database "x" does not exist')))
    assert is_about_schema_or_rights(of_sqlite(sqlite3.OperationalError, text="no such table: videos"))
    assert not is_about_schema_or_rights(wrapped(psycopg.OperationalError("FATAL: the database system is starting up")))
    assert not is_about_schema_or_rights(of_sqlite(sqlite3.OperationalError, "SQLITE_BUSY", "database is locked"))
    assert not is_about_schema_or_rights(None)


@pytest.mark.parametrize(
    ("exc", "passes"),
    [
        (wrapped(psycopg.OperationalError("connection failed: Connection refused")), True),
        (wrapped(psycopg.OperationalError("FATAL: the database system is starting up")), True),
        (wrapped(psycopg.OperationalError("FATAL: sorry, too many clients already")), True),
        (wrapped(psycopg.OperationalError("session is read-only")), True),
        (of_postgres("08P01", "server login has been failing, try again later"), True),
        (of_postgres("57P01"), True),
        (wrapped(psycopg.OperationalError('FATAL: password authentication failed for user "x"')), False),
        (wrapped(psycopg.OperationalError('FATAL: database "x" does not exist')), False),
        (of_postgres("42P01"), False),
        (of_postgres("42501"), False),
        (wrapped(psycopg.NotSupportedError("The database's encoding is SQL_ASCII")), False),
        (of_sqlite(sqlite3.OperationalError, "SQLITE_CANTOPEN", "unable to open database file"), False),
        (of_sqlite(sqlite3.OperationalError, text="no such table: videos"), False),
    ],
    ids=repr,
)
def test_an_outage_is_what_passes_by_itself(exc: Exception, passes: bool) -> None:
    assert is_an_outage(exc) is passes


@pytest.mark.parametrize(
    "exc",
    [
        wrapped(psycopg.OperationalError("connection failed: Connection refused")),
        wrapped(psycopg.InterfaceError("the connection is closed")),
        wrapped(psycopg.ProgrammingError("cannot adapt type")),
        of_sqlite(sqlite3.OperationalError, "SQLITE_BUSY"),
        of_sqlite(sqlite3.OperationalError, text="no such column: thumbnail_url"),
        sa.exc.TimeoutError("QueuePool limit reached"),
        sa.exc.ResourceClosedError("This Connection is closed"),
        sa.exc.StatementError("x", "UPDATE …", {}, TypeError("a bug")),
        sa.exc.DBAPIError.instance("x", {}, errors.lookup("22001")("x"), psycopg.Error, connection_invalidated=True),
    ],
    ids=repr,
)
def test_all_else_waits(exc: Exception) -> None:
    assert not is_about_a_value(exc)


@pytest.mark.parametrize(
    ("exc", "advice"),
    [
        (of_postgres("25006"), "read-only"),
        (of_postgres("42501"), "grant"),
        (of_postgres("42703"), "thumbnails db upgrade"),
        (of_postgres("42P01"), "thumbnails db upgrade"),
        (of_postgres("53100"), "disk"),
        (of_postgres("57014"), "took too long"),
        (of_postgres("57P01"), "bring its server back"),
        (of_postgres("28P01"), "the password in DATABASE_URL"),
        (of_postgres("P0001"), "trigger"),
        (of_sqlite(sqlite3.OperationalError, "SQLITE_CANTOPEN_ISDIR"), "make its folder"),
        (of_sqlite(sqlite3.OperationalError, text="no such table: videos"), "thumbnails db upgrade"),
        (wrapped(psycopg.OperationalError("connection failed")), "DATABASE_URL is right"),
        (wrapped(psycopg.OperationalError('FATAL: too many connections for database "x"')), "short of disk"),
        (wrapped(psycopg.OperationalError("FATAL: sorry, too many clients already")), "short of disk"),
        (wrapped(psycopg.OperationalError("FATAL: no more connections allowed (max_client_conn)")), "short of disk"),
        (wrapped(psycopg.OperationalError("FATAL: the database system is shutting down")), "bring its server back"),
        (wrapped(psycopg.OperationalError("connection failed: session is read-only")), "read-only"),
        (wrapped(psycopg.OperationalError('FATAL: password authentication failed for user "x"')), "check the user"),
        (
            wrapped(psycopg.OperationalError('FATAL: role "x" does not exist')),
            "The database or its user does not exist",
        ),
        (of_postgres("26000"), "see the pooler"),
        (wrapped(errors.lookup("22001")("x")), "DATABASE_URL is right"),
        (sa.exc.TimeoutError("QueuePool limit reached"), "DATABASE_URL is right"),
    ],
    ids=repr,
)
def test_a_fault_is_one_sentence_that_says_what_to_do_and_shows_no_value(exc: Exception, advice: str) -> None:
    sentence = explain_database_fault(exc)
    assert advice in sentence
    assert sentence.endswith(").")
    assert "\n" not in sentence
    assert "tenant" not in sentence


def test_every_sqlstate_has_a_sentence() -> None:
    assert all(len(explain_database_fault(of_postgres(state))) > 30 for state in STATES)


def test_the_sqlstate_is_found_with_and_without_sqlalchemy_around_it() -> None:
    assert sqlstate_of(of_postgres("25006")) == "25006"
    assert sqlstate_of(errors.lookup("25006")("x")) == "25006"
    assert sqlstate_of(sqlite3.OperationalError("x")) is None
