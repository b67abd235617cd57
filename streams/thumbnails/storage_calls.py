"""Calls to tenants' storages: they block, so they run in threads; and most failures pass, so they are retried at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, TypeVar

from processors.types import Source
from schemas.errors import STAND_IN, ErrorCode, ObjectNotFoundError, TransientError
from schemas.metrics import Metrics
from storage.base import SourceReader
from storage.tenants import Tenants, TenantStorage

_PASSES_SOON: Final = frozenset(
    {
        ErrorCode.STORAGE_UNAVAILABLE,
        ErrorCode.STORAGE_LOCKED,
        ErrorCode.STORAGE_RATE_LIMITED,
        ErrorCode.UPLOAD_UNVERIFIED,
    }
)

T = TypeVar("T")


@dataclass(frozen=True)
class InlineRetry:
    """Try again after each of `delays_s` (seconds), and only for failures that pass within a second as a rule.

    It comes before any retry topic. A try that took longer than `max_try_s` is the last one: a timeout is an outage,
    and other uploads need the thread.
    """

    delays_s: tuple[float, ...] = (0.1, 0.4)
    sleep: Callable[[float], None] = time.sleep
    max_try_s: float = 1.0
    clock: Callable[[], float] = time.monotonic

    def call(self, action: Callable[[], T]) -> T:
        """Return the action's result; block the calling thread between tries. The last error is raised as it came."""
        for delay_s in self.delays_s:
            started = self.clock()
            try:
                return action()
            except TransientError as error:
                asked_s = error.retry_after_s or 0.0
                took_s = self.clock() - started
                if error.code not in _PASSES_SOON or asked_s > delay_s or took_s > self.max_try_s:
                    raise
                self.sleep(delay_s)
        return action()


@dataclass(frozen=True)
class StorageCalls:
    """The tenants' storages, and how they are called: in which threads, how often, and counted where."""

    tenants: Tenants
    executor: Executor
    metrics: Metrics
    retry: InlineRetry = InlineRetry()

    def in_thread(self, call: Callable[[], T]) -> Awaitable[T]:
        """Run the call in a thread: the event loop must go on for the heartbeats and for the other events."""
        return asyncio.get_running_loop().run_in_executor(self.executor, call)


def open_source(tenant: TenantStorage, key: str) -> SourceReader:
    """Open the object. Raises as the storage does, but TransientError where a fallback does not have it."""
    try:
        return tenant.open_source(key)
    except ObjectNotFoundError as error:
        if not tenant.is_substitute:
            raise
        # Missing in the fallback proves nothing: the object may be in the tenant's own storage.
        raise TransientError(
            ErrorCode.SOURCE_MISSING,
            f"{STAND_IN} ({tenant.fallback_reason}), and has no {key!r}.",
        ) from error


class RetryingSource:
    """A source whose failed reads are retried at once before they fail the event. It counts what it reads."""

    def __init__(self, source: Source, retry: InlineRetry) -> None:
        self._source: Final = source
        self._retry: Final = retry
        self.reads = 0
        self.bytes_read = 0
        self.busy_s = 0.0
        self.last_read_s: float | None = None
        """When the last read ended, in seconds of time.perf_counter()."""

    @property
    def size(self) -> int:
        """Return the length in bytes."""
        return self._source.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return what the source returns."""
        began_s = time.perf_counter()
        try:
            data = self._retry.call(lambda: self._source.read_at(offset, length))
            self.bytes_read += len(data)
            return data
        finally:
            self.reads += 1
            self.last_read_s = time.perf_counter()
            self.busy_s += self.last_read_s - began_s
