"""How fast a reconciliation looks closely and repairs, so that storages, database and workers keep their room."""

import threading
import time
from collections.abc import Callable
from typing import Final


class StoppedError(Exception):
    """The run was asked to stop: what was begun is done, and it can go on later."""


class LookPace:
    """Lets at most `per_s` media pass in a second. One thread; `stop` is set by any."""

    def __init__(self, per_s: float, stop: threading.Event, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s: Final = per_s
        self._stop: Final = stop
        self._clock: Final = clock
        self._free_at = clock()

    def wait(self) -> None:
        """Return when the next media may be looked at. Raises StoppedError."""
        if self._stop.wait(max(0.0, self._free_at - self._clock())):
            raise StoppedError
        self._free_at = max(self._free_at, self._clock()) + 1 / self._per_s
