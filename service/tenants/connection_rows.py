"""Rows of storage connections, for an installation without a platform that writes them."""

import json
from collections import defaultdict
from typing import Any, Final

import sqlalchemy as sa

from schemas.database import write_transaction
from schemas.tables import companies, storage_connections
from service.tenants.explained import explained, insert
from service.tenants.values import RowError
from storage.connections import StorageConnection
from storage.credentials import is_encrypted
from streams.rows.companies import CONNECTION_COLUMNS, connection_of

_CONNECTIONS: Final = sa.select(storage_connections.c.id.label("found_connection_id"), *CONNECTION_COLUMNS).order_by(
    storage_connections.c.id
)


def add_connection(engine: sa.Engine, connection: StorageConnection, company_id: int | None) -> int:
    """Insert a storage connection, whose id is ignored, and return its id. Raises RowError, with nothing written.

    With `company_id`, that company uses it from now on; one that has a connection already is refused.
    """
    with explained(), write_transaction(engine) as transaction:
        _require_free_name(transaction, connection.name, but=None)
        connection_id = insert(transaction, storage_connections, _values_of(connection))
        if company_id is not None:
            _require_no_connection(transaction, company_id)
            update = sa.update(companies).where(companies.c.id == company_id)
            transaction.execute(update.values(storage_connection_id=connection_id))
        return connection_id


def require_addable(engine: sa.Engine, name: str, company_id: int | None) -> None:
    """Return when no connection has the name, and the company, if one is given, has none. Raises RowError."""
    with explained(), engine.connect() as connection:
        _require_free_name(connection, name, but=None)
        if company_id is not None:
            _require_no_connection(connection, company_id)


def change_connection(engine: sa.Engine, before: StorageConnection, after: StorageConnection) -> list[int]:
    """Make the row `after` of what was `before`; return the ids of its companies. Raises RowError, with nothing written."""
    with explained(), write_transaction(engine) as transaction:
        query = _CONNECTIONS.where(storage_connections.c.id == before.id)
        row = transaction.execute(query.with_for_update()).mappings().one_or_none()
        if (None if row is None else connection_of(row)) != before:
            raise RowError(f"Storage connection {before.id} was changed by somebody else meanwhile: look at it again.")
        if after.name != before.name:
            _require_free_name(transaction, after.name, but=before.id)
        users = _users_of(transaction, before.id)
        if after.base_path != before.base_path and users:
            raise RowError(
                f"Storage connection {before.id} is used by {_companies(users)}, whose objects are below its base path:"
                " add another connection."
            )
        changed = {name: value for name, value in _values_of(after).items() if value != _values_of(before)[name]}
        if changed:
            transaction.execute(
                sa.update(storage_connections).where(storage_connections.c.id == before.id).values(changed)
            )
        return users


def remove_connection(engine: sa.Engine, connection_id: int) -> None:
    """Delete the row of a storage connection that no company uses. Raises RowError, with nothing deleted."""
    with explained(), write_transaction(engine) as transaction:
        users = _users_of(transaction, connection_id)
        if users:
            raise RowError(
                f"Storage connection {connection_id} is used by {_companies(users)}: give each another one first, or none:"
                f" `thumbnails company set {users[0]} --connection none`."
            )
        transaction.execute(sa.delete(storage_connections).where(storage_connections.c.id == connection_id))


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


def find_connection(engine: sa.Engine, connection_id: int) -> StorageConnection:
    """Return the storage connection. Raises RowError."""
    query = _CONNECTIONS.where(storage_connections.c.id == connection_id)
    with explained(), engine.connect() as connection:
        row = connection.execute(query).mappings().one_or_none()
    found = None if row is None else connection_of(row)
    if found is None:
        raise RowError(f"No storage connection has the id {connection_id}: `thumbnails storage list` shows all.")
    return found


def _values_of(connection: StorageConnection) -> dict[str, Any]:
    """Return the columns of the row; credentials that are no JSON stay the text that they are."""
    try:
        credentials = json.loads(connection.credentials)
    except ValueError:
        credentials = connection.credentials
    return {
        "name": connection.name,
        "provider": connection.provider,
        "credentials": credentials,
        "base_path": connection.base_path or None,
        "is_active": connection.is_active,
    }


def _is_encrypted(credentials: str) -> bool | None:
    """Return whether the column's text is encrypted; None where there is nothing to encrypt."""
    return None if credentials.strip() in ("", "null", "{}") else is_encrypted(credentials)


def _users_of(connection: sa.Connection, connection_id: int) -> list[int]:
    query = sa.select(companies.c.id).where(companies.c.storage_connection_id == connection_id)
    return list(connection.scalars(query.order_by(companies.c.id)))


def _companies(ids: list[int]) -> str:
    return f"compan{'y' if len(ids) == 1 else 'ies'} {', '.join(map(str, ids[:5]))}{', …' if len(ids) > 5 else ''}"


def _require_free_name(connection: sa.Connection, name: str, *, but: int | None) -> None:
    query = sa.select(storage_connections.c.id).where(storage_connections.c.name == name)
    others = [found for found in connection.scalars(query) if found != but]
    if others:
        raise RowError(f"Storage connection {others[0]} has the name {name[:80]!r}: give another one.")


def _require_no_connection(connection: sa.Connection, company_id: int) -> None:
    query = sa.select(companies.c.storage_connection_id).where(companies.c.id == company_id)
    found = connection.execute(query).one().storage_connection_id
    if found is not None:
        raise RowError(f"Company {company_id} uses storage connection {found}: its objects are there.")
