"""Bounds of every port that answers HTTP: what a visitor costs that sends no whole request, or takes no answer.

uvicorn bounds only the idle time after an answer. Without more, a thousand connections with half a request each would hold
the descriptors that the process needs for Kafka and storage, for as long as they like.
"""

import asyncio
import socket
from typing import Any, Final, Literal

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S: Final = 10.0
"""For a whole request, from the first moment of the connection or of the answer before."""
UNTAKEN_S: Final = 60.0
"""For taking some of an answer that waits to be sent."""
ACCEPTED_AT_ONCE: Final = 8
"""As `backlog` of uvicorn's Config: so many connections are taken before those that are there are read. A new one is read
two rounds later: with more, a crowd would push out a probe before its request is seen."""
_QUEUED: Final = 1024
"""Connections that wait in the kernel until they are taken; it asks a visitor beyond them to come again after a second."""
_Awaits = Literal["request", "taking"] | None
_UNREAD: Final = (h11.IDLE, h11.SEND_BODY)


class BoundedServer(uvicorn.Server):
    """Takes ACCEPTED_AT_ONCE connections at once, and lets the others wait in the kernel's queue."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Extend uvicorn's: asyncio makes the queue as short as what it takes at once."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_QUEUED)


def bounded_config(app: Any, max_connections: int, **own: Any) -> uvicorn.Config:
    """Return the configuration for a BoundedServer: `max_connections` as in bounded(), `own` as uvicorn's Config takes it."""
    return uvicorn.Config(
        app,
        **{
            "log_config": None,
            "log_level": "error",  # nothing of requests: probes come every few seconds
            "access_log": False,
            "server_header": False,
            "ws": "none",
            "http": bounded(max_connections),
            "lifespan": "off",
            "loop": "asyncio",
            "backlog": ACCEPTED_AT_ONCE,
        }
        | own,
    )


def bounded(
    max_connections: int, *, request_s: float = REQUEST_S, untaken_s: float = UNTAKEN_S
) -> type[asyncio.Protocol]:
    """Return a protocol for `http` of uvicorn's Config, for one port; with times in seconds.

    Where there would be more than `max_connections`, the one ends that has waited longest with no whole request; a new
    one, where all others are being answered.
    """
    unread: dict[_Bounded, None] = {}

    class Bounded(_Bounded):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.bound(unread, max_connections, request_s, untaken_s)

    return Bounded


class _Bounded(H11Protocol):
    """One connection; `unread` has those of its port that have sent no whole request, the oldest first."""

    def bound(self, unread: "dict[_Bounded, None]", max_connections: int, request_s: float, untaken_s: float) -> None:
        self._unread, self._max_connections = unread, max_connections
        self._request_s, self._untaken_s = request_s, untaken_s
        self._awaits: _Awaits = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Extend uvicorn's: makes room where there is none."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            longest = next(iter(self._unread), self)
            self._unread.pop(longest, None)
            self.connections.discard(longest)  # it is one less from now on, and not only when the loop comes to it
            longest.transport.abort()
        self._look()

    def data_received(self, data: bytes) -> None:
        """Extend uvicorn's: a whole request has come, or not yet."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Extend uvicorn's: the next request may come."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """Extend uvicorn's: the visitor has to take something."""
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        """Extend uvicorn's: the visitor has taken something."""
        super().resume_writing()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Extend uvicorn's: nothing of the connection stays."""
        self._unread.pop(self, None)
        self._set_timer(None)
        super().connection_lost(exc)

    def _look(self) -> None:
        """Bound the wait of a connection by one timer: for an answer that is not read, or a request that does not come."""
        if self.flow.write_paused:
            awaits: _Awaits = "taking"
        elif self.conn.their_state in _UNREAD and not self.transport.is_closing():
            awaits = "request"
        else:
            awaits = None
        if awaits != self._awaits:
            self._set_timer(awaits)
        if awaits != "request":
            self._unread.pop(self, None)
        elif self not in self._unread:
            self._unread[self] = None

    def _set_timer(self, awaits: _Awaits) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._awaits, self._timer = awaits, None
        if awaits == "request":
            self._timer = self.loop.call_later(self._request_s, self.transport.abort)
        elif awaits == "taking":
            untaken = self.transport.get_write_buffer_size()
            self._timer = self.loop.call_later(self._untaken_s, self._check_taking, untaken)

    def _check_taking(self, untaken: int) -> None:
        if self.transport.get_write_buffer_size() < untaken:
            self._set_timer("taking")
        else:
            self.transport.abort()
