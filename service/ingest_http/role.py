"""Serves the port of `thumbnails ingest http`, and takes the broker's acknowledgements, until it is stopped."""

import socket
import threading
import time
from typing import Final

from service.bounded_http import BoundedServer, bounded_config
from service.ingest_http.app import IngestApp
from streams.kafka.acknowledged import SingleSender

MAX_CONNECTIONS: Final = 512
POLL_S: Final = 0.1
FINISH_S: Final = 16
"""For requests that are being answered: a little more than they wait for the broker."""


class IngestHttpRole:
    """`cluster` is where events go; its `problem` is why none is acknowledged, while that is so."""

    def __init__(self, app: IngestApp, sender: SingleSender, listener: socket.socket) -> None:
        self.cluster: Final = sender
        self.last_progress_at = time.monotonic()
        self._listener: Final = listener
        self._stopping = False
        config = bounded_config(app, MAX_CONNECTIONS, timeout_graceful_shutdown=FINISH_S)
        self._server: Final = BoundedServer(config)
        self._thread: Final = threading.Thread(
            target=self._server.run, args=([listener],), name="ingest-http", daemon=True
        )

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self._listener.getsockname()[1])

    def stop(self) -> None:
        """Ask run() to end when the requests that have come are answered; safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Work until stop()."""
        self._thread.start()
        try:
            while not self._stopping and self._thread.is_alive():
                self._poll()
        finally:
            self._server.should_exit = True
            while self._thread.is_alive():
                self._poll()
            self._listener.close()
        if not self._stopping:
            raise RuntimeError("The HTTP server has ended by itself.")

    def _poll(self) -> None:
        self.cluster.poll(POLL_S)
        self.last_progress_at = time.monotonic()
