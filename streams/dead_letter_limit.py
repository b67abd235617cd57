"""Stops the worker when so much fails that the records are not to blame, before a topic drains into the dead letters."""

from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from schemas.errors import ErrorCode

SUGGEST_A_BROKEN_DEPLOY: Final = frozenset(
    {
        ErrorCode.EVENT_MALFORMED,
        ErrorCode.EVENT_UNSUPPORTED_VERSION,
        ErrorCode.EVENT_TOO_LARGE,
        ErrorCode.TENANT_UNKNOWN,
        ErrorCode.MEDIA_TIMEOUT,
        ErrorCode.MEDIA_CRASHED_DECODER,
        ErrorCode.STORAGE_BAD_KEY,
        ErrorCode.DATABASE_UNAVAILABLE,
        ErrorCode.INTERNAL_ERROR,
    }
)
"""What the ratio counts. Broken files, missing sources and a tenant's own storage are ordinary: whoever uploads a folder
of garbage must not stop everybody's thumbnails. That nothing at all succeeds any more is seen by the row of failures,
which counts every code."""
BUCKETS: Final = 30
PRIMED_LEFT: Final = 10
"""After a restart amid a flood, so many more letters in a row stop the worker again."""


class DeadLetterFloodError(Exception):
    """Too many records fail: the worker must stop, and leave the record that was next unacknowledged."""


@dataclass(frozen=True)
class DeadLetterLimit:
    """How much may fail; 0 switches a limit off. Each holds for every partition, and for all of them together.

    `max_ratio` of the records that came to an end within `window_s` seconds, once they are `min_events` or more;
    `max_consecutive` records in a row, without one success between them.
    """

    max_ratio: float
    max_consecutive: int
    window_s: float
    min_events: int


@dataclass
class _Scope:
    """A partition, or all of them: the failures in a row by code, and (bucket, records, counted failures) of the window."""

    row: Counter[str] = field(default_factory=Counter)
    primed: int = 0
    buckets: deque[list[int]] = field(default_factory=deque)

    def add(self, bucket: int, *, is_counted: bool) -> None:
        while self.buckets and self.buckets[0][0] <= bucket - BUCKETS:
            self.buckets.popleft()
        if not self.buckets or self.buckets[-1][0] != bucket:
            self.buckets.append([bucket, 0, 0])
        self.buckets[-1][1] += 1
        self.buckets[-1][2] += is_counted

    @property
    def in_a_row(self) -> int:
        return self.primed + self.row.total()

    def window(self) -> tuple[int, int]:
        return sum(bucket[1] for bucket in self.buckets), sum(bucket[2] for bucket in self.buckets)


class DeadLetterGuard:
    """Counts ends of records against a limit. Not thread-safe: one event loop owns it.

    A success ends the row of failures of its partition and of all together: thumbnails that were made, and no cleanup. A
    record that is to be retried has not come to an end, and is not counted.
    """

    def __init__(self, limit: DeadLetterLimit, *, clock: Callable[[], float] = monotonic) -> None:
        self._limit: Final = limit
        self._clock: Final = clock
        self._all: Final = _Scope()
        self._partitions: Final[dict[Hashable, _Scope]] = {}

    def prime(self, recent_letters: int) -> None:
        """Take the dead letters of the last window into account, of this process's predecessor, say.

        Without it a supervisor that restarts the worker would let a full row of letters through each time.
        """
        self._all.primed = max(0, min(recent_letters, self._limit.max_consecutive - PRIMED_LEFT))

    def succeeded(self, partition: Hashable) -> None:
        """An upload of `partition` has its thumbnails."""
        for scope in self._scopes(partition):
            scope.row.clear()
            scope.primed = 0
            scope.add(self._bucket(), is_counted=False)

    def check(self, partition: Hashable, code: ErrorCode) -> None:
        """Count a record that is about to become a dead letter. Raises DeadLetterFloodError when it must not."""
        for scope in self._scopes(partition):
            scope.row[code] += 1
            scope.add(self._bucket(), is_counted=code in SUGGEST_A_BROKEN_DEPLOY)
        for scope, where in zip(self._scopes(partition), ("", f" of {partition}"), strict=True):
            self._refuse_a_flood(scope, where)

    def _refuse_a_flood(self, scope: _Scope, where: str) -> None:
        limit = self._limit
        codes = ", ".join(f"{code} {count}" for code, count in scope.row.most_common(5))
        if limit.max_consecutive and scope.in_a_row > limit.max_consecutive:
            raise DeadLetterFloodError(
                f"{scope.in_a_row} records{where} in a row failed for good ({codes}), more than DLQ_MAX_CONSECUTIVE."
                f" {_WAY_OUT}"
            )
        total, counted = scope.window()
        if limit.max_ratio and total >= limit.min_events and counted / total > limit.max_ratio:
            raise DeadLetterFloodError(
                f"{counted} of {total} records{where} failed within {limit.window_s:g} s as if something of ours were"
                f" broken (the last in a row: {codes}), more than DLQ_MAX_RATIO. {_WAY_OUT}"
            )

    def _scopes(self, partition: Hashable) -> tuple[_Scope, _Scope]:
        return self._all, self._partitions.setdefault(partition, _Scope())

    def _bucket(self) -> int:
        return int(self._clock() / (self._limit.window_s / BUCKETS))


_WAY_OUT: Final = (
    "The next record is not acknowledged, and nothing is lost. Look at `thumbnails dlq stats`, mend the cause, start the"
    " worker again, and replay; or set the limit to 0 to let everything through."
)
