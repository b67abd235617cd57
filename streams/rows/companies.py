"""Companies and their storage connections, read from the platform's database."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import ErrorCode, TransientError
from schemas.tables import companies, storage_connections
from storage.connections import StorageConnection
from storage.tenants import Company


def some_companies(engine: sa.Engine, count: int) -> set[int]:
    """Return the ids of `count` companies, or of all if there are fewer. Raises SQLAlchemyError."""
    with engine.connect() as connection:
        return set(connection.scalars(sa.select(companies.c.id).limit(count)))


class SqlCompanyDirectory:
    """One query a look-up; storage.tenants remembers the answers for a while."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine: Final = engine

    def find_company(self, company_id: int) -> Company | None:
        """See storage.tenants.CompanyDirectory."""
        query = (
            sa.select(companies, storage_connections.c.id.label("found_connection_id"), *CONNECTION_COLUMNS)
            .outerjoin(storage_connections, companies.c.storage_connection_id == storage_connections.c.id)
            .where(companies.c.id == company_id)
        )
        try:
            with self._engine.connect() as connection:
                row = connection.execute(query).mappings().one_or_none()
        except SQLAlchemyError as exc:
            raise TransientError(
                ErrorCode.DATABASE_UNAVAILABLE, f"The company could not be looked up: {type(exc).__name__}."
            ) from exc
        if row is None:
            return None
        return Company(
            id=row["id"],
            slug=row["slug"],
            is_active=row["is_active"],
            storage_path=row["storage_path"] or "",
            connection=connection_of(row),
            is_connection_missing=row["storage_connection_id"] is not None and row["found_connection_id"] is None,
        )


CONNECTION_COLUMNS: Final = (
    *(
        storage_connections.c[name].label(f"connection_{name}")
        for name in ("name", "provider", "base_path", "is_active")
    ),
    # As text: what is no JSON is then one broken connection, and not a failing query.
    sa.cast(storage_connections.c.credentials, sa.Text).label("connection_credentials"),
)
"""What a connection is made of, beside its id."""


def connection_of(row: sa.RowMapping) -> StorageConnection | None:
    """Return the connection in a row of CONNECTION_COLUMNS with its id as found_connection_id; None where there is none."""
    if row["found_connection_id"] is None:
        return None
    return StorageConnection(
        id=row["found_connection_id"],
        name=row["connection_name"],
        provider=row["connection_provider"],
        credentials=row["connection_credentials"] or "{}",
        base_path=row["connection_base_path"] or "",
        is_active=row["connection_is_active"],
    )
