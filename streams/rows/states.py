"""The value of thumbnail.state for a media, read from its row, and the lock under which it is read and sent."""

import hashlib
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from sqlalchemy.dialects import postgresql

from schemas.database import write_transaction
from schemas.errors import NEXT_ACTIONS
from schemas.events import MediaKind, RenditionInfo, name_uuid
from schemas.media_state import StateError, StateMedia, Status, ThumbnailState, record_key
from schemas.tables import ar_contents, videos
from streams.rows.last_write_wins import FAILED, Row
from streams.rows.queries import TOMBSTONE, aware, table_of

HOLD_MS: Final = 60_000
"""So long a session may hold the lock without a word to the database: longer than a send can take. Then the database ends
the session of a process that stands still, and the others go on."""
_NAMESPACE: Final = uuid.UUID("0d8f5c3e-55a5-5d0c-8c2e-52f6a5f3b8aa")
_NEXT_ACTIONS: Final = {str(code): action for code, action in NEXT_ACTIONS.items()}
_RENDITION: Final = TypeAdapter(RenditionInfo)
_RENDITIONS: Final = TypeAdapter(tuple[RenditionInfo, ...])
_NONE: Final = "null"

States = dict[Row, ThumbnailState | None]
"""The present state of each media that has one; None where the media is gone. A media without a result yet has none."""


@contextmanager
def state_lock(engine: sa.Engine, topic: str) -> Iterator[sa.Connection]:
    """Hold the one lock of `topic`: what is read in it is the newest state, until the lock is given back.

    On PostgreSQL it is an advisory lock: it holds up no statement of the platform's, nor a batch that writes rows. On
    SQLite it is the one writer's. Raises SQLAlchemyError, at its end too: then it may have been lost before.
    """
    with write_transaction(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {HOLD_MS}")
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _lock_key(topic)})
        yield connection
        connection.execute(sa.select(1))  # a lock that was lost while records were sent is noticed here


def _lock_key(topic: str) -> int:
    return int.from_bytes(hashlib.sha256(f"thumbnails:{topic}".encode()).digest()[:8], signed=True)


def read_media_states(connection: sa.Connection, media: Collection[Row]) -> States:
    """Return the states of `media` as their rows are now."""
    found: States = {}
    for kind in MediaKind:
        ids = sorted(row_id for of, row_id in media if of is kind)
        if ids:
            found |= {(kind, row_id): None for row_id in ids}
            found |= states_of(kind, connection.execute(*_query_of(connection, kind, ids)).all(), found)
    return found


def _query_of(connection: sa.Connection, kind: MediaKind, ids: list[int]) -> tuple[sa.Select[Any], dict[str, Any]]:
    column = table_of(kind).c.id
    if connection.dialect.name == "postgresql":
        # One array: a parameter an id takes more time than reading the rows.
        return _QUERIES[kind], {"ids": ids}
    return state_query(kind).where(column.in_(ids)), {}


def state_query(kind: MediaKind) -> sa.Select[Any]:
    """Return the query for all rows of a table with the columns that states_of reads."""
    table, is_video = table_of(kind), kind is MediaKind.VIDEO
    names = (
        "url",
        "placeholder",
        "status",
        "error",
        "event_id",
        "occurred_at",
        "updated_at",
        "revision",
        "external_id",
    )
    columns: tuple[sa.ColumnElement[Any], ...] = (
        table.c.id,
        (videos.c.ar_content_id if is_video else table.c.id).label("ar_content_id"),
        ar_contents.c.company_id,
        # As text, to be read once, by what is fast and knows their form.
        sa.cast(table.c.thumbnails, sa.Text).label("thumbnails"),
        sa.cast(table.c.thumbnail_details, sa.Text).label("thumbnail_details"),
        *(table.c[f"thumbnail_{name}"] for name in names),
    )
    source: Any = videos.join(ar_contents, videos.c.ar_content_id == ar_contents.c.id) if is_video else table
    return sa.select(*columns).select_from(source)


_QUERIES: Final = {
    kind: state_query(kind).where(
        table_of(kind).c.id == sa.any_(sa.bindparam("ids", type_=postgresql.ARRAY(sa.Integer)))
    )
    for kind in MediaKind
}


def states_of(kind: MediaKind, rows: Iterable[sa.Row[Any]], found: States | None = None) -> States:
    """Return the state that each row has; rows without a result are taken out of `found`."""
    states: States = {}
    for row in rows:
        if row.thumbnail_event_id is None or row.thumbnail_occurred_at is None:
            (found or {}).pop((kind, row.id), None)
        else:
            states[kind, row.id] = None if row.thumbnail_event_id == TOMBSTONE else _state(kind, row)
    return states


def _state(kind: MediaKind, row: sa.Row[Any]) -> ThumbnailState:
    details = from_json(row.thumbnail_details or _NONE)
    details = details if isinstance(details, dict) else None
    key, revision = record_key(kind, row.id), row.thumbnail_revision or 0
    updated_at = _utc(row.thumbnail_updated_at or row.thumbnail_occurred_at)
    reason = None if details is None else details.get("degraded_reason")
    name = f"{row.company_id}:{key}:{row.thumbnail_event_id}:{revision}:{updated_at}"
    fields: dict[str, Any] = {
        "event_id": name_uuid(_NAMESPACE, name),
        "revision": revision,
        "updated_at": updated_at,
        "company_id": row.company_id,
        "media": {
            "kind": kind,
            "id": row.id,
            "ar_content_id": row.ar_content_id,
            "external_id": row.thumbnail_external_id,
        },
        "status": row.thumbnail_status or Status.READY.value,
        "upload_event_id": row.thumbnail_event_id,
        "occurred_at": _utc(row.thumbnail_occurred_at),
        "thumbnail_url": row.thumbnail_url,
        "renditions": (),
        "placeholder": row.thumbnail_placeholder,
        "shown_upload_event_id": None if details is None else details.get("upload_event_id"),
        "degraded": None if details is None else reason is not None,
        "degraded_reason": reason or None,
        "storage_fallback": None if details is None else details.get("storage_fallback"),
        "error": _error(row.thumbnail_error) if row.thumbnail_status == FAILED else None,
    }
    try:
        if row.thumbnails is not None and row.thumbnails != _NONE:
            fields["renditions"] = _RENDITIONS.validate_json(row.thumbnails)
        return ThumbnailState.model_validate(fields)
    except ValidationError:
        return _tolerant(fields, from_json(row.thumbnails or _NONE))


def _tolerant(fields: dict[str, Any], thumbnails: Any) -> ThumbnailState:
    """Return the state of a row that holds what no batch has written: the platform's own must not stop the role."""
    media, error = fields["media"], fields["error"]
    return ThumbnailState.model_construct(
        **fields
        | {
            "media": StateMedia.model_construct(**media),
            "renditions": _renditions(thumbnails),
            "error": None if error is None else StateError.model_construct(**error),
        }
    )


def _utc(moment: datetime) -> datetime:
    return (aware(moment) or moment).astimezone(UTC)


def _renditions(value: Any) -> tuple[RenditionInfo, ...]:
    """Return the renditions in the column thumbnails; what is none, is left out."""
    found = []
    for item in value if isinstance(value, list) else ():
        try:
            found.append(_RENDITION.validate_python(item))
        except ValidationError:
            continue
    return tuple(found)


def _error(text: str | None) -> dict[str, str | None]:
    code, _, message = (text or "").partition(": ")
    return {"code": code, "message": message, "next_action": _NEXT_ACTIONS.get(code)}
