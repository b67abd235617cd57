"""When a failed event is tried again: pure, with the time given, so that every rule can be tested without waiting."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError

RETRIED_ONCE: Final = frozenset({ErrorCode.MEDIA_TIMEOUT, ErrorCode.MEDIA_CRASHED_DECODER})
"""A decoder that hung or died does so again, as a rule: one retry tells bad luck from a bad file."""

OUTAGES: Final = frozenset({ErrorCode.DATABASE_UNAVAILABLE, ErrorCode.STORAGE_PAUSED})
"""Failures of a part that many events need: waiting for it says nothing about the event, so no attempt is used up."""


@dataclass(frozen=True)
class RetryAt:
    """Try again: in retry topic `tier` (1-based), not before `due_at`, as retry number `retry` (0: none is used up)."""

    tier: int
    due_at: datetime
    retry: int


@dataclass(frozen=True)
class GiveUp:
    """Do not try again; `reason` is for the log."""

    reason: str


@dataclass(frozen=True)
class RetryPolicy:
    """Delays in seconds, one a tier, and a total time budget in seconds from the first failure.

    `delays_s` has as many entries as there are retry topics at most; each attempt waits in the next tier.
    """

    delays_s: tuple[float, ...]
    budget_s: float

    def decide(
        self, error: ThumbnailError, *, failed_attempts: int, first_failed_at: datetime, now: datetime
    ) -> RetryAt | GiveUp:
        """What becomes of an event that has just failed for the `failed_attempts`-th time (1-based)."""
        if isinstance(error, PermanentError) or not isinstance(error, TransientError):
            return GiveUp("the error is permanent")
        outage = error.code in OUTAGES
        counted = failed_attempts - 1 if outage else failed_attempts
        if counted > self._allowed_retries(error.code):
            return GiveUp(f"all {failed_attempts} attempts are used up")
        tier = self._tier_for(max(counted, 1), error.retry_after_s or 0.0)
        due_at = now + timedelta(seconds=max(self.delays_s[tier - 1], error.retry_after_s or 0.0))
        if due_at - first_failed_at > timedelta(seconds=self.budget_s):
            return GiveUp(f"the time budget of {self.budget_s:g} s is used up")
        return RetryAt(tier, due_at, retry=counted)

    def _allowed_retries(self, code: ErrorCode) -> int:
        return min(1, len(self.delays_s)) if code in RETRIED_ONCE else len(self.delays_s)

    def _tier_for(self, attempt: int, at_least_s: float) -> int:
        """The attempt's own tier, or the first later one that waits long enough for what the other side asked."""
        own = min(attempt, len(self.delays_s))
        late_enough = (tier for tier in range(own, len(self.delays_s) + 1) if self.delays_s[tier - 1] >= at_least_s)
        return next(late_enough, len(self.delays_s))
