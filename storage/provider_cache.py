"""Keeps the providers of connections open between events, and closes each when its last user is done."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition
from typing import Final

from schemas.errors import ErrorCode, ThumbnailError, TransientError
from storage.base import StorageProvider
from storage.breaker import BreakerPolicy, BreakerProvider, BreakerState, CircuitBreaker
from storage.connections import StorageConnection

_WAIT_S: Final = 30.0
"""The longest wait for one of the `max_open` providers: most events use theirs for less."""
_MAX_BREAKERS: Final = 4096


@dataclass(eq=False)
class _Entry:
    provider: StorageProvider
    fingerprint: str
    users: int = 0
    is_retired: bool = False
    is_closed: bool = False

    def close(self) -> None:
        """Close the provider, once. A provider that cannot even be closed must not take an event along."""
        if not self.is_closed:
            self.is_closed = True
            with suppress(ThumbnailError, OSError):
                self.provider.close()


@dataclass(frozen=True)
class ConnectionHealth:
    """One connection's breaker, for people: `provider` as its row names it."""

    connection_id: int
    provider: str
    state: BreakerState


@dataclass(frozen=True)
class Lease:
    """A provider that stays open until `release` is called, once."""

    provider: StorageProvider
    release: Callable[[], None] = field(repr=False)


class ProviderCache:
    """One provider and one breaker a connection and state of its row; at most `max_open` providers are open at once."""

    def __init__(
        self,
        build: Callable[[StorageConnection], StorageProvider],
        *,
        max_open: int = 64,
        breaker_policy: BreakerPolicy | None = None,
        on_breaker_open: Callable[[str], None] = lambda _provider: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`build` does not connect. `on_breaker_open` is called with the provider's name."""
        self._build: Final = build
        self._max_open: Final = max_open
        self._breaker_policy: Final = breaker_policy
        self._on_breaker_open: Final = on_breaker_open
        self._clock: Final = clock
        self._changed: Final = Condition()
        self._is_closed = False
        self._current: Final[OrderedDict[int, _Entry]] = OrderedDict()
        self._retired: Final[list[_Entry]] = []
        self._breakers: Final[OrderedDict[int, tuple[str, str, CircuitBreaker]]] = OrderedDict()

    def lease(self, connection: StorageConnection) -> Lease:
        """Return the connection's provider, behind its breaker. An edited row gets a new one; who has the old one keeps it.

        Blocks while `max_open` others are all in use. Raises ProviderConfigurationError, or TransientError
        storage.unavailable after half a minute of waiting.
        """
        doomed: list[_Entry] = []
        try:
            with self._changed:
                entry = self._find_or_build(connection, doomed)
                entry.users += 1
        finally:
            for old in doomed:
                old.close()
        return Lease(entry.provider, _once(lambda: self._release(entry)))

    def health(self) -> list[ConnectionHealth]:
        """Return the health of every connection that was used recently."""
        with self._changed:
            found = [(number, provider, breaker) for number, (_, provider, breaker) in self._breakers.items()]
        return [ConnectionHealth(number, provider, breaker.state) for number, provider, breaker in found]

    @property
    def open_count(self) -> int:
        """Return how many providers are open."""
        with self._changed:
            return len(self._current) + len(self._retired)

    def close(self) -> None:
        """Close every provider, used or not: the process ends."""
        with self._changed:
            self._is_closed = True
            entries = [*self._current.values(), *self._retired]
            self._current.clear()
            self._retired.clear()
        for entry in entries:
            entry.close()

    def _find_or_build(self, connection: StorageConnection, doomed: list[_Entry]) -> _Entry:
        if self._is_closed:
            raise TransientError(ErrorCode.STORAGE_UNAVAILABLE, "The process is about to end.")
        fingerprint = connection.fingerprint
        for _ in self._tries():
            entry = self._current.get(connection.id)
            if entry is not None and entry.fingerprint == fingerprint:
                self._current.move_to_end(connection.id)
                return entry
            if entry is not None:
                self._retire(connection.id, doomed)
            if self._make_room(doomed):
                provider = self._build(connection)
                entry = _Entry(BreakerProvider(provider, self._breaker_of(connection)), fingerprint)
                self._current[connection.id] = entry
                return entry
        raise TransientError(ErrorCode.STORAGE_UNAVAILABLE, "Too many storage connections are in use at once.")

    def _tries(self) -> Iterator[None]:
        """Once at once, and then each time that something was released, for a bounded time."""
        until = self._clock() + _WAIT_S
        yield
        while self._changed.wait(max(0.0, until - self._clock())):
            yield

    def _make_room(self, doomed: list[_Entry]) -> bool:
        if len(self._current) + len(self._retired) < self._max_open:
            return True
        idle = next((number for number, entry in self._current.items() if not entry.users), None)
        if idle is None:
            return False
        self._retire(idle, doomed)
        return True

    def _retire(self, connection_id: int, doomed: list[_Entry]) -> None:
        entry = self._current.pop(connection_id)
        entry.is_retired = True
        if entry.users:
            self._retired.append(entry)
        else:
            doomed.append(entry)

    def _release(self, entry: _Entry) -> None:
        with self._changed:
            entry.users -= 1
            is_last = entry.is_retired and not entry.users
            if is_last and entry in self._retired:
                self._retired.remove(entry)
            self._changed.notify_all()
        if is_last:
            entry.close()

    def _breaker_of(self, connection: StorageConnection) -> CircuitBreaker:
        """Return the breaker of the connection. An edited row gets a new one, because the edit may have fixed it."""
        found = self._breakers.pop(connection.id, None)
        if found is None or found[0] != connection.fingerprint:
            name, provider = f"Storage connection {connection.id}", connection.provider
            breaker = CircuitBreaker(
                name,
                self._breaker_policy,
                provider=provider,
                clock=self._clock,
                on_open=lambda: self._on_breaker_open(provider),
            )
            found = (connection.fingerprint, provider, breaker)
        self._breakers[connection.id] = found
        while len(self._breakers) > _MAX_BREAKERS:
            self._breakers.popitem(last=False)
        return found[2]


def _once(release: Callable[[], None]) -> Callable[[], None]:
    """Return `release` so that only its first call counts: a second one would close the provider under another user."""
    left = [release]

    def call() -> None:
        if left:
            left.pop()()

    return call
