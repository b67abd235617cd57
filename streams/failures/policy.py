"""Decides when a failed event is tried again: pure, with time and chance injected, so that every rule is tested without waiting."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError
from streams.failures.retry_limits import DEFAULT_LIMITS, RetryLimit, most_hops

OUTAGES: Final = frozenset({ErrorCode.DATABASE_UNAVAILABLE, ErrorCode.STORAGE_PAUSED, ErrorCode.TENANT_LIMITED})
"""Waits for a part that many events need, or for the event's turn: they say nothing about it, so no attempt is used up."""


@dataclass(frozen=True)
class RetryAt:
    """Try again: in retry topic `tier` (1-based), not before `due_at`, as retry number `retry` (0: none is used up).

    `not_before` is later than `due_at` when the other side asked for a longer wait than the last tier's: the record
    waits there again and again until then, so that no due time is ever farther away than its tier's own delay.
    """

    tier: int
    due_at: datetime
    retry: int
    not_before: datetime | None = None


@dataclass(frozen=True)
class GiveUp:
    """Do not try again; `reason` is for the log."""

    reason: str


@dataclass(frozen=True)
class Attempts:
    """The number of times that an event has failed, this time included, and from when its time budget counts.

    `last_code` is that of the failure before: what failed for another reason until now has this code's retries left.
    """

    failed: int
    budget_from: datetime
    last_code: str | None = None
    hops: int = 0
    """How often the record was sent to a retry topic."""


@dataclass(frozen=True)
class RetryPolicy:
    """Delays in seconds, one a tier, and a total time budget in seconds from the first failure or the last replay.

    `delays_s` has as many entries as there are retry topics at most; each attempt waits in the next tier, those beyond
    in the last. `limits` are for single codes. Each wait is longer by a random part of it, up to `jitter`, and never
    shorter; `chance` gives numbers from 0 up to 1.
    """

    delays_s: tuple[float, ...]
    budget_s: float
    limits: Mapping[ErrorCode, RetryLimit] | None = None
    jitter: float = 0.0
    chance: Callable[[], float] = random.random

    @cached_property
    def max_hops(self) -> int:
        """Return how often a record may be sent to retry topics, whatever its code."""
        budgets_s = [limit.budget_s or 0.0 for limit in (self.limits or {}).values()]
        return most_hops(self.delays_s, max([self.budget_s, *budgets_s]))

    def decide(self, error: ThumbnailError, attempts: Attempts, now: datetime) -> RetryAt | GiveUp:
        """Return what becomes of an event that has just failed by `error`."""
        failed_attempts = attempts.failed
        if isinstance(error, PermanentError) or not isinstance(error, TransientError):
            return GiveUp("the error is permanent")
        if attempts.hops >= self.max_hops:
            return GiveUp(f"it was sent to the retry topics {attempts.hops} times")
        limit = (DEFAULT_LIMITS if self.limits is None else self.limits).get(error.code, RetryLimit())
        counted = failed_attempts - 1 if error.code in OUTAGES else failed_attempts
        # A wait for its turn hides no failure.
        is_in_row = attempts.last_code in (None, error.code, ErrorCode.TENANT_LIMITED)
        of_its_code = counted if is_in_row else min(counted, 1)
        allowed = len(self.delays_s) if limit.retries is None else limit.retries
        if of_its_code > allowed or counted > max(len(self.delays_s), allowed):
            return GiveUp(f"all {failed_attempts} attempts are used up")
        asked_s = error.retry_after_s or 0.0
        budget_s = self.budget_s if limit.budget_s is None else limit.budget_s
        if error.code is ErrorCode.TENANT_LIMITED:
            # A guess, no demand: the limit may end sooner, and the upload asks once more.
            left_s = budget_s - (now - attempts.budget_from).total_seconds()
            asked_s = min(asked_s, max(left_s, 0.0))
        tier = tier_for(self.delays_s, asked_s, first=max(counted, 1))
        delay_s = self.delays_s[tier - 1]
        # Without the jitter: whether an event is given up must not be a matter of chance.
        if now + timedelta(seconds=max(delay_s, asked_s)) - attempts.budget_from > timedelta(seconds=budget_s):
            return GiveUp(f"the time budget of {budget_s:g} s is used up")
        due_at = now + timedelta(seconds=delay_s * (1 + self.jitter * self.chance()))
        not_before = now + timedelta(seconds=asked_s)
        return RetryAt(tier, due_at, counted, not_before if not_before > due_at else None)


def tier_for(delays_s: tuple[float, ...], at_least_s: float, *, first: int = 1) -> int:
    """Return the `first` tier (1-based), or the next one that waits at least as long as asked, or else the last."""
    own = min(first, len(delays_s))
    late_enough = (tier for tier in range(own, len(delays_s) + 1) if delays_s[tier - 1] >= at_least_s)
    return next(late_enough, len(delays_s))
