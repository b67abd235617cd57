"""A door before a TCP server that lets so many bytes pass and then holds everything: the moment to kill a client."""

import socket
import threading
from types import TracebackType
from typing import Final, Self


class Gate:
    """Passes `upstream_bytes` of what clients send; with None all of it, but not the server's answer to it."""

    def __init__(self, port: int, *, upstream_bytes: int | None) -> None:
        self.held: Final = threading.Event()
        """Set when there is something that is not let through."""
        self._target: Final = port
        self._left = upstream_bytes
        self._holds_answers: Final = upstream_bytes is None
        self._sockets: Final[list[socket.socket]] = []
        self._listener: Final = socket.create_server(("127.0.0.1", 0))
        self.url: Final = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for opened in [self._listener, *self._sockets]:
            opened.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._sockets.extend((client, server))
            threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                passed = data if self._left is None else data[: self._left]
                server.sendall(passed)
                if self._left is not None:
                    self._left -= len(passed)
                    if not self._left:
                        self.held.set()
            server.close()  # the client is gone, and so is its half request
        except OSError:
            return

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(65536):
                if self._holds_answers and not data.startswith(b"HTTP/1.1 100"):
                    self.held.set()
                else:
                    client.sendall(data)
        except OSError:
            return
