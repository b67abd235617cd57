"""A batch of results into one table of SQLite, whose one writer at a time has the rows to itself."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from schemas.events import MediaKind
from schemas.tables import ar_contents, videos
from streams.rows.last_write_wins import RowChange, RowOutcome, RowState, outcome_of, rank_of
from streams.rows.queries import state_columns, state_of, table_of
from streams.rows.values import error_text, status_of


def update_rows(
    connection: sa.Connection, kind: MediaKind, row_ids: Sequence[int], changes: Sequence[RowChange], now: datetime
) -> dict[int, RowState]:
    """Set what is newer than the rows hold; returns how those of `row_ids` that exist were before."""
    states = _states(connection, kind, row_ids)
    written = (RowOutcome.APPLIED, RowOutcome.REPLACED)
    values = []
    for change in changes:
        state = states.get(change.last.media.row_id)
        if outcome_of(state, change.last) in written:
            shows = change.ready is not None and outcome_of(state, change.ready) in written
            values.append(_values(change, now, shows_pictures=shows))
    table = table_of(kind)
    for shape in ({"thumbnails"}, set[str]()):  # rows that get pictures have more columns than those that only failed
        batch = [row for row in values if shape == row.keys() & {"thumbnails"}]
        if batch:
            columns: dict[str, Any] = {name: sa.bindparam(name) for name in batch[0] if name != "row_id"}
            connection.execute(sa.update(table).where(table.c.id == sa.bindparam("row_id")).values(columns), batch)
    return states


def _states(connection: sa.Connection, kind: MediaKind, row_ids: Sequence[int]) -> dict[int, RowState]:
    table = table_of(kind)
    query = sa.select(table.c.id, *state_columns(table), ar_contents.c.company_id).where(table.c.id.in_(row_ids))
    if kind is MediaKind.VIDEO:
        query = query.join_from(videos, ar_contents, videos.c.ar_content_id == ar_contents.c.id)
    return {row.id: state_of(row, row.company_id) for row in connection.execute(query)}


def _values(change: RowChange, now: datetime, *, shows_pictures: bool) -> dict[str, Any]:
    last, ready = change.last, change.ready
    moment = rank_of(last)[0]
    values = {
        "row_id": last.media.row_id,
        "thumbnail_status": status_of(last),
        "thumbnail_error": error_text(last),
        "thumbnail_event_id": last.upload_event_id,
        "thumbnail_occurred_at": moment,
        "thumbnail_updated_at": max(now, moment),
    }
    if ready is None or not shows_pictures:
        return values
    return values | {
        "thumbnail_url": ready.thumbnail_url,
        "thumbnails": [rendition.model_dump(mode="json") for rendition in ready.renditions],
        "thumbnail_placeholder": ready.placeholder,
    }
