"""Ends exchanges that trickle: a server that sends a byte now and then passes every timeout between two bytes."""

import socket
import threading
import time
from contextlib import suppress
from typing import Final
from weakref import WeakKeyDictionary

MAX_EXCHANGE_S: Final = 60.0
"""Of one request with its whole answer. Idle connections that are this old are ended too: they are made anew."""
_SCAN_S: Final = 1.0


class ExchangeWatch:
    """A thread, started with the first exchange, that shuts the sockets of those that last too long."""

    def __init__(self, max_s: float = MAX_EXCHANGE_S, scan_s: float = _SCAN_S) -> None:
        self._max_s: Final = max_s
        self._scan_s: Final = scan_s
        # Sockets and not their connections: a connection lets go of its socket when an answer is to be the last on it.
        self._started: Final[WeakKeyDictionary[socket.socket, float]] = WeakKeyDictionary()
        self._lock: Final = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, connected: socket.socket) -> None:
        """An exchange on a socket begins now; the next one on it begins the time anew."""
        with self._lock:
            self._started[connected] = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="exchange-watch", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        while True:
            time.sleep(self._scan_s)
            before = time.monotonic() - self._max_s
            with self._lock:
                late = [connected for connected, started in self._started.items() if started < before]
                for connected in late:
                    del self._started[connected]
            for connected in late:
                with suppress(OSError):  # it has ended by itself
                    # The plain socket's method: SSLSocket's own would take its state from under the reading thread.
                    socket.socket.shutdown(connected, socket.SHUT_RDWR)


WATCH: Final = ExchangeWatch()
"""One for the process: its thread costs a look a second."""
