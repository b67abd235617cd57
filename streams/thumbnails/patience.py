"""In-process retries of I/O, short enough that the event keeps its place: they come before any retry topic."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from schemas.errors import ErrorCode, TransientError

_WORTH_A_MOMENT: Final = frozenset(
    {
        ErrorCode.STORAGE_UNAVAILABLE,
        ErrorCode.STORAGE_LOCKED,
        ErrorCode.STORAGE_RATE_LIMITED,
        ErrorCode.UPLOAD_UNVERIFIED,
    }
)

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """Try again after each of `delays_s` (seconds), and only for failures that pass within a second as a rule.

    A try that took longer than `max_try_s` is the last one: a timeout is an outage, and others wait for the place.
    """

    delays_s: tuple[float, ...] = (0.1, 0.4)
    sleep: Callable[[float], None] = time.sleep
    max_try_s: float = 1.0
    clock: Callable[[], float] = time.monotonic

    def call(self, action: Callable[[], T]) -> T:
        """The action's result; blocks the calling thread between tries. The last error is raised as it came."""
        for delay_s in self.delays_s:
            started = self.clock()
            try:
                return action()
            except TransientError as error:
                asked_s = error.retry_after_s or 0.0
                took_s = self.clock() - started
                if error.code not in _WORTH_A_MOMENT or asked_s > delay_s or took_s > self.max_try_s:
                    raise
                self.sleep(delay_s)
        return action()
