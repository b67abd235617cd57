"""Find the row that a person means: by its id, or by its slug or name."""

from typing import Final

import sqlalchemy as sa

from schemas.tables import companies, storage_connections
from service.tenants.explained import explained
from service.tenants.values import RowError

MAX_ID: Final = 2**31 - 1
"""The largest value of an INTEGER column; PostgreSQL refuses to compare one with more."""
_SHOWN: Final = 80
_MAX_SHOWN_IDS: Final = 10


def company_id_of(engine: sa.Engine, given: str) -> int:
    """Return the id of the company with the id, else the slug, else the name `given`. Raises RowError."""
    with explained(), engine.connect() as connection:
        return found_company_id(connection, given)


def connection_id_of(engine: sa.Engine, given: str) -> int:
    """Return the id of the storage connection with the id, else the name `given`. Raises RowError."""
    with explained(), engine.connect() as connection:
        return found_connection_id(connection, given)


def found_company_id(connection: sa.Connection, given: str) -> int:
    """Do the work of `company_id_of` within a transaction."""
    ids = _matches(connection, companies, given, ("slug", "name"))
    if not ids:
        raise RowError(
            f"No company has the {_kind(given, 'slug or the name')} {_shown(given)}: `thumbnails company list` shows all,"
            " `thumbnails company add NAME` adds one."
        )
    return _only(ids, given, "companies")


def found_connection_id(connection: sa.Connection, given: str) -> int:
    """Do the work of `connection_id_of` within a transaction."""
    ids = _matches(connection, storage_connections, given, ("name",))
    if not ids:
        raise RowError(
            f"No storage connection has the {_kind(given, 'name')} {_shown(given)}: `thumbnails storage list` shows all."
        )
    return _only(ids, given, "storage connections")


def _matches(connection: sa.Connection, table: sa.Table, given: str, columns: tuple[str, ...]) -> list[int]:
    if _is_number(given) and int(given) <= MAX_ID:
        found = list(connection.scalars(sa.select(table.c.id).where(table.c.id == int(given))))
        if found:
            return found
    if not given.isprintable():  # no such name was ever taken, and a database refuses to look for it
        return []
    for name in columns:
        query = sa.select(table.c.id).where(table.c[name] == given).order_by(table.c.id).limit(_MAX_SHOWN_IDS + 1)
        if found := list(connection.scalars(query)):
            return found
    return []


def _is_number(given: str) -> bool:
    return given.isascii() and given.isdecimal() and len(given) <= len(str(MAX_ID))


def _kind(given: str, words: str) -> str:
    return "id" if given.isascii() and given.isdecimal() else words


def _shown(given: str) -> str:
    return given[:_SHOWN] if given.isascii() and given.isdecimal() else repr(given[:_SHOWN])


def _only(ids: list[int], given: str, what: str) -> int:
    if len(ids) > 1:
        shown = ", ".join(map(str, ids[:_MAX_SHOWN_IDS])) + (", …" if len(ids) > _MAX_SHOWN_IDS else "")
        raise RowError(f"Several {what} have the name {_shown(given)}: give one of the ids {shown}.")
    return ids[0]
