"""Refuses times that lie in the future: the newest upload of a media wins, so one of them would keep out all later ones."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas import headers as h
from schemas.errors import ErrorCode, PermanentError
from streams.kafka.records import Delivery, bounded_by


@dataclass(frozen=True)
class ClockSkew:
    """The most that clocks may differ: a time may lie `allowed_s` seconds after the latest moment that it can be of."""

    allowed_s: float = 300.0

    def check(self, what: str, moment: datetime, latest: datetime) -> None:
        """Raise PermanentError event.in_future when `moment`, the time of `what`, is later than allowed."""
        if (moment - latest).total_seconds() > self.allowed_s:
            raise PermanentError(
                ErrorCode.EVENT_IN_FUTURE,
                f"{what} is {h.format_time(moment)}, more than {self.allowed_s:g} s (EVENT_MAX_CLOCK_SKEW_S) after"
                f" {h.format_time(latest)}, the latest time that the record can be of.",
            )


DEFAULT_SKEW: Final = ClockSkew()


class SteadyClock:
    """The system's clock, except that it does not follow when that is set back: then it goes on by the monotonic clock.

    With a clock an hour behind, every upload would lie in the future and be refused. A clock that was set right by
    being set back leaves this one as wrong as it was until the process starts again. Safe in threads.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now: Final = now
        self._monotonic: Final = monotonic
        self._seen = now(), monotonic()

    def __call__(self) -> datetime:
        """Return the present time."""
        seen, seen_s = self._seen
        due = seen + timedelta(seconds=self._monotonic() - seen_s)
        now = self._now()
        if now < due:
            return due
        # In this order: the process may stand between two readings, and that must not put the clock ahead.
        self._seen = now, self._monotonic()
        return now


def latest_moment(delivery: Delivery, now: datetime) -> datetime:
    """Return the latest moment that something in the record can be of: when the record was first written.

    The record's time is mostly its producer's, and as wrong as the event's own, so that it counts only as far as it is
    not ahead of the worker's clock. It stays the same at each attempt: what was refused is not accepted because it
    waited in a backlog or for a replay. The first failure's time is of the clock that accepted the record before it
    failed: it counts beside ours, so that a worker whose clock is behind refuses no retry.
    """
    return bounded_by(max(now, delivery.first_failed_at or now), delivery.written_at)
