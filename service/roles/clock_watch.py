"""Ends a role whose system clock was set back: librdkafka would stand still for as long.

librdkafka waits for moments of the system's clock (https://github.com/confluentinc/librdkafka/issues/2145, open; seen with 2.16):
when that is set back by an hour, each wait that has begun lasts an hour longer. The role then reads nothing, sends no
heartbeat and loses its partitions. A new process waits rightly. Delete this when librdkafka waits by a monotonic clock.
"""

import time
from collections.abc import Callable
from typing import Final

from service.periodic import Periodic
from streams.stopping import end_at_once

CHECK_EVERY_S: Final = 1.0
TOLERATED_S: Final = 5.0
"""A wait that is longer by so much harms nothing. A clock that is slewed or gets a leap second is set back by less."""


class ClockWatch:
    """Compares the system's clock with the monotonic one, in a thread: the role's own may be waiting in librdkafka."""

    def __init__(
        self,
        end: Callable[[str], object] = end_at_once,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`end` ends the process for the reason that it is given; both clocks are in seconds."""
        self._end: Final = end
        self._wall: Final = wall
        self._monotonic: Final = monotonic
        self._seen = wall(), monotonic()
        self._thread: Final = Periodic("clock-watch", self.check, CHECK_EVERY_S)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Check no more."""
        self._thread.stop()

    def check(self) -> None:
        """End the process when the clock was set back since the last check."""
        seen, seen_s = self._seen
        due = seen + self._monotonic() - seen_s
        now = self._wall()
        # In this order: a process that stands between two readings must not take that for a clock that was set back.
        back_s, self._seen = due - now, (now, self._monotonic())
        if back_s > TOLERATED_S:
            self._end(f"the system's clock was set back by {back_s:.0f} s, and librdkafka would wait for as long")
