"""Hands every change to every visitor, in bounded memory: a visitor who does not keep up is let go, and may come again."""

import asyncio
import json
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

KEPT_BYTES: Final = 2 * 1024**2
MAX_WAITING: Final = 64
MAX_VISITORS: Final = 100


class FeedFullError(Exception):
    """There are as many visitors as are served at once."""


@dataclass(frozen=True)
class Change:
    """One server-sent event, ready for the wire."""

    number: int
    wire: bytes


class Visitor:
    """One stream: what waits for it, and whether it was let go. Made by Feed.join()."""

    def __init__(self, behind: list[Change]) -> None:
        self.is_dropped = False
        self._waiting: Final = deque(behind)
        self._woken: Final = asyncio.Event()
        self._gone: Final = asyncio.Event()
        if behind:
            self._woken.set()

    def offer(self, change: Change) -> bool:
        """False when too much waits already: the visitor is let go then."""
        if len(self._waiting) >= MAX_WAITING:
            self.drop()
            return False
        self._waiting.append(change)
        self._woken.set()
        return True

    def drop(self) -> None:
        """End the stream; what waits is forgotten, for the visitor will ask for it when it comes again."""
        self.is_dropped = True
        self._waiting.clear()
        self._woken.set()
        self._gone.set()

    async def next(self, timeout_s: float) -> Change | None:
        """Return the next change; None after `timeout_s` without any, or when the visitor was let go."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._woken.wait()
        except TimeoutError:
            return None
        change = self._waiting.popleft() if self._waiting else None
        if not self._waiting and not self.is_dropped:
            self._woken.clear()
        return change

    async def dropped(self) -> None:
        """Return once the visitor was let go."""
        await self._gone.wait()


class Feed:
    """Changes in their order. For one thread alone, that of the event loop.

    An id is EPOCH-NUMBER; the epoch is this process, so that ids of an earlier one are not taken for ours.
    """

    def __init__(self) -> None:
        self._epoch: Final = secrets.token_hex(4)
        self._number = 0
        self._kept: deque[Change] = deque()
        self._kept_bytes = 0
        self._visitors: Final[set[Visitor]] = set()

    @property
    def visitor_count(self) -> int:
        """Return how many streams there are."""
        return len(self._visitors)

    @property
    def last_id(self) -> str:
        """Return the id of the newest change."""
        return f"{self._epoch}-{self._number}"

    def publish(self, name: str, data: Any) -> None:
        """Give a change to every visitor, and keep it a while for those who come again."""
        self._number += 1
        change = Change(self._number, event_bytes(name, data, self.last_id))
        self._kept.append(change)
        self._kept_bytes += len(change.wire)
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.popleft().wire)
        for visitor in [visitor for visitor in self._visitors if not visitor.offer(change)]:
            self._visitors.discard(visitor)

    def join(self, last_id: str | None) -> tuple[Visitor, bool]:
        """Return a new stream, and whether it goes on right after `last_id`; else it must begin with a snapshot.

        Raises FeedFullError.
        """
        if len(self._visitors) >= MAX_VISITORS:
            raise FeedFullError
        behind = self._since(last_id)
        visitor = Visitor(behind or [])
        self._visitors.add(visitor)
        return visitor, behind is not None

    def leave(self, visitor: Visitor) -> None:
        """Remove a stream that has ended."""
        visitor.drop()
        self._visitors.discard(visitor)

    def close(self) -> None:
        """End every stream."""
        for visitor in self._visitors:
            visitor.drop()
        self._visitors.clear()

    def _since(self, last_id: str | None) -> list[Change] | None:
        """Return what came after `last_id`; None when that is not known any more, or is too much to catch up with."""
        epoch, _, number = (last_id or "").partition("-")
        if epoch != self._epoch or not number.isascii() or not number.isdigit() or len(number) > 18:
            return None
        seen = int(number)
        oldest = self._kept[0].number if self._kept else self._number + 1
        if not oldest - 1 <= seen <= self._number or self._number - seen > MAX_WAITING:
            return None
        return [change for change in self._kept if change.number > seen]


def event_bytes(name: str, data: Any, event_id: str | None = None) -> bytes:
    """Return a server-sent event; JSON has no line breaks, so that its data is one line."""
    head = f"id: {event_id}\n" if event_id else ""
    body = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return f"{head}event: {name}\ndata: {body}\n\n".encode()
