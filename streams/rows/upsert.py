"""Writes results into rows: compare-and-set on the upload, so that an older result never replaces a newer one."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from schemas.events import MediaKind, ThumbnailReady
from schemas.tables import videos
from streams.rows import postgres as postgres_rows
from streams.rows import sqlite as sqlite_rows
from streams.rows.last_write_wins import APPLIED_OUTCOMES as APPLIED_OUTCOMES
from streams.rows.last_write_wins import Result as Result  # whoever writes results takes all three from here
from streams.rows.last_write_wins import Row, RowOutcome, row_of
from streams.rows.values import RowChange, error_text


def apply_results(connection: sa.Connection, results: Sequence[Result], *, now: datetime) -> list[RowOutcome]:
    """Apply `results` in their order, inside the caller's transaction; one outcome each, as if each came alone.

    The newest upload wins, by (occurred_at, upload_event_id); of one upload, ready beats failed, unless the version of
    its pictures was given up before. A failed upload sets status and error and leaves the earlier thumbnails shown. A
    batch is two statements a table. Rows are locked in the order of their ids, so that two writers cannot block each
    other for good. A result that the database is known to refuse is REFUSED, unless it would not be written anyway;
    see `refusal`.
    """
    on_postgres = connection.dialect.name == "postgresql"
    rows = postgres_rows if on_postgres else sqlite_rows
    ids = {kind: _row_ids(results, kind) for kind in MediaKind}
    states = {
        (kind, row_id): state
        for kind, row_ids in ids.items()
        if row_ids
        for row_id, state in rows.read_states(connection, kind, row_ids).items()
    }
    outcomes: list[RowOutcome] = []
    changes: dict[Row, RowChange] = {}
    for result in results:
        row = row_of(result)
        state = states.get(row)
        outcome = RowOutcome.ROW_GONE if state is None else state.outcome_of(result)
        if on_postgres and outcome in APPLIED_OUTCOMES and refusal(result) is not None:
            outcome = RowOutcome.REFUSED
        outcomes.append(outcome)
        after = None if state is None else state.after(result, outcome)
        if after is not None and after is not state:
            states[row] = after
            changes.setdefault(row, RowChange()).add(result, outcome, after)
    for kind in MediaKind:
        of_kind = {row_id: change for (of, row_id), change in changes.items() if of is kind}
        if of_kind:
            rows.write_changes(connection, kind, of_kind, now)
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
