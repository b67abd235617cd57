"""How fast a backfill sends: at a bounded rate, and only while little waits for the workers, so that live uploads go first."""

import math
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from streams.kafka.lag import GroupLag
from streams.kafka.ports import TopicPartition

MAX_BATCH: Final = 200
POLL_S: Final = 0.5
"""Between two looks at what waits: workers commit once a second."""


@dataclass(frozen=True)
class Pace:
    """At most `per_s` events a second, `most` at once, and none while `max_waiting` records or more wait for the workers."""

    per_s: float
    max_waiting: int
    most: int = MAX_BATCH

    @property
    def batch(self) -> int:
        """Return how many are sent at once: about a second's worth."""
        return max(1, min(self.most, self.max_waiting, math.ceil(self.per_s)))


class SendGate:
    """Says how many events may be sent now, and waits until some may. One thread; `stop` is set by any."""

    def __init__(
        self,
        pace: Pace,
        waiting: Callable[[], int],
        stop: threading.Event,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`waiting` returns how many records wait for the workers at this moment."""
        self._pace: Final = pace
        self._waiting: Final = waiting
        self._stop: Final = stop
        self._clock: Final = clock
        self._free_at = clock()

    def room(self) -> int:
        """Return how many events may be sent now, at least one; 0 when it is to stop. Raises what `waiting` raises."""
        self._stop.wait(max(0.0, self._free_at - self._clock()))
        while not self._stop.is_set():
            waiting = self._waiting()
            if waiting < self._pace.max_waiting:
                return min(self._pace.batch, self._pace.max_waiting - waiting)
            self._stop.wait(POLL_S)
        return 0

    def sent(self, count: int) -> None:
        """Note that `count` events were sent: they use up their part of the rate."""
        self._free_at = max(self._free_at, self._clock()) + count / self._pace.per_s


def records_waiting(lag: GroupLag, partitions: Collection[TopicPartition]) -> int:
    """Return how many records of `partitions` the group has not done. Raises TopicReadError."""
    return sum(found.records for found in lag.read(partitions).values())
