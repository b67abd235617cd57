"""Looks at something again and again, in a thread of its own, so that a scrape waits for nothing."""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)


class Observation:
    """Calls `look` every `every_s` seconds; what it raises makes the thing that it looks at count as down.

    A look that does not come back counts as down, too, after `patience_s`. Changes are logged, once each.
    """

    def __init__(
        self,
        name: str,
        look: Callable[[], object],
        *,
        every_s: float,
        patience_s: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name: Final = name
        self._look: Final = look
        self._every_s: Final = every_s
        self._patience_s: Final = patience_s
        self._clock: Final = clock
        self._good_until = clock() + every_s + patience_s  # the role has proven its dependencies at its start
        self._was_good = True
        self._ended: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name=f"observe-{name}", daemon=True)

    def start(self) -> None:
        """Begin to look, at once."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more. A look under way is not waited for: it may hang with what it looks at."""
        self._ended.set()

    @property
    def is_up(self) -> bool:
        """Whether the last look succeeded, and the next one is not overdue."""
        return self._clock() < self._good_until

    def look_once(self) -> None:
        """Look now."""
        try:
            self._look()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is told, and the metric says that it is down
            self._good_until = self._clock()
            if self._was_good:
                log.warning("dependency_lost", dependency=self.name, reason=f"{type(exc).__name__}: {exc}"[:300])
            self._was_good = False
        else:
            self._good_until = self._clock() + self._every_s + self._patience_s
            if not self._was_good:
                log.info("dependency_back", dependency=self.name)
            self._was_good = True

    def _run(self) -> None:
        while not self._ended.is_set():
            self.look_once()
            self._ended.wait(self._every_s)
