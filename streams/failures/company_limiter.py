"""Lets a company whose uploads mostly fail have a bounded part of the worker, so that the others' go on beside them."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import structlog

from schemas.errors import ErrorCode, ThumbnailError, TransientError
from streams.failures.failure_counts import BUCKETS

log = structlog.get_logger(__name__)

PART_OF_A_SLOT: Final = 0.2
"""A limited company may waste so large a part of one decode slot."""
LONGEST_WAIT_S: Final = 3600.0
"""An upload that cannot be tried sooner asks again after this: the company may be well by then."""
MAX_COMPANIES: Final = 1024
_NOT_THE_COMPANYS: Final = frozenset(
    {
        ErrorCode.DATABASE_UNAVAILABLE,
        ErrorCode.STORAGE_UNAVAILABLE,
        ErrorCode.STORAGE_RATE_LIMITED,
        ErrorCode.STORAGE_PAUSED,
        ErrorCode.TENANT_LIMITED,
    }
)
"""An outage has limits of its own, the circuit breaker and the wait for the database; and a wait proves nothing."""
_TAKES_LONG: Final = frozenset({ErrorCode.MEDIA_TIMEOUT, ErrorCode.MEDIA_CRASHED_DECODER})
"""Tried again, and yet most likely the file's fault."""


class CompanyLimitedError(TransientError):
    """It is not this upload's turn: it waits in a retry topic, and uses up no attempt."""

    def __init__(self, company_id: int, retry_after_s: float) -> None:
        message = f"Most uploads of company {company_id} fail, so that only a few of them are tried at a time."
        super().__init__(ErrorCode.TENANT_LIMITED, message, retry_after_s=retry_after_s)


@dataclass(frozen=True)
class CompanyLimit:
    """When a company is limited, and to what; 0 uploads a minute: never.

    It is limited while more than `max_ratio` of its uploads that ended within `window_s` became dead letters, from
    `min_events` uploads on. The same holds for the time spent on them, from PART_OF_A_SLOT of the window on.
    """

    per_minute: int
    max_ratio: float
    window_s: float
    min_events: int


@dataclass
class _Part:
    """A part of the window: how many uploads ended and how many of them failed; attempts, and their seconds."""

    number: int
    ended: int = 0
    failed: int = 0
    busy_s: float = 0.0
    wasted: int = 0
    wasted_s: float = 0.0


@dataclass
class _Company:
    parts: deque[_Part] = field(default_factory=deque)
    is_limited: bool = False
    running: int = 0
    tokens: float = 0.0
    counted_at: float = 0.0
    """When `tokens` was right."""
    rests_until: float = 0.0
    queue_ends_at: float = 0.0
    """When it would be the turn of an upload that is sent to wait now."""

    def total(self) -> _Part:
        found = _Part(0)
        for part in self.parts:
            found.ended, found.failed = found.ended + part.ended, found.failed + part.failed
            found.busy_s, found.wasted_s = found.busy_s + part.busy_s, found.wasted_s + part.wasted_s
            found.wasted += part.wasted
        return found


class CompanyLimiter:
    """Counts each company's uploads by how they end, and holds back those of a company that is limited.

    A limited company's uploads are tried one at a time, at most `per_minute` in a minute (twice that after a pause), and fewer
    if they take long before they fail. All others wait in the retry topics, where they hold back nobody: a
    fresh one behind those that wait already, each for its turn. The limit ends when most of what is tried succeeds, or
    nothing failed for a window. One process counts for itself. Not thread-safe, but for limited(): one event loop owns it.
    """

    def __init__(self, limit: CompanyLimit, *, clock: Callable[[], float] = monotonic) -> None:
        self._limit: Final = limit
        self._clock: Final = clock
        self._companies: Final[OrderedDict[int, _Company]] = OrderedDict()

    @contextmanager
    def attempt(self, company_id: int, *, is_again: bool) -> Iterator[None]:
        """Try an upload within the block, and count its time. Raises CompanyLimitedError when the upload must wait."""
        if not self._limit.per_minute:
            yield
            return
        company = self._find(company_id)
        self._take_turn(company_id, company, is_again=is_again)
        company.running += 1
        began, is_wasted = self._clock(), False
        try:
            yield
        except ThumbnailError as error:
            is_wasted = error.code in _TAKES_LONG or not isinstance(error, TransientError)
            raise
        except Exception:
            is_wasted = True
            raise
        finally:
            company.running -= 1
            took_s = self._clock() - began
            part = self._part(company)
            part.busy_s += took_s
            if is_wasted:
                part.wasted, part.wasted_s = part.wasted + 1, part.wasted_s + took_s
                company.rests_until = max(company.rests_until, began + took_s / PART_OF_A_SLOT)

    def succeeded(self, company_id: int) -> None:
        """Count an upload that has its thumbnails."""
        if self._limit.per_minute:
            self._part(self._find(company_id)).ended += 1

    def given_up(self, company_id: int, code: ErrorCode) -> None:
        """Count an upload that becomes a dead letter."""
        if self._limit.per_minute and code not in _NOT_THE_COMPANYS:
            part = self._part(self._find(company_id))
            part.ended, part.failed = part.ended + 1, part.failed + 1

    def limited(self) -> list[int]:
        """Return the companies that are limited now; safe in any thread."""
        return sorted(
            company_id for company_id, company in list(self._companies.items()) if self._is_limited_now(company)
        )

    def _is_limited_now(self, company: _Company) -> bool:
        """Return whether the limit holds on: that of a company without uploads is over after a window, unnoticed."""
        oldest = self._number() - BUCKETS
        return company.is_limited and any(part.number > oldest for part in tuple(company.parts))

    def _take_turn(self, company_id: int, company: _Company, *, is_again: bool) -> None:
        self._judge(company_id, company)
        if not company.is_limited:
            return
        now, rate = self._clock(), self._limit.per_minute / 60
        company.tokens = min(self._limit.per_minute, company.tokens + (now - company.counted_at) * rate)
        company.counted_at = now
        is_its_turn = is_again or company.queue_ends_at <= now
        if is_its_turn and not company.running and company.rests_until <= now and company.tokens >= 1:
            company.tokens -= 1
            return
        rest_s = max(0.0, company.rests_until - now)
        company.queue_ends_at = max(company.queue_ends_at, now + rest_s) + max(1 / rate, self._usual_rest_s(company))
        raise CompanyLimitedError(company_id, min(company.queue_ends_at - now, LONGEST_WAIT_S))

    def _usual_rest_s(self, company: _Company) -> float:
        total = company.total()
        return total.wasted_s / max(1, total.wasted) / PART_OF_A_SLOT

    def _judge(self, company_id: int, company: _Company) -> None:
        """Begin or end the limit. It ends later than it began: with few uploads in the window the shares alone decide."""
        self._part(company)
        total, most, enough = company.total(), self._limit.max_ratio, self._limit.min_events
        has_failed = total.failed > total.ended * most
        has_wasted = total.wasted_s > total.busy_s * most
        is_much = total.ended >= enough and has_failed
        takes_long = total.wasted_s > self._limit.window_s * PART_OF_A_SLOT and has_wasted
        if not company.is_limited and (is_much or takes_long):
            company.is_limited, company.tokens, company.counted_at = True, 0.0, self._clock()
            log.warning(
                "company_limited", company_id=company_id, failed=total.failed, ended=total.ended, seconds=total.wasted_s
            )
        elif company.is_limited and not has_failed and not has_wasted:
            company.is_limited, company.queue_ends_at = False, 0.0
            log.info("company_limit_ended", company_id=company_id)

    def _number(self) -> int:
        return int(self._clock() / (self._limit.window_s / BUCKETS))

    def _part(self, company: _Company) -> _Part:
        """Return the present part of the window, and forget what is older than it."""
        number, parts = self._number(), company.parts
        while parts and parts[0].number <= number - BUCKETS:
            parts.popleft()
        if not parts or parts[-1].number != number:
            parts.append(_Part(number))
        return parts[-1]

    def _find(self, company_id: int) -> _Company:
        company = self._companies.setdefault(company_id, _Company())
        self._companies.move_to_end(company_id)
        if len(self._companies) > MAX_COMPANIES:  # a limited one stays: made-up ids must not end its limit
            oldest = (other for other, found in self._companies.items() if not self._is_limited_now(found))
            del self._companies[next(oldest, next(iter(self._companies)))]
        return company
