"""One thread that does one thing every few seconds, until it is stopped."""

import threading
from collections.abc import Callable
from typing import Final


class Periodic:
    """Calls `act`, which must not raise, every `every_s` seconds in a daemon thread, from start() to stop()."""

    def __init__(self, name: str, act: Callable[[], object], every_s: float, *, at_once: bool = False) -> None:
        """Act for the first time `at_once`, or after `every_s` seconds."""
        self._act: Final = act
        self._every_s: Final = every_s
        self._at_once: Final = at_once
        self._stopping: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_stopping(self) -> bool:
        """Return whether stop() was called: an `act` that takes long asks."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, *, wait: bool = True) -> None:
        """Act no more. Unless `wait`, an `act` that hangs with a broker or a database is left behind.

        `act` may call this itself.
        """
        self._stopping.set()
        if wait and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        if self._at_once:
            self._act()
        while not self._stopping.wait(self._every_s):
            self._act()
