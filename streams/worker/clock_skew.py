"""Refuses times that lie in the future: the newest upload of a media wins, so one of them would keep out all later ones."""

from dataclasses import dataclass
from datetime import datetime
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


def latest_moment(delivery: Delivery, now: datetime) -> datetime:
    """Return the latest moment that something in the record can be of: when the record was first written.

    The record's time is mostly its producer's, and as wrong as the event's own, so that it counts only as far as it is
    not ahead of the worker's clock. It stays the same at each attempt: what was refused is not accepted because it
    waited in a backlog or for a replay. The first failure's time is of the clock that accepted the record before it
    failed: it counts beside ours, so that a worker whose clock is behind refuses no retry.
    """
    return bounded_by(max(now, delivery.first_failed_at or now), delivery.written_at)
