"""Rows of companies, for an installation without a platform that writes them."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from schemas.database import write_transaction
from schemas.tables import ar_contents, companies, storage_connections, videos
from service.tenants.explained import explained, insert
from service.tenants.references import found_connection_id
from service.tenants.values import NewCompany, RowError, company_prefix
from storage.keys import is_inside

NO_CONNECTION = "none"
"""What takes a company's storage connection away."""


@dataclass(frozen=True)
class CompanyChange:
    """New values of a company; None leaves one as it is.

    `storage_path` "" is the slug again. `connection` is an id or a name, or NO_CONNECTION. `force` also changes the place
    of a company that has media.
    """

    name: str | None = None
    slug: str | None = None
    storage_path: str | None = None
    connection: str | None = None
    is_active: bool | None = None
    force: bool = False


def add_company(engine: sa.Engine, company: NewCompany) -> int:
    """Insert a company and return its id. Raises RowError, with nothing written."""
    with explained(), write_transaction(engine) as connection:
        connection_id = None if company.connection is None else _usable_connection(connection, company.connection)
        _require_own_place(connection, company.slug, company.prefix, connection_id, but=None)
        values = {
            "name": company.name,
            "slug": company.slug,
            "storage_path": company.storage_path or None,
            "storage_connection_id": connection_id,
        }
        return insert(connection, companies, values)


def list_companies(engine: sa.Engine) -> list[dict[str, Any]]:
    """Return every company, ordered by id. Raises RowError."""
    with explained(), engine.connect() as connection:
        return [dict(row) for row in connection.execute(_with_connections().order_by(companies.c.id)).mappings()]


def show_company(engine: sa.Engine, company_id: int) -> dict[str, Any]:
    """Return the company as `list_companies` does, and its media by kind and thumbnail_status. Raises RowError."""
    with explained(), engine.connect() as connection:
        row = connection.execute(_with_connections().where(companies.c.id == company_id)).mappings().one()
        return dict(row) | {"media": _media_of(connection, company_id)}


def change_company(engine: sa.Engine, company_id: int, change: CompanyChange) -> dict[str, Any]:
    """Change a company and return it as `show_company` does. Raises RowError, with nothing written.

    A new slug moves no object: the folder keeps its old name. A company that has media changes its place by force only.
    """
    columns = companies.c
    with explained(), write_transaction(engine) as connection:
        found = connection.execute(sa.select(companies).where(columns.id == company_id).with_for_update()).one()
        before = company_prefix(found.storage_path, found.slug)
        slug = change.slug if change.slug is not None else found.slug
        path = found.storage_path if change.storage_path is None else change.storage_path
        if change.storage_path is None and not (path or "").strip("/") and slug != found.slug:
            path = before
        connection_id = found.storage_connection_id
        if change.connection is not None:
            wants_none = change.connection == NO_CONNECTION
            connection_id = None if wants_none else _usable_connection(connection, change.connection)
        after = company_prefix(path, slug)
        is_moved = (after, connection_id) != (before, found.storage_connection_id)
        if is_moved and not change.force:
            _require_no_media(connection, company_id, before)
        if is_moved or slug != found.slug:
            _require_own_place(connection, slug, after, connection_id, but=company_id)
        values = {
            "name": change.name if change.name is not None else found.name,
            "slug": slug,
            "storage_path": path or None,
            "storage_connection_id": connection_id,
            "is_active": found.is_active if change.is_active is None else change.is_active,
        }
        connection.execute(sa.update(companies).where(columns.id == company_id).values(values))
    return show_company(engine, company_id)


def require_company(engine: sa.Engine, company_id: int) -> None:
    """Return when the company exists and is active. Raises RowError."""
    with explained(), engine.connect() as connection:
        is_active = connection.scalar(sa.select(companies.c.is_active).where(companies.c.id == company_id))
    if is_active is None:
        raise RowError(
            f"No company has the id {company_id}: `thumbnails company list` shows all,"
            " `thumbnails company add NAME` adds one."
        )
    if not is_active:
        raise RowError(f"Company {company_id} is not active: its uploads get no thumbnails.")


def _with_connections() -> sa.Select[Any]:
    return sa.select(
        companies.c.id,
        companies.c.name,
        companies.c.slug,
        companies.c.storage_path,
        companies.c.is_active,
        companies.c.storage_connection_id,
        storage_connections.c.name.label("storage_connection"),
        storage_connections.c.provider,
        storage_connections.c.is_active.label("connection_is_active"),
    ).outerjoin(storage_connections, companies.c.storage_connection_id == storage_connections.c.id)


def _media_of(connection: sa.Connection, company_id: int) -> dict[str, dict[str, int]]:
    """Return how many videos and photographs the company has, by thumbnail_status; `none` is a row without one."""
    is_theirs = ar_contents.c.company_id == company_id
    of_kind = {
        "videos": sa.select(videos.c.thumbnail_status, sa.func.count())
        .join(ar_contents, videos.c.ar_content_id == ar_contents.c.id)
        .where(is_theirs)
        .group_by(videos.c.thumbnail_status),
        "photographs": sa.select(ar_contents.c.thumbnail_status, sa.func.count())
        .where(is_theirs, ar_contents.c.image_path.is_not(None))
        .group_by(ar_contents.c.thumbnail_status),
    }
    return {
        kind: {
            status or "none": count for status, count in sorted(connection.execute(query), key=lambda row: row[0] or "")
        }
        for kind, query in of_kind.items()
    }


def _usable_connection(connection: sa.Connection, given: str) -> int:
    found = found_connection_id(connection, given)
    if not connection.scalar(sa.select(storage_connections.c.is_active).where(storage_connections.c.id == found)):
        raise RowError(
            f"Storage connection {found} is not active: `thumbnails storage set {found} --active` changes that."
        )
    return found


def _require_no_media(connection: sa.Connection, company_id: int, prefix: str) -> None:
    query = sa.select(sa.func.count()).select_from(ar_contents).where(ar_contents.c.company_id == company_id)
    if count := connection.scalar(query):
        raise RowError(
            f"Company {company_id} has {count} uploads in its present storage, below {prefix}/: copy them to the new"
            " place, and then give --force."
        )


def _require_own_place(
    connection: sa.Connection, slug: str, prefix: str, connection_id: int | None, *, but: int | None
) -> None:
    """Refuse what `thumbnails check` would find later: the same slug, or a folder inside another company's."""
    columns = companies.c
    query = sa.select(columns.id, columns.slug, columns.storage_path, columns.storage_connection_id)
    for row in connection.execute(query.order_by(columns.id)):
        if row.id == but:
            continue
        if row.slug == slug:
            raise RowError(f"Company {row.id} has the slug {slug!r}: give another one with --slug.")
        other = company_prefix(row.storage_path, row.slug)
        shares = other == prefix or is_inside(other, prefix) or is_inside(prefix, other)
        if shares and row.storage_connection_id == connection_id:
            raise RowError(
                f"The folder {prefix!r} and the folder {other!r} of company {row.id} overlap in the same"
                " storage: give another one with --storage-path."
            )
