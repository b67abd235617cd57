"""Which of several results a row ends up with: the order of uploads, without a database."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from schemas.events import MediaKind, ThumbnailFailed, ThumbnailReady

Result = ThumbnailReady | ThumbnailFailed
Rank = tuple[datetime, str, bool]
"""The upload's time and id, and whether there are pictures: of two results, the higher one is to be shown."""
Row = tuple[MediaKind, int]
"""A table, by the kind of media that it shows, and an id in it."""

READY: Final = "ready"
FAILED: Final = "failed"
NEVER: Final = datetime.min.replace(tzinfo=UTC)


class RowOutcome(StrEnum):
    """What became of a result: applied to a fresh row, or in place of an earlier result, or not at all."""

    APPLIED = "applied"
    REPLACED = "replaced"
    REPEATED = "repeated"
    STALE = "stale"
    ROW_GONE = "row_gone"
    OTHER_COMPANY = "other_company"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RowState:
    """The part of a row that decides. `is_fresh` until the first result is in it."""

    company_id: int
    rank: Rank
    is_fresh: bool

    @classmethod
    def of(cls, company_id: int, moment: datetime, event_id: str | None, status: str | None) -> "RowState":
        """Make the state from a row's columns; `moment` is the row's counted time, see `counted_time`."""
        return cls(company_id, (moment, event_id or "", status != FAILED), is_fresh=not event_id)

    def after(self, result: Result) -> "RowState":
        """Return the state once `result` has been applied."""
        return RowState(self.company_id, rank_of(result), is_fresh=False)


@dataclass(slots=True)
class RowChange:
    """What a batch wants of one row: the newest result, and the newest pictures, which an earlier one may bring."""

    company_id: int
    last: Result
    ready: ThumbnailReady | None


def counted_time(occurred_at: datetime | None, written_at: datetime | None) -> datetime:
    """Return the time by which an upload is compared: its own, but at most the time at which that was written down.

    A time that was in the future then is a wrong clock's, and would win over every later upload. What 0.2 writes is
    never in the future: the worker refuses such uploads, sets no `produced_at` before `occurred_at`, and rows are
    written likewise. So the limit is felt by results and rows of 0.1 alone, and never changes as time goes by.
    """
    return min(occurred_at or NEVER, written_at or NEVER)


def rank_of(result: Result) -> Rank:
    """Return the place of `result` among all results of its row."""
    moment = counted_time(result.occurred_at, result.produced_at)
    return moment, result.upload_event_id, isinstance(result, ThumbnailReady)


def row_of(result: Result) -> Row:
    """Return the row that shows `result`."""
    return result.media.kind, result.media.row_id


def outcome_of(state: RowState | None, result: Result) -> RowOutcome:
    """Return what becomes of `result` when the row is as `state` says; None where there is no row."""
    if state is None:
        return RowOutcome.ROW_GONE
    if state.company_id != result.company_id:
        return RowOutcome.OTHER_COMPANY
    offered = rank_of(result)
    if offered > state.rank:
        return RowOutcome.APPLIED if state.is_fresh else RowOutcome.REPLACED
    return RowOutcome.STALE if offered[:2] < state.rank[:2] else RowOutcome.REPEATED


def newest_changes(results: Iterable[Result]) -> dict[tuple[Row, int], RowChange]:
    """Return one change for each row and company: what is left when `results` are applied in their order.

    A result that is older than one before it is never applied, so its pictures do not count: only a result that is
    newer than all before it can be, and when the newest of these with pictures is too old for the row, so are the rest.
    """
    changes: dict[tuple[Row, int], RowChange] = {}
    for result in results:
        place = row_of(result), result.company_id
        change = changes.get(place)
        if change is None:
            changes[place] = RowChange(
                result.company_id, result, result if isinstance(result, ThumbnailReady) else None
            )
        elif rank_of(result) > rank_of(change.last):
            change.last = result
            if isinstance(result, ThumbnailReady):
                change.ready = result
    return changes
