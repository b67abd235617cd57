"""Proves tenants' storage connections by using them, and finds companies that could reach each other's objects."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import ThumbnailError
from schemas.tables import companies, storage_connections
from service.check_result import CheckResult
from service.tenants.probe import Proof, prove_by_use, url_reader
from service.tenants.provider_options import WITHOUT_CREDENTIALS
from service.tenants.values import company_prefix
from storage.connections import StorageConnection
from storage.credentials import is_encrypted
from storage.factory import ProviderSettings, get_provider
from storage.keys import is_inside
from streams.rows.companies import CONNECTION_COLUMNS, connection_of


def check_connections(engine: sa.Engine, settings: ProviderSettings) -> Iterator[CheckResult]:
    """Yield one result for each active storage connection, as it is found."""
    try:
        with engine.connect() as connection:
            query = sa.select(storage_connections.c.id.label("found_connection_id"), *CONNECTION_COLUMNS)
            rows = connection.execute(query.order_by(storage_connections.c.id)).mappings().all()
    except SQLAlchemyError:
        return  # the check of the database reports it
    for row in rows:
        found = connection_of(row)
        if found is not None and found.is_active:
            name = f"Storage connection {found.id} ({found.name}, {found.provider})"
            proof = prove_connection(found, settings)
            yield CheckResult(name, proof.problem, tuple(f"{name}: {note}" for note in proof.notes))


def check_local_url(settings: ProviderSettings) -> CheckResult:
    """Local storage gives at LOCAL_STORAGE_URL what it has. Where it does not, no picture in it can be seen: a warning."""
    name = "LOCAL_STORAGE_URL"
    proof = prove_by_use(get_provider(None, settings=settings), url_reader(settings.policy, is_own=True))
    return CheckResult(name, proof.problem, tuple(f"{name}: {note}" for note in proof.notes))


def prove_connection(connection: StorageConnection, settings: ProviderSettings) -> Proof:
    """Return what using a connection has shown: see `prove_by_use`. Plain credentials are a problem, too."""
    try:
        provider = get_provider(connection, settings=settings)
    except ThumbnailError as exc:
        return Proof(exc.message)
    is_local = connection.provider in WITHOUT_CREDENTIALS
    proof = prove_by_use(provider, url_reader(settings.policy, is_own=is_local))
    if proof.problem is None and not is_local and not is_encrypted(connection.credentials):
        return replace(
            proof, problem="It works, but its credentials are not encrypted: run `thumbnails credentials encrypt`."
        )
    return proof


def first_step(engine: sa.Engine) -> str | None:
    """Return what to do next in an installation that has no company, whose every upload would fail; else None."""
    try:
        with engine.connect() as connection:
            found = connection.scalar(sa.select(companies.c.id).limit(1))
    except SQLAlchemyError:
        return None  # the check of the database reports it
    return (
        None if found is not None else "No company exists, so that no upload can work: `thumbnails company add NAME`."
    )


def check_prefixes(engine: sa.Engine) -> CheckResult:
    """No company's part of a storage connection lies in another's."""
    name = "Companies' parts of shared storage"
    columns = companies.c
    try:
        with engine.connect() as connection:
            query = sa.select(columns.id, columns.slug, columns.storage_path, columns.storage_connection_id)
            rows = connection.execute(query.where(columns.is_active)).all()
    except SQLAlchemyError:
        return CheckResult(name, None)  # the check of the database reports it
    places: defaultdict[int | None, list[tuple[str, int]]] = defaultdict(list)
    for row in rows:
        places[row.storage_connection_id].append((company_prefix(row.storage_path, row.slug), row.id))
    overlaps = [pair for found in places.values() for pair in _overlaps(sorted(found))]
    if not overlaps:
        return CheckResult(name, None)
    shown = "; ".join(f"company {inner} is inside company {outer}" for outer, inner in overlaps[:5])
    return CheckResult(name, f"{len(overlaps)} overlap: {shown}. Give each a storage_path of its own.")


def _overlaps(places: list[tuple[str, int]]) -> Iterator[tuple[int, int]]:
    """Pairs (outer, inner). Sorted, so that all that is inside of a folder follows it, names like acme-2 between."""
    for index, (outer, outer_id) in enumerate(places):
        for inner, inner_id in places[index + 1 :]:
            if not inner.startswith(outer):
                break
            if inner == outer or is_inside(inner, outer):
                yield outer_id, inner_id
