"""Which of several results a row ends up with: the order of uploads, without a database."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from schemas.events import MediaKind, ThumbnailFailed, ThumbnailReady
from streams.rows.versions import MOST_GIVEN_UP, version_of

Result = ThumbnailReady | ThumbnailFailed
Rank = tuple[datetime, str, bool]
"""The upload's time and id, and whether there are pictures: of two results, the higher one is to be shown."""
Row = tuple[MediaKind, int]
"""A table, by the kind of media that it shows, and an id in it."""

READY: Final = "ready"
FAILED: Final = "failed"
NEVER: Final = datetime.min.replace(tzinfo=UTC)


class RowOutcome(StrEnum):
    """The outcome of a result: applied to a fresh row, or in place of an earlier result, or not at all.

    OVERRULED are pictures whose version was given up before they were read. UNREMEMBERED is a failure of so many of
    one upload that the row cannot remember its version.
    """

    APPLIED = "applied"
    REPLACED = "replaced"
    REPEATED = "repeated"
    STALE = "stale"
    OVERRULED = "overruled"
    UNREMEMBERED = "unremembered"
    ROW_GONE = "row_gone"
    OTHER_COMPANY = "other_company"
    REFUSED = "refused"


APPLIED_OUTCOMES: Final = frozenset({RowOutcome.APPLIED, RowOutcome.REPLACED})


@dataclass(frozen=True, slots=True)
class RowState:
    """The part of a row that decides. `is_fresh` until the first result is in it.

    `given_up` are the versions of its upload that failed. They are never shown afterwards: their objects may be cleaned
    up at any time.
    """

    company_id: int
    rank: Rank
    is_fresh: bool
    given_up: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, company_id: int, moment: datetime, event_id: str | None, status: str | None, given_up: tuple[str, ...]
    ) -> "RowState":
        """Make the state from a row's columns; `moment` is the row's counted time, see `counted_time`."""
        return cls(company_id, (moment, event_id or "", status != FAILED), not event_id, given_up)

    def after(self, result: Result, outcome: RowOutcome) -> "RowState":
        """Return the state once `result` has had its outcome: a row that stays failed remembers one version more."""
        if outcome in APPLIED_OUTCOMES:
            rank = rank_of(result)
            before = self.given_up if rank[:2] == self.rank[:2] else ()
            names = isinstance(result, ThumbnailFailed) and result.version is not None  # a failure of 0.1 names none
            return RowState(self.company_id, rank, False, (*before, version_of(result)) if names else before)
        if outcome is RowOutcome.REPEATED and self._lacks(result):
            return replace(self, given_up=(*self.given_up, version_of(result)))
        return self

    def _lacks(self, result: Result) -> bool:
        """Return whether `result` is another failure of the row's failed upload, with a version that is to be remembered."""
        is_failure = isinstance(result, ThumbnailFailed) and result.version is not None
        return is_failure and rank_of(result) == self.rank and version_of(result) not in self.given_up

    def outcome_of(self, result: Result) -> RowOutcome:
        """Return what becomes of `result` when the row is like this."""
        if self.company_id != result.company_id:
            return RowOutcome.OTHER_COMPANY
        offered = rank_of(result)
        if offered > self.rank:
            if self.given_up and isinstance(result, ThumbnailReady) and version_of(result) in self.given_up:
                return RowOutcome.OVERRULED
            return RowOutcome.APPLIED if self.is_fresh else RowOutcome.REPLACED
        if offered[:2] < self.rank[:2]:
            return RowOutcome.STALE
        is_full = len(self.given_up) >= MOST_GIVEN_UP
        return RowOutcome.UNREMEMBERED if is_full and self._lacks(result) else RowOutcome.REPEATED


def counted_time(occurred_at: datetime | None, written_at: datetime | None) -> datetime:
    """Return the time by which an upload is compared: its own, but at most the time at which that was written down.

    A time that was in the future then is a wrong clock's, and would win over every later upload. Version 0.2 writes no time in
    the future: the worker refuses such uploads, sets no `produced_at` before `occurred_at`, and rows are
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
