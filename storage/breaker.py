"""A circuit breaker for one storage connection, and a provider behind it: failures open it, one probe closes it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Final

from schemas.errors import ErrorCode, ThumbnailError, TransientError
from storage.base import ListedObject, SourceReader, StorageProvider, StoredObject

_FAILURES: Final = frozenset({ErrorCode.STORAGE_UNAVAILABLE, ErrorCode.STORAGE_RATE_LIMITED})
"""Errors that count against the whole connection; any other error proves that the store answers."""

LISTED_AT_ONCE: Final = 1000
"""Objects of one call of the store: a page of S3."""


class BreakerState(StrEnum):
    """Closed lets calls pass, open refuses them, half-open lets one pass as a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class ConnectionPausedError(TransientError):
    """The circuit breaker is open: the event waits in a retry topic and uses up no attempt."""

    def __init__(self, name: str, retry_after_s: float, provider: str = "unknown") -> None:
        self.provider: Final = provider
        message = f"{name} failed repeatedly and is paused."
        super().__init__(ErrorCode.STORAGE_PAUSED, message, retry_after_s=retry_after_s)


@dataclass(frozen=True)
class BreakerPolicy:
    """Failures in a row that open the breaker, how long it stays open, and when an unanswered call counts as a failure."""

    failures: int = 5
    open_s: float = 30.0
    slow_s: float = 5.0


class CircuitBreaker:
    """Put `with breaker.call():` around each call of the store. Safe in several threads."""

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy | None = None,
        *,
        provider: str = "unknown",
        clock: Callable[[], float] = time.monotonic,
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        """`name` begins the sentence that a refused caller gets; its error also has the `provider`, as the row names it."""
        self._provider: Final = provider
        self._name: Final = name
        self._policy: Final = policy or BreakerPolicy()
        self._clock: Final = clock
        self._on_open: Final = on_open
        self._lock: Final = Lock()
        self._begun: Final[dict[object, tuple[float, int]]] = {}
        self._era = 0
        self._failures = 0
        self._open_until: float | None = None
        self._probe: object | None = None

    @property
    def state(self) -> BreakerState:
        """Return the present state."""
        with self._lock:
            if self._open_until is None:
                return BreakerState.CLOSED
            is_over = self._probe is not None or self._clock() >= self._open_until
            return BreakerState.HALF_OPEN if is_over else BreakerState.OPEN

    @contextmanager
    def call(self) -> Iterator[None]:
        """Call the store. Raises ConnectionPausedError instead of calling it, or instead of its failure.

        The latter when the breaker is open by then: an event that has found out about an outage is not worse off than
        one that waits for its end.
        """
        token = self._admit()
        try:
            yield
        except ThumbnailError as error:
            if error.code not in _FAILURES:
                self._succeeded(token)
                raise
            paused = self._failed(token, error)
            if paused is None:
                raise
            raise paused from error
        except BaseException:
            self._left(token)
            raise
        else:
            self._succeeded(token)

    def _admit(self) -> object:
        with self._lock:
            now, token = self._clock(), object()
            if self._open_until is None:
                slow_s, era = self._policy.slow_s, self._era
                unanswered = sum(now - begun > slow_s and of == era for begun, of in self._begun.values())
                if unanswered and self._failures + unanswered >= self._policy.failures:
                    self._open(now, 0.0)
                    raise self._paused(now)
            elif self._probe is not None or now < self._open_until:
                raise self._paused(now)
            else:
                self._probe = token
            self._begun[token] = now, self._era
            return token

    def _failed(self, token: object, error: ThumbnailError) -> ConnectionPausedError | None:
        asked_s = (error.retry_after_s or 0.0) if isinstance(error, TransientError) else 0.0
        with self._lock:
            now = self._clock()
            _, era = self._begun.pop(token)
            if self._open_until is None:
                # A call that began before the last probe closed the breaker reports an outage that is over.
                self._failures += era == self._era
                if self._failures >= self._policy.failures:
                    self._open(now, asked_s)
            elif self._probe is token:
                self._probe = None
                self._open(now, asked_s)
            else:
                self._open_until = max(self._open_until, now + asked_s)
            return None if self._open_until is None else self._paused(now)

    def _succeeded(self, token: object) -> None:
        with self._lock:
            del self._begun[token]
            if self._probe is token:
                self._probe = self._open_until = None
                self._era += 1
            if self._open_until is None:
                self._failures = 0

    def _left(self, token: object) -> None:
        """End a call that says nothing about the store; the next call may be the probe."""
        with self._lock:
            del self._begun[token]
            if self._probe is token:
                self._probe = None

    def _open(self, now: float, asked_s: float) -> None:
        self._open_until = now + max(self._policy.open_s, asked_s)
        self._on_open()

    def _paused(self, now: float) -> ConnectionPausedError:
        left_s = (self._open_until or now) - now
        # Nobody knows how long a probe takes that is under way.
        return ConnectionPausedError(self._name, left_s if left_s > 0 else self._policy.open_s, self._provider)


class BreakerProvider(StorageProvider):
    """A provider whose methods raise ConnectionPausedError at once while the breaker is open."""

    def __init__(self, provider: StorageProvider, breaker: CircuitBreaker) -> None:
        self._provider: Final = provider
        self._breaker: Final = breaker

    @property
    def name(self) -> str:
        """Return the provider's name."""
        return self._provider.name

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        """See the contract."""
        with self._breaker.call():
            return self._provider.upload_file(key, content, content_type=content_type)

    def download_file(self, key: str, path: Path) -> None:
        """See the contract."""
        with self._breaker.call():
            self._provider.download_file(key, path)

    def open_source(self, key: str) -> SourceReader:
        """See the contract. Its reads are behind the breaker, too."""
        with self._breaker.call():
            return _BreakerReader(self._provider.open_source(key), self._breaker)

    def file_exists(self, key: str) -> bool:
        """See the contract."""
        with self._breaker.call():
            return self._provider.file_exists(key)

    def delete_file(self, key: str) -> None:
        """See the contract."""
        with self._breaker.call():
            self._provider.delete_file(key)

    def list_files(self, prefix: str) -> Iterator[str]:
        """See the contract. Read all keys at once: the caller's time between two keys is not the store's."""
        with self._breaker.call():
            found = list(self._provider.list_files(prefix))
        return iter(found)

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        """See the contract. Read some objects at a time: the caller's time between two objects is not the store's."""
        found = self._provider.list_objects(prefix, after=after)
        while True:
            with self._breaker.call():
                some = list(islice(found, LISTED_AT_ONCE))
            yield from some
            if len(some) < LISTED_AT_ONCE:
                return

    def get_file_url(self, key: str) -> str:
        """See the contract."""
        with self._breaker.call():
            return self._provider.get_file_url(key)

    def remarks(self) -> tuple[str, ...]:
        """See the contract."""
        return self._provider.remarks()

    def close(self) -> None:
        """Close the provider."""
        self._provider.close()


class _BreakerReader(SourceReader):
    def __init__(self, reader: SourceReader, breaker: CircuitBreaker) -> None:
        self._reader: Final = reader
        self._breaker: Final = breaker

    @property
    def size(self) -> int:
        return self._reader.size

    @property
    def version(self) -> str:
        return self._reader.version

    def read_at(self, offset: int, length: int) -> bytes:
        with self._breaker.call():
            return self._reader.read_at(offset, length)

    def close(self) -> None:
        self._reader.close()
