"""Ends exchanges that trickle: a server that sends a byte now and then passes every timeout between two bytes."""

import socket
import threading
import time
from contextlib import suppress
from typing import Final
from weakref import WeakKeyDictionary

from urllib3.connection import HTTPConnection

MAX_EXCHANGE_S: Final = 60.0
"""Of one request with its whole answer. Idle connections that are this old are ended too: they are made anew."""
_SCAN_S: Final = 1.0


class ExchangeWatch:
    """A thread, started with the first exchange, that shuts the sockets of those that last too long."""

    def __init__(self, max_s: float = MAX_EXCHANGE_S, scan_s: float = _SCAN_S) -> None:
        self._max_s: Final = max_s
        self._scan_s: Final = scan_s
        self._started: Final[WeakKeyDictionary[HTTPConnection, float]] = WeakKeyDictionary()
        self._lock: Final = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, connection: HTTPConnection) -> None:
        """An exchange on `connection` begins now; its next one begins the time anew."""
        with self._lock:
            self._started[connection] = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="exchange-watch", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        while True:
            time.sleep(self._scan_s)
            before = time.monotonic() - self._max_s
            with self._lock:
                late = [connection for connection, started in self._started.items() if started < before]
                for connection in late:
                    del self._started[connection]
            for connection in late:
                _shut(connection)


def _shut(connection: HTTPConnection) -> None:
    found = connection.sock
    if isinstance(found, socket.socket):
        with suppress(OSError):  # it has ended by itself
            # The plain socket's method: SSLSocket's own would take its state from under the reading thread.
            socket.socket.shutdown(found, socket.SHUT_RDWR)


WATCH: Final = ExchangeWatch()
"""One for the process: its thread costs a look a second."""
