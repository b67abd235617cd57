"""Rows of companies and storage connections for an installation without a platform that writes them.

These functions insert and read rows; the one change is the storage connection of a company that has none.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from schemas.database import write_transaction
from schemas.database_faults import explain_database_fault, said_by_database
from schemas.tables import companies, storage_connections
from service.tenants.values import NewCompany, RowError
from storage.connections import StorageConnection
from storage.credentials import is_encrypted
from storage.keys import is_inside
from streams.rows.companies import CONNECTION_COLUMNS, connection_of

_CONNECTIONS: Final = sa.select(storage_connections.c.id.label("found_connection_id"), *CONNECTION_COLUMNS).order_by(
    storage_connections.c.id
)


def add_company(engine: sa.Engine, company: NewCompany) -> int:
    """Insert a company and return its id. Raises RowError, with nothing written."""
    with explained(), write_transaction(engine) as connection:
        if company.connection_id is not None:
            _require_connection(connection, company.connection_id)
        _require_own_place(connection, company)
        values = {
            "name": company.name,
            "slug": company.slug,
            "storage_path": company.storage_path or None,
            "storage_connection_id": company.connection_id,
        }
        return _insert(connection, companies, values)


def list_companies(engine: sa.Engine) -> list[dict[str, Any]]:
    """Return every company, ordered by id. Raises RowError."""
    query = (
        sa.select(
            companies.c.id,
            companies.c.name,
            companies.c.slug,
            companies.c.storage_path,
            companies.c.is_active,
            companies.c.storage_connection_id,
            storage_connections.c.name.label("storage_connection"),
            storage_connections.c.provider,
        )
        .outerjoin(storage_connections, companies.c.storage_connection_id == storage_connections.c.id)
        .order_by(companies.c.id)
    )
    with explained(), engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def add_connection(engine: sa.Engine, connection: StorageConnection, company_id: int | None) -> int:
    """Insert a storage connection, whose id is ignored, and return its id. Raises RowError, with nothing written.

    With `company_id`, that company uses it from now on; one that has a connection already is refused.
    """
    values = {
        "name": connection.name,
        "provider": connection.provider,
        "credentials": json.loads(connection.credentials),
        "base_path": connection.base_path or None,
    }
    with explained(), write_transaction(engine) as transaction:
        connection_id = _insert(transaction, storage_connections, values)
        if company_id is not None:
            _require_no_connection(transaction, company_id)
            update = sa.update(companies).where(companies.c.id == company_id)
            transaction.execute(update.values(storage_connection_id=connection_id))
        return connection_id


def require_attachable(engine: sa.Engine, company_id: int) -> None:
    """Return when the company exists and has no storage connection. Raises RowError."""
    with explained(), engine.connect() as connection:
        _require_no_connection(connection, company_id)


def _require_no_connection(connection: sa.Connection, company_id: int) -> None:
    query = sa.select(companies.c.storage_connection_id).where(companies.c.id == company_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise RowError(_no_company(company_id))
    if row.storage_connection_id is not None:
        raise RowError(
            f"Company {company_id} uses storage connection {row.storage_connection_id}: its objects are there."
        )


def list_connections(engine: sa.Engine) -> list[dict[str, Any]]:
    """Return every storage connection without its credentials, ordered by id. Raises RowError."""
    uses = sa.select(companies.c.storage_connection_id, companies.c.id).order_by(companies.c.id)
    with explained(), engine.connect() as connection:
        users: defaultdict[int, list[int]] = defaultdict(list)
        for connection_id, company_id in connection.execute(uses.where(companies.c.storage_connection_id.is_not(None))):
            users[connection_id].append(company_id)
        found = connection.execute(_CONNECTIONS).mappings().all()
    return [
        {
            "id": row["found_connection_id"],
            "name": row["connection_name"],
            "provider": row["connection_provider"],
            "base_path": row["connection_base_path"],
            "is_active": row["connection_is_active"],
            "is_encrypted": _is_encrypted(row["connection_credentials"] or ""),
            "companies": users[row["found_connection_id"]],
        }
        for row in found
    ]


def _is_encrypted(credentials: str) -> bool | None:
    """Return whether the column's text is encrypted; None where there is nothing to encrypt."""
    return None if credentials.strip() in ("", "null", "{}") else is_encrypted(credentials)


def find_connection(engine: sa.Engine, connection_id: int) -> StorageConnection:
    """Return the storage connection. Raises RowError."""
    query = _CONNECTIONS.where(storage_connections.c.id == connection_id)
    with explained(), engine.connect() as connection:
        row = connection.execute(query).mappings().one_or_none()
    found = None if row is None else connection_of(row)
    if found is None:
        raise RowError(_no_connection(connection_id))
    return found


def _no_company(company_id: int) -> str:
    return (
        f"No company has the id {company_id}: `thumbnails company list` shows all,"
        " `thumbnails company add NAME` adds one."
    )


def _no_connection(connection_id: int) -> str:
    return f"No storage connection has the id {connection_id}: `thumbnails storage list` shows all."


def require_company(engine: sa.Engine, company_id: int) -> None:
    """Return when the company exists and is active. Raises RowError."""
    with explained(), engine.connect() as connection:
        is_active = connection.scalar(sa.select(companies.c.is_active).where(companies.c.id == company_id))
    if is_active is None:
        raise RowError(_no_company(company_id))
    if not is_active:
        raise RowError(f"Company {company_id} is not active: its uploads get no thumbnails.")


def _require_connection(connection: sa.Connection, connection_id: int) -> None:
    query = sa.select(storage_connections.c.id).where(storage_connections.c.id == connection_id)
    if connection.scalar(query) is None:
        raise RowError(_no_connection(connection_id))


def _require_own_place(connection: sa.Connection, company: NewCompany) -> None:
    """Refuse what `thumbnails check` would find later: the same slug, or a folder inside another company's."""
    columns = companies.c
    query = sa.select(columns.id, columns.slug, columns.storage_path, columns.storage_connection_id)
    for row in connection.execute(query.order_by(columns.id)):
        if row.slug == company.slug:
            raise RowError(f"Company {row.id} has the slug {company.slug!r}: give another one with --slug.")
        other = (row.storage_path or "").strip("/") or row.slug
        shares = other == company.prefix or is_inside(other, company.prefix) or is_inside(company.prefix, other)
        if shares and row.storage_connection_id == company.connection_id:
            raise RowError(
                f"The folder {company.prefix!r} and the folder {other!r} of company {row.id} overlap in the same"
                " storage: give another one with --storage-path."
            )


def _insert(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> int:
    key = connection.execute(sa.insert(table).values(values)).inserted_primary_key
    if key is None:
        raise AssertionError(f"{table.name} has no primary key")
    return int(key[0])


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error of the database into a RowError of one sentence."""
    try:
        yield
    except SQLAlchemyError as exc:
        if isinstance(exc, IntegrityError):
            advice = "Where a platform owns this table, add the row there."
            raise RowError(f"The database refused: {said_by_database(exc)}. {advice}") from exc
        raise RowError(explain_database_fault(exc)) from exc
