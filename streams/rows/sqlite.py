"""A batch of results into one table of SQLite, whose one writer at a time has the rows to itself."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from schemas.events import MediaKind
from schemas.tables import ar_contents, videos
from streams.rows.last_write_wins import Result, RowState, rank_of
from streams.rows.queries import next_revision, state_columns, state_of, table_of
from streams.rows.values import RowChange, details_of, error_text, status_of
from streams.rows.versions import given_up_text


def read_states(connection: sa.Connection, kind: MediaKind, row_ids: Sequence[int]) -> dict[int, RowState]:
    """Return how those of `row_ids` that exist are."""
    table = table_of(kind)
    query = sa.select(table.c.id, *state_columns(table), ar_contents.c.company_id).where(table.c.id.in_(row_ids))
    if kind is MediaKind.VIDEO:
        query = query.join_from(videos, ar_contents, videos.c.ar_content_id == ar_contents.c.id)
    return {row.id: state_of(row, row.company_id) for row in connection.execute(query)}


def write_changes(connection: sa.Connection, kind: MediaKind, changes: Mapping[int, RowChange], now: datetime) -> None:
    """Set what `changes`, by row id, say."""
    values = [_values(row_id, change, now) for row_id, change in changes.items()]
    table = table_of(kind)
    # Rows that get pictures have more columns than those that only failed, and these than those that failed again.
    for shape in {frozenset(row) for row in values}:
        columns: dict[str, Any] = {name: sa.bindparam(name) for name in shape if name != "row_id"}
        if "thumbnail_status" in shape:
            columns["thumbnail_revision"] = next_revision(table)
        update = sa.update(table).where(table.c.id == sa.bindparam("row_id")).values(columns)
        connection.execute(update, [row for row in values if row.keys() == shape])


def _values(row_id: int, change: RowChange, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {"row_id": row_id, "thumbnail_given_up": given_up_text(change.given_up)}
    if change.last is not None:
        values |= _of_result(change.last, now)
    if change.external_id is not None:
        values["thumbnail_external_id"] = change.external_id
    if change.ready is not None:
        values |= {
            "thumbnail_url": change.ready.thumbnail_url,
            "thumbnails": [rendition.model_dump(mode="json") for rendition in change.ready.renditions],
            "thumbnail_placeholder": change.ready.placeholder,
            "thumbnail_settings": change.ready.settings,
            "thumbnail_details": details_of(change.ready),
        }
    return values


def _of_result(last: Result, now: datetime) -> dict[str, Any]:
    moment = rank_of(last)[0]
    return {
        "thumbnail_status": status_of(last),
        "thumbnail_error": error_text(last),
        "thumbnail_event_id": last.upload_event_id,
        "thumbnail_occurred_at": moment,
        "thumbnail_updated_at": max(now, moment),
    }
