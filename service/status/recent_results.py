"""Recent results by tenant and by provider, counted from the records of thumbnail.ready and .failed."""

import json
from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from service.kafka.clients import consumers_of
from service.settings import Settings
from streams.kafka.reader import Extent, TopicReadError
from streams.kafka.topic_reader import TopicReader

MAX_PER_PARTITION: Final = 2000
"""So that a look takes about a second: when more came, the newest are counted and the window is shorter."""


NEWEST: Final = 50
"""Of each partition, where only the companies matter."""
NO_CONNECTION: Final = "no_connection"
"""The reason of a company that never had a storage of its own: nothing is wrong with it."""


@dataclass(frozen=True)
class Result:
    """One record of a result; `provider` is None for a failed upload, `error_code` for a ready one.

    `fallback` is why the thumbnails are not in the company's own storage; None where they are, or where it has none.
    """

    at: datetime
    company_id: int
    provider: str | None
    fallback: str | None = None
    error_code: str | None = None


@dataclass(frozen=True)
class Recent:
    """The results of the last `window_s` seconds."""

    results: tuple[Result, ...]
    window_s: float

    @property
    def ready(self) -> int:
        """Return how many uploads got thumbnails."""
        return sum(result.error_code is None for result in self.results)

    @property
    def failed(self) -> int:
        """Return how many were given up."""
        return len(self.results) - self.ready

    @property
    def tenants(self) -> list[dict[str, int]]:
        """Return the results by company, the busiest first."""
        counts = Counter((result.company_id, result.error_code is None) for result in self.results)
        companies = {company for company, _ in counts}
        rows = [
            {"company_id": company, "ready": counts[company, True], "failed": counts[company, False]}
            for company in companies
        ]
        return sorted(rows, key=lambda row: (-row["ready"] - row["failed"], row["company_id"]))

    @property
    def providers(self) -> list[dict[str, Any]]:
        """Return the results by provider; `fallbacks` went there because the tenant's own storage could not be used."""
        stored = [
            (result.provider, result.fallback is not None) for result in self.results if result.provider is not None
        ]
        return [
            {"provider": name, "ready": count, "fallbacks": stored.count((name, True))}
            for name, count in Counter(name for name, _ in stored).most_common()
        ]

    @property
    def fallbacks(self) -> dict[int, tuple[str, int]]:
        """Return the companies whose newest thumbnails went to local storage: why, and how many uploads' did so."""
        newest: dict[int, Result] = {}
        for result in self.results:
            if result.provider is not None:
                known = newest.get(result.company_id)
                newest[result.company_id] = result if known is None or result.at >= known.at else known
        counts = Counter(result.company_id for result in self.results if result.fallback is not None)
        return {
            company: (result.fallback, counts[company])
            for company, result in sorted(newest.items())
            if result.fallback is not None
        }


class RecentResults:
    """Follows both topics: each look reads only what came since the one before. Use it in a `with`."""

    def __init__(self, settings: Settings, window_s: float) -> None:
        self._window_s: Final = window_s
        self._results: Final[deque[Result]] = deque()
        self._next: Final[dict[tuple[str, int], int]] = {}
        self._is_cut = False
        """Whether there was more to read than is read: then the window begins with the oldest that was."""
        make_consumer = consumers_of(settings.kafka, f"{settings.worker.worker_group}-status")
        self._readers: Final = [
            TopicReader(make_consumer, topic) for topic in (settings.kafka.topics.ready, settings.kafka.topics.failed)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for reader in self._readers:
            reader.close()

    def look(self) -> Recent:
        """Return the results of the window that ends now. Raises TopicReadError."""
        now = datetime.now(UTC)
        begin = now - timedelta(seconds=self._window_s)
        for reader in self._readers:
            for record in reader.read(self._unread(reader, begin)):
                result = _result(record.timestamp, record.value)
                if result is not None:
                    self._results.append(result)
        kept = [result for result in self._results if result.at >= begin]
        self._results.clear()
        self._results.extend(kept)
        since = min((result.at for result in kept), default=begin) if self._is_cut else begin
        return Recent(tuple(kept), max(1.0, (now - since).total_seconds()))

    def _unread(self, reader: TopicReader, begin: datetime) -> dict[int, Extent]:
        is_known = any(topic == reader.topic for topic, _ in self._next)
        extents = reader.extents() if is_known else reader.since(begin)
        unread = {}
        for number, extent in extents.items():
            low = max(self._next.get((reader.topic, number), extent.low), extent.low)
            if extent.high - low > MAX_PER_PARTITION:
                low, self._is_cut = extent.high - MAX_PER_PARTITION, True
            unread[number] = Extent(low, extent.high)
            self._next[reader.topic, number] = extent.high
        return unread


def _result(at: datetime, value: bytes | None) -> Result | None:
    """Return the result in the record, or None when it is not one: others may write anything."""
    try:
        event = json.loads(value or b"")
        company_id, error = event["company_id"], event.get("error")
        if error is not None:
            return Result(at, int(company_id), None, error_code=str(error["code"]))
        storage = event["storage"]
        reason = storage.get("fallback")
        fallback = None if reason in (None, NO_CONNECTION) else str(reason)
        return Result(at, int(company_id), str(storage["provider"]), fallback)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def recent_companies(settings: Settings, within_s: float) -> set[int]:
    """Return companies that got thumbnails within the last `within_s` seconds: those of the newest few results.

    Empty when they cannot be read: a worker that starts may lack the right to read what it writes.
    """
    make_consumer = consumers_of(settings.kafka, f"{settings.worker.worker_group}-status")
    topic = settings.kafka.topics.ready
    begin = datetime.now(UTC) - timedelta(seconds=within_s)
    try:
        with TopicReader(make_consumer, topic) as reader:
            newest = {number: extent.newest(NEWEST) for number, extent in reader.since(begin).items()}
            results = [_result(record.timestamp, record.value) for record in reader.read(newest)]
    except TopicReadError:
        return set()
    return {result.company_id for result in results if result is not None}
