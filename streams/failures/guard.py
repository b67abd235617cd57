"""Stops the worker when so much fails that the records are not to blame, before a topic drains into the dead letters."""

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

import structlog

from schemas.errors import ErrorCode
from streams.failures.failure_counts import BUCKETS, Ended, FailureCounts, Owner, apart, owner_of, total_of

log = structlog.get_logger(__name__)

SUGGEST_A_BROKEN_DEPLOY: Final = frozenset(
    {
        ErrorCode.EVENT_MALFORMED,
        ErrorCode.EVENT_UNSUPPORTED_VERSION,
        ErrorCode.EVENT_TOO_LARGE,
        ErrorCode.EVENT_IN_FUTURE,
        ErrorCode.TENANT_UNKNOWN,
        ErrorCode.MEDIA_TIMEOUT,
        ErrorCode.MEDIA_CRASHED_DECODER,
        ErrorCode.STORAGE_BAD_KEY,
        ErrorCode.DATABASE_UNAVAILABLE,
        ErrorCode.INTERNAL_ERROR,
    }
)
"""The codes that the ratio counts. Broken files, missing sources and a tenant's own storage are ordinary: whoever uploads a folder
of garbage must not stop everybody's thumbnails. That nothing at all succeeds any more is seen by the row of failures,
which counts every code."""
PRIMED_LEFT: Final = 10
"""Failures still allowed in a row after a restart during a flood."""
PART_OF_OTHERS: Final = 10
"""The companies beside the one that fails most must have a tenth of a limit's records before they prove anything."""
SEEN_FOR_S: Final = 86_400.0
"""For so long after its last record a company counts as one that uploads here."""
FIRST_S: Final = 10.0
"""A good upload takes a second and a malformed record milliseconds: at first a hundred of these end before one of those."""
MOST_NAMED: Final = 5
MOST_PRODUCERS: Final = 1000
MOST_OF_A_NAME: Final = 100
UNNAMED: Final = "without one"


class DeadLetterFloodError(Exception):
    """Too many records fail: the worker must stop, and leave the record that was next unacknowledged."""


@dataclass(frozen=True)
class DeadLetterLimit:
    """The most that may fail; 0 switches a limit off. Each holds for every partition, and for all of them together.

    `max_ratio` of the records that came to an end within `window_s` seconds, once they are `min_events` or more;
    `max_consecutive` records in a row, without one success between them.
    """

    max_ratio: float
    max_consecutive: int
    window_s: float
    min_events: int


class DeadLetterGuard:
    """Counts ends of records against a limit, by company. Not thread-safe: one event loop owns it.

    Companies whose records exceed a limit stop the worker in two cases only:

    - Several companies fail: without the company that fails most, the others still have a tenth of what the limit asks
      for (failures in the row; records in the window, of which too large a part failed).
    - The company that fails most is the only one there is: in the database, and by what was seen for a day by this worker
      or the one before it. Then nobody else is held up.

    Otherwise they go on into the dead letters, as fast as CompanyLimiter has them tried, and a log line names the company.
    Records of no known company (malformed, or with an id that no company has) are counted apart, as those of one owner: any
    producer can send them. They stop the worker only while it has ended no record of a company; a worker that can read no
    event ends none, and neither does one that asks a wrong database. The producers are named by their records' ce_source.

    A success ends the row of failures of its partition and of all together: thumbnails that were made, and no cleanup. A
    record that is to be retried has not come to an end, and is not counted.
    """

    def __init__(self, limit: DeadLetterLimit, *, clock: Callable[[], float] = monotonic) -> None:
        self._limit: Final = limit
        self._clock: Final = clock
        self._all: Final = FailureCounts()
        self._partitions: Final[dict[Hashable, FailureCounts]] = {}
        self._seen: Final[dict[int, float]] = {}
        """When the last two companies were seen: enough to know whether there is another one."""
        self._known: frozenset[int] = frozenset()
        self._producers: Final[deque[tuple[int, str]]] = deque(maxlen=MOST_PRODUCERS)
        """Of the newest records of no known company, with the part of the window."""
        self._first_end_at: float | None = None
        self._knows_a_company = False
        self._last_logged: tuple[int, Owner] | None = None

    def prime(
        self, dead_letters: Mapping[Owner, int], companies: Iterable[int] = (), known: Iterable[int] = ()
    ) -> None:
        """Take into account the last window's dead letters by owner, companies with results of late, and `known` ones.

        Two of the database's companies are enough.

        Without all this a supervisor that restarts the worker would let a full row of dead letters through each time, or one
        company's flood would stop the worker again before it meets a record of another company.
        """
        most = max(0, self._limit.max_consecutive - PRIMED_LEFT)
        of_companies = sum(count for owner, count in dead_letters.items() if owner is not None)
        for owner, count in dead_letters.items():
            self._all.row[owner] = count * most // max(most, count if owner is None else of_companies, 1)
        for company_id in (*companies, *dead_letters):
            self._see(company_id)
        self._known = frozenset(known)

    def succeeded(self, partition: Hashable, company_id: int) -> None:
        """Count an upload of `partition` that has its thumbnails."""
        self._meet(company_id)
        for scope in self._scopes(partition):
            scope.succeeded(self._bucket(), company_id)

    def check(self, partition: Hashable, code: ErrorCode, company_id: int | None, producer: str | None = None) -> None:
        """Count a record that is about to become a dead letter. Raises DeadLetterFloodError when it must not.

        `company_id` is None where the record could not be read; `producer` is what it says of its source.
        """
        owner, is_counted = owner_of(company_id, code), code in SUGGEST_A_BROKEN_DEPLOY
        self._meet(owner)
        if owner is None:
            self._producers.append((self._bucket(), (producer or UNNAMED)[:MOST_OF_A_NAME]))
        for scope in self._scopes(partition):
            scope.failed(self._bucket(), owner, code, is_counted=is_counted)
        for scope, where in zip(self._scopes(partition), ("", f" of {partition}"), strict=True):
            if self._limit.max_consecutive:
                self._check_row(scope, where)
            if self._limit.max_ratio and is_counted:
                self._check_window(scope, where)

    def _check_row(self, scope: FailureCounts, where: str) -> None:
        most = self._limit.max_consecutive
        strangers, failures = apart(scope.row)
        reason = f"records{where} in a row failed for good ({scope.top_codes()}), more than DLQ_MAX_CONSECUTIVE."
        if failures.total() > most:
            others = failures.total() - max(failures.values())
            self._check_companies(failures, reason, do_others_fail=others * PART_OF_OTHERS >= most)
        if strangers > most:
            self._check_strangers(strangers, reason)

    def _check_window(self, scope: FailureCounts, where: str) -> None:
        ratio, enough = self._limit.max_ratio, self._limit.min_events
        window = scope.window()
        every = total_of(window)
        companies: dict[Owner, Ended] = {owner: part for owner, part in window.items() if owner is not None}
        reason = (
            f"of {every.records} records{where} failed within {self._limit.window_s:g} s as if something here were"
            f" broken (the last in a row: {scope.top_codes()}), more than DLQ_MAX_RATIO."
        )
        strangers, failures = apart({owner: part.failures for owner, part in window.items()})
        if total_of(companies).exceeds(ratio, enough):
            del companies[max(companies, key=lambda owner: companies[owner].failures)]
            self._check_companies(
                failures, reason, do_others_fail=total_of(companies).exceeds(ratio, -(-enough // PART_OF_OTHERS))
            )
        if Ended(every.records, strangers).exceeds(ratio, enough):
            self._check_strangers(strangers, reason)

    def _check_companies(self, failures: Counter[int], reason: str, *, do_others_fail: bool) -> None:
        ((worst, count),) = failures.most_common(1)
        if do_others_fail or not self._knows_another(worst):
            whose = ", ".join(f"{company or 'others'} ({count})" for company, count in failures.most_common(MOST_NAMED))
            raise DeadLetterFloodError(f"{failures.total()} {reason} By company: {whose}. {_WAY_OUT}")
        if self._is_news(worst):
            log.warning(
                "company_failure_limit_exceeded", company_id=worst, failed=count, reason=f"{failures.total()} {reason}"
            )

    def _check_strangers(self, failed: int, reason: str) -> None:
        began_at = self._clock() if self._first_end_at is None else self._first_end_at
        if not self._knows_a_company and self._clock() - began_at >= FIRST_S:
            raise DeadLetterFloodError(
                f"{failed} {reason} None of them names a company that is known. By ce_source: {self._by_producer()}. {_WAY_OUT}"
            )
        if self._is_news(None):
            producers, why = self._by_producer(), f"{failed} {reason}"
            log.warning("unattributed_failure_limit_exceeded", failed=failed, reason=why, producers=producers)

    def _by_producer(self) -> str:
        oldest = self._bucket() - BUCKETS
        counts = Counter(name for bucket, name in self._producers if bucket > oldest)
        return ", ".join(f"{name} ({count})" for name, count in counts.most_common(MOST_NAMED))

    def _is_news(self, owner: Owner) -> bool:
        """Return whether the log has no line of this owner yet in this part of the window: a line costs more than a check."""
        before, self._last_logged = self._last_logged, (self._bucket(), owner)
        return before != self._last_logged

    def _meet(self, owner: Owner) -> None:
        if self._first_end_at is None:
            self._first_end_at = self._clock()
        self._knows_a_company = self._knows_a_company or owner is not None
        self._see(owner)

    def _see(self, owner: Owner) -> None:
        if owner is not None:
            self._seen.pop(owner, None)
            self._seen[owner] = self._clock()
            while len(self._seen) > 2:
                del self._seen[next(iter(self._seen))]

    def _knows_another(self, company_id: int) -> bool:
        since = self._clock() - SEEN_FOR_S
        seen = (other for other, at in self._seen.items() if at >= since)
        return any(other != company_id for other in (*self._known, *seen))

    def _scopes(self, partition: Hashable) -> tuple[FailureCounts, FailureCounts]:
        return self._all, self._partitions.setdefault(partition, FailureCounts())

    def _bucket(self) -> int:
        return int(self._clock() / (self._limit.window_s / BUCKETS))


_WAY_OUT: Final = (
    "The next record is not acknowledged, and nothing is lost. Look at `thumbnails dlq stats`, fix the cause, start the"
    " worker again, and replay; or set the limit to 0 to let everything through."
)
