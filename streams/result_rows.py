"""Writes results into rows: compare-and-set on the upload, so that an older result never replaces a newer one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa

from schemas.events import MediaKind, ThumbnailFailed, ThumbnailReady
from schemas.tables import ar_contents, videos
from streams.row_state import aware, table_of

Result = ThumbnailReady | ThumbnailFailed

READY: Final = "ready"
FAILED: Final = "failed"


class RowOutcome(StrEnum):
    """What became of a result: applied to a fresh row, or in place of an earlier result, or not at all."""

    APPLIED = "applied"
    REPLACED = "replaced"
    REPEATED = "repeated"
    STALE = "stale"
    ROW_GONE = "row_gone"
    OTHER_COMPANY = "other_company"


@dataclass(frozen=True)
class _RowState:
    """The part of a row that decides, and what this batch has applied to it: the last result, the last ready one."""

    company_id: int
    occurred_at: datetime | None
    upload_event_id: str
    status: str | None
    last: Result | None = None
    ready: ThumbnailReady | None = None


def apply_results(connection: sa.Connection, results: Sequence[Result], *, now: datetime) -> list[RowOutcome]:
    """Apply `results` in their order, inside the caller's transaction; one outcome each.

    The newest upload wins, by (occurred_at, upload_event_id); of one upload, ready beats failed. A failed upload sets
    status and error and leaves the earlier thumbnails shown. Rows are locked in the order of their ids, so that two
    writers cannot block each other for good.
    """
    states = {kind: _lock_rows(connection, kind, _row_ids(results, kind)) for kind in MediaKind}
    outcomes = []
    for result in results:
        rows, row_id = states[result.media.kind], result.media.row_id
        state = rows.get(row_id)
        outcome = _outcome(state, result)
        if state is not None and outcome in (RowOutcome.APPLIED, RowOutcome.REPLACED):
            rows[row_id] = replace(
                state,
                occurred_at=result.occurred_at,
                upload_event_id=result.upload_event_id,
                status=_status(result),
                last=result,
                ready=result if isinstance(result, ThumbnailReady) else state.ready,
            )
        outcomes.append(outcome)
    for kind in MediaKind:
        _write(connection, kind, states[kind], now)
    return outcomes


def _row_ids(results: Iterable[Result], kind: MediaKind) -> list[int]:
    return sorted({result.media.row_id for result in results if result.media.kind is kind})


def _outcome(state: _RowState | None, result: Result) -> RowOutcome:
    if state is None:
        return RowOutcome.ROW_GONE
    if state.company_id != result.company_id:
        return RowOutcome.OTHER_COMPANY
    current = (state.occurred_at or datetime.min.replace(tzinfo=UTC), state.upload_event_id)
    offered = (result.occurred_at, result.upload_event_id)
    if offered > current:
        return RowOutcome.REPLACED if state.upload_event_id else RowOutcome.APPLIED
    if offered < current:
        return RowOutcome.STALE
    is_better = state.status == FAILED and isinstance(result, ThumbnailReady)
    return RowOutcome.REPLACED if is_better else RowOutcome.REPEATED


def _status(result: Result) -> str:
    return READY if isinstance(result, ThumbnailReady) else FAILED


def _lock_rows(connection: sa.Connection, kind: MediaKind, row_ids: list[int]) -> dict[int, _RowState]:
    if not row_ids:
        return {}
    table = table_of(kind)
    columns = (table.c.id, table.c.thumbnail_occurred_at, table.c.thumbnail_event_id, table.c.thumbnail_status)
    query = sa.select(*columns, ar_contents.c.company_id)
    if kind is MediaKind.VIDEO:
        query = query.join_from(videos, ar_contents, videos.c.ar_content_id == ar_contents.c.id)
    query = query.where(table.c.id.in_(row_ids)).order_by(table.c.id).with_for_update(of=table)
    return {
        row.id: _RowState(
            company_id=row.company_id,
            occurred_at=aware(row.thumbnail_occurred_at),
            upload_event_id=row.thumbnail_event_id or "",
            status=row.thumbnail_status,
        )
        for row in connection.execute(query)
    }


def _write(connection: sa.Connection, kind: MediaKind, rows: dict[int, _RowState], now: datetime) -> None:
    table = table_of(kind)
    changed = [
        _values(row_id, state.last, state.ready, now) for row_id, state in rows.items() if state.last is not None
    ]
    for shape in ({"thumbnails"}, set[str]()):  # rows that get pictures have more columns than those that only failed
        batch = [values for values in changed if shape == values.keys() & {"thumbnails"}]
        if batch:
            columns: dict[str, Any] = {name: sa.bindparam(name) for name in batch[0] if name != "row_id"}
            connection.execute(sa.update(table).where(table.c.id == sa.bindparam("row_id")).values(columns), batch)


def _values(row_id: int, last: Result, ready: ThumbnailReady | None, now: datetime) -> dict[str, Any]:
    values = {
        "row_id": row_id,
        "thumbnail_status": _status(last),
        "thumbnail_error": f"{last.error.code}: {last.error.message}" if isinstance(last, ThumbnailFailed) else None,
        "thumbnail_event_id": last.upload_event_id,
        "thumbnail_occurred_at": last.occurred_at,
        "thumbnail_updated_at": now,
    }
    return values if ready is None else values | _ready_values(ready)


def _ready_values(result: ThumbnailReady) -> dict[str, Any]:
    return {
        "thumbnail_url": result.thumbnail_url,
        "thumbnails": [rendition.model_dump(mode="json") for rendition in result.renditions],
        "thumbnail_placeholder": result.placeholder,
    }
