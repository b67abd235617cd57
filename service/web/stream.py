"""The response of /events: a snapshot or what was missed, then every change, and a beat when nothing happens."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from service.web.feed import Visitor, event_bytes

BEAT_S: Final = 10.0
SEND_TIMEOUT_S: Final = 20.0
LAST_WORDS_S: Final = 1.0
RETRY_MS: Final = 1000
"""When a browser comes again after its stream broke."""


class EventStream:
    """An ASGI response. It ends when the visitor leaves, is let go, or takes nothing for SEND_TIMEOUT_S."""

    def __init__(self, visitor: Visitor, first: bytes, on_end: Callable[[], None], beat_s: float = BEAT_S) -> None:
        self._visitor: Final = visitor
        self._first: Final = first
        self._on_end: Final = on_end
        self._beat_s: Final = beat_s

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI call."""
        ways_to_end: list[Awaitable[None]] = [self._pump(send), _disconnected(receive), self._stuck()]
        tasks = [asyncio.ensure_future(way) for way in ways_to_end]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._on_end()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _stuck(self) -> None:
        """Return when the visitor was let go, and what is being sent to it does not get through."""
        await self._visitor.dropped()
        await asyncio.sleep(LAST_WORDS_S)

    async def _pump(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _send_in_time(send, f"retry: {RETRY_MS}\n\n".encode() + self._first)
        while not self._visitor.is_dropped:
            change = await self._visitor.next(self._beat_s)
            if change is not None:
                await _send_in_time(send, change.wire)
            elif not self._visitor.is_dropped:
                await _send_in_time(send, event_bytes("beat", None))
        await _send_in_time(send, b"", more=False)


async def _send_in_time(send: Send, body: bytes, *, more: bool = True) -> None:
    message: dict[str, Any] = {"type": "http.response.body", "body": body, "more_body": more}
    async with asyncio.timeout(SEND_TIMEOUT_S):
        await send(message)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
