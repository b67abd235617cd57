"""How many dead letters wait for somebody, and since when, without reading them all."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from streams.dlq.ledger import Ledger
from streams.kafka.client import Place
from streams.kafka.reader import Extent, TopicReader

_SMALL_FETCHES: Final = {"fetch.message.max.bytes": 1024, "queued.min.messages": 1}


@dataclass(frozen=True)
class WaitingLetters:
    """At most `count` dead letters wait; the oldest came at `oldest_at`, None when none waits."""

    count: int
    oldest_at: datetime | None


class LetterWatch:
    """Looks at the ends of the dead letter topics, reads what is new in the ledger, and one letter a partition.

    A mark is believed by its place alone, unlike where letters are replayed: a dead letter topic that is deleted and
    made anew seems to be dealt with as far as the old one was.
    """

    def __init__(self, config: Mapping[str, Any], topics: tuple[str, ...], ledger_topic: str) -> None:
        """`config` is a consumer's. Connects at the first look."""
        self._letters: Final = [TopicReader(dict(config) | _SMALL_FETCHES, topic) for topic in topics]
        self._ledger: Final = TopicReader(config, ledger_topic)
        self._ledger_ends: dict[int, int] = {}
        self._done: Final[dict[str, dict[int, set[int]]]] = {topic: {} for topic in topics}
        self._heads: Final[dict[Place, tuple[int, int, datetime]]] = {}
        """The first offset that was looked at, that of the letter which was found, and its time."""

    def close(self) -> None:
        """Let go of the connections."""
        for reader in (*self._letters, self._ledger):
            reader.close()

    def look(self) -> WaitingLetters:
        """What waits now. Raises TopicReadError."""
        self._read_ledger()
        count, oldest = 0, []
        for reader in self._letters:
            for number, extent in reader.extents().items():
                done = self._done[reader.topic].setdefault(number, set())
                done -= {offset for offset in done if offset < extent.low}
                count += max(0, extent.count - sum(offset < extent.high for offset in done))
                found = self._head(reader, number, extent, done)
                oldest += [] if found is None else [found]
        return WaitingLetters(count if oldest else 0, min(oldest, default=None))

    def _read_ledger(self) -> None:
        extents = self._ledger.extents()
        new = {
            number: Extent(self._ledger_ends.get(number, extent.low), extent.high) for number, extent in extents.items()
        }
        ledger = Ledger.read(self._ledger.read(new))
        for topic, by_partition in self._done.items():
            for number, offset in ledger.settled(topic):
                by_partition.setdefault(number, set()).add(offset)
        self._ledger_ends = {number: extent.high for number, extent in extents.items()}

    def _head(self, reader: TopicReader, number: int, extent: Extent, done: set[int]) -> datetime | None:
        start = extent.low
        while start in done:
            start += 1
        place = (reader.topic, number)
        known = self._heads.get(place)
        if known is not None and known[0] <= start <= known[1] and known[1] not in done:
            return known[2]
        self._heads.pop(place, None)
        for record in reader.read({number: Extent(start, extent.high)}):
            if record.offset not in done:
                self._heads[place] = (start, record.offset, record.timestamp)
                return record.timestamp
        return None
