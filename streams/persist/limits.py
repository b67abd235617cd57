"""Ends the persist role when the database, and not single results, must be corrected."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from schemas.database_faults import is_about_schema_or_rights
from schemas.events import MediaKind
from streams.failures.refused_results import refusal_code
from streams.persist.batch import DatabaseDownError, Written
from streams.rows.upsert import APPLIED_OUTCOMES, Result

PRIMED_LEFT: Final = 1
"""Refused results that a restarted role may still set aside before the first that is written."""


class PersistStoppedError(Exception):
    """The role must end: offsets stay where they are, and nothing is lost. The message says what to do."""


@dataclass(frozen=True)
class PersistLimits:
    """When the role ends; 0 switches a limit off. `refused_before` has the media of recent dead letters by the database's code."""

    max_refused: int = 20
    fault_s: float = 600.0
    refused_before: Mapping[str, Set[str]] = field(default_factory=dict)


class PersistGuard:
    """Counts refusals, and measures how long a fault lasts. One thread owns it.

    Refusals with one code are in a row until a batch has a written row of the same kind: of the same table, and of the
    same type of result, because others set other columns, which may be in order when these are not. Each media counts
    once, however often its result comes. A batch whose refusals make the row too long sets none of them aside.

    A restarted role has the dead letters of the one before it in its rows, except for PRIMED_LEFT. It could otherwise
    set aside a full row at each restart; with none left, a single bad result with nothing after it would stop it again and again.
    """

    def __init__(self, limits: PersistLimits, clock: Callable[[], float] = monotonic) -> None:
        self._limits: Final = limits
        self._clock: Final = clock
        self._rows: Final[dict[tuple[MediaKind, type[Result]], dict[str, set[str]]]] = {}
        self._fault_since: float | None = None

    def check_refusals(self, written: Written) -> None:
        """Count a batch before its dead letters are sent. Raises PersistStoppedError when they must not be."""
        most = self._limits.max_refused
        good = {_kind(item.result) for item, outcome in written.outcomes if outcome in APPLIED_OUTCOMES}
        self._rows.update((kind, {}) for kind in good)
        for item, error in written.rejected if most else ():
            code, kind = refusal_code(error.message), _kind(item.result)
            if code is None or kind in good:
                continue
            row = self._row(kind).setdefault(code, set())
            row.add(item.result.media.record_key)
            if len(row) > most:
                raise PersistStoppedError(
                    f"{error.message.rstrip('.')}. More than {most} results in a row are refused so: no further one becomes a"
                    " dead letter, and they wait in their topic. Correct the table's columns or constraints, start the role again,"
                    " and run `thumbnails dlq replay --topic ready`; PERSIST_MAX_REFUSED=0 makes dead letters of all."
                )

    def check_fault(self, fault: DatabaseDownError) -> None:
        """Measure a fault that has just been met. Raises PersistStoppedError when its kind does not pass and it has lasted too long."""
        if not is_about_schema_or_rights(fault.__cause__):
            self._fault_since = None
            return
        if self._fault_since is None:
            self._fault_since = self._clock()
        lasted_s = self._clock() - self._fault_since
        if self._limits.fault_s and lasted_s >= self._limits.fault_s:
            raise PersistStoppedError(
                f"{fault} It has lasted for {lasted_s:.0f} s, longer than PERSIST_FAULT_LIMIT_S; the results wait in their topic."
            )

    def recovered(self) -> None:
        """End a fault: the database has taken a batch."""
        self._fault_since = None

    def _row(self, kind: tuple[MediaKind, type[Result]]) -> dict[str, set[str]]:
        most = max(0, self._limits.max_refused - PRIMED_LEFT)
        before = self._limits.refused_before
        return self._rows.setdefault(kind, {code: set(sorted(media)[:most]) for code, media in before.items()})


def _kind(result: Result) -> tuple[MediaKind, type[Result]]:
    return result.media.kind, type(result)
