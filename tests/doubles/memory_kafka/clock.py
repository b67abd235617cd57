"""Time that passes only while somebody waits: no test sleeps, and each wait has an exact end."""

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

from tests.doubles.pipeline import NOW


class VirtualClock:
    """Moves when a client of the in-memory broker waits; actions that become due on the way happen then."""

    def __init__(self, start: datetime = NOW) -> None:
        self._start = start
        self._us = 0
        self._numbers = count()
        self._actions: list[tuple[int, int, Callable[[], None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(microseconds=self._us)

    def now_ms(self) -> int:
        return int(self.now().timestamp() * 1000)

    def monotonic(self) -> float:
        return self._us / 1e6

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do `action` once, in so many seconds from now."""
        heapq.heappush(self._actions, (self._us + _microseconds(seconds), next(self._numbers), action))

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass; end early when an action on the way has made `until` true."""
        deadline = self._us + _microseconds(seconds)
        while not until() and self._us < deadline:
            if self._actions and self._actions[0][0] <= deadline:
                due, _, action = heapq.heappop(self._actions)
                self._us = max(self._us, due)
                action()
            else:
                self._us = deadline


def _microseconds(seconds: float) -> int:
    # At least one: a loop that waits for what is left of its time, in floating point, must come to an end.
    return max(1, round(seconds * 1e6)) if seconds > 0 else 0
