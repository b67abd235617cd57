"""Writes results into rows: compare-and-set on the upload, so that an older result never replaces a newer one."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from schemas.events import MediaKind, ThumbnailReady
from schemas.tables import videos
from streams.rows import postgres as postgres_rows
from streams.rows import sqlite as sqlite_rows
from streams.rows.last_write_wins import Result as Result  # whoever writes results takes both from here
from streams.rows.last_write_wins import RowChange, RowOutcome, RowState, newest_changes, outcome_of, row_of
from streams.rows.values import error_text

APPLIED_OUTCOMES: Final = frozenset({RowOutcome.APPLIED, RowOutcome.REPLACED})
UpdateRows = Callable[[sa.Connection, MediaKind, Sequence[int], Sequence[RowChange], datetime], dict[int, RowState]]


def apply_results(connection: sa.Connection, results: Sequence[Result], *, now: datetime) -> list[RowOutcome]:
    """Apply `results` in their order, inside the caller's transaction; one outcome each, as if each came alone.

    The newest upload wins, by (occurred_at, upload_event_id); of one upload, ready beats failed. A failed upload sets
    status and error and leaves the earlier thumbnails shown. A batch is one statement a table. Rows are locked in the
    order of their ids, so that two writers cannot block each other for good. A result that the database is known to
    refuse is REFUSED, unless it would not be written anyway; see `refusal`.
    """
    on_postgres = connection.dialect.name == "postgresql"
    refused = {index for index, result in enumerate(results) if on_postgres and refusal(result) is not None}
    changes = newest_changes(result for index, result in enumerate(results) if index not in refused)
    update_rows: UpdateRows = postgres_rows.update_rows if on_postgres else sqlite_rows.update_rows
    states: dict[tuple[MediaKind, int], RowState] = {}
    for kind in MediaKind:
        row_ids = _row_ids(results, kind)
        if row_ids:
            of_kind = [change for (row, _), change in changes.items() if row[0] is kind]
            found = update_rows(connection, kind, row_ids, of_kind, now)
            states |= {(kind, row_id): state for row_id, state in found.items()}
    outcomes = []
    for index, result in enumerate(results):
        row = row_of(result)
        state = states.get(row)
        outcome = outcome_of(state, result)
        if state is not None and outcome in APPLIED_OUTCOMES:
            if index in refused:
                outcome = RowOutcome.REFUSED
            else:
                states[row] = state.after(result)
        outcomes.append(outcome)
    return outcomes


def refusal(result: Result) -> str | None:
    """Return why PostgreSQL would refuse `result`, as far as that is known beforehand: one bad value fails its whole batch."""
    if isinstance(result, ThumbnailReady):
        texts = {"thumbnail_url": result.thumbnail_url, "thumbnail_placeholder": result.placeholder or ""}
    else:
        texts = {"thumbnail_error": error_text(result) or ""}
    for name, text in texts.items():
        if "\0" in text:
            return f"{name} holds a NUL character, which PostgreSQL cannot store."
        if len(text) > _LENGTHS[name] and len(text.rstrip(" ")) > _LENGTHS[name]:  # spaces too many are cut off
            return f"{name} has {len(text)} characters; the column holds {_LENGTHS[name]}."
    return None


def _length(name: str) -> int:
    kind = videos.c[name].type
    return kind.length if isinstance(kind, sa.String) and kind.length is not None else 2**30


_LENGTHS: Final = {name: _length(name) for name in ("thumbnail_url", "thumbnail_placeholder", "thumbnail_error")}


def _row_ids(results: Iterable[Result], kind: MediaKind) -> list[int]:
    return sorted({result.media.row_id for result in results if result.media.kind is kind})
