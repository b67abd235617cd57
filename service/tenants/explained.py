"""Errors of one sentence about the platform's rows, and the right to change these rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from schemas.database_faults import explain_database_fault, said_by_database
from service.settings import DatabaseSettings
from service.tenants.values import RowError


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error of the database into a RowError of one sentence."""
    try:
        yield
    except SQLAlchemyError as exc:
        if isinstance(exc, IntegrityError):
            advice = "Where a platform owns this table, make the change there."
            raise RowError(f"The database refused: {said_by_database(exc)}. {advice}") from exc
        raise RowError(explain_database_fault(exc)) from exc


def require_writable(settings: DatabaseSettings) -> None:
    """Return where this service may change companies and storage connections. Raises RowError."""
    if settings.tenant_tables_read_only:
        raise RowError(
            "A platform owns the companies and storage connections here (TENANT_TABLES_READ_ONLY=true):"
            " make the change there."
        )


def insert(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> int:
    """Insert a row and return its id."""
    key = connection.execute(sa.insert(table).values(values)).inserted_primary_key
    if key is None:
        raise AssertionError(f"{table.name} has no primary key")
    return int(key[0])
