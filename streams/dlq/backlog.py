"""How many dead letters wait for somebody, and since when, without reading them all."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from streams.failures.marks import read_mark, read_place, waits
from streams.kafka.ports import MakeConsumer, TopicPartition
from streams.kafka.reader import Extent
from streams.kafka.topic_reader import TopicReader


@dataclass(frozen=True)
class Backlog:
    """At most `count` dead letters wait; the oldest came at `oldest_at`, None when none waits."""

    count: int
    oldest_at: datetime | None


class DlqBacklog:
    """Asks for the ends of the dead letter topics, and reads what is new in the ledger and one record a partition.

    A mark is believed by its topic, partition and offset alone, unlike where dead letters are replayed: a topic that is
    deleted and created again seems to be dealt with as far as the old one was.
    """

    def __init__(self, make_consumer: MakeConsumer, topics: tuple[str, ...], ledger_topic: str) -> None:
        """Connect at the first poll."""
        self._dead_letters: Final = [TopicReader(make_consumer, topic, small=True) for topic in topics]
        self._ledger: Final = TopicReader(make_consumer, ledger_topic)
        self._ledger_ends: dict[int, int] = {}
        self._done: Final[dict[str, dict[int, set[int]]]] = {topic: {} for topic in topics}
        self._heads: Final[dict[TopicPartition, tuple[int, int, datetime]]] = {}
        """The first offset that was looked at, that of the dead letter which was found, and its time."""

    def close(self) -> None:
        """Close the connections."""
        for reader in (*self._dead_letters, self._ledger):
            reader.close()

    def poll(self) -> Backlog:
        """Return what waits now. Raises TopicReadError."""
        held = {reader.topic: reader.extents() for reader in self._dead_letters}
        self._read_ledger(held)
        count, oldest = 0, []
        for reader in self._dead_letters:
            for number, extent in held[reader.topic].items():
                done = self._done[reader.topic].setdefault(number, set())
                done -= {offset for offset in done if offset < extent.low}
                count += max(0, extent.count - sum(offset < extent.high for offset in done))
                found = self._head(reader, number, extent, done)
                oldest += [] if found is None else [found]
        return Backlog(count if oldest else 0, min(oldest, default=None))

    def _read_ledger(self, held: Mapping[str, Mapping[int, Extent]]) -> None:
        """Take the new marks, without those of dead letters that are gone: marks outlive them."""
        extents = self._ledger.extents()
        new = {
            number: Extent(self._ledger_ends.get(number, extent.low), extent.high) for number, extent in extents.items()
        }
        for record in self._ledger.read(new):
            place = read_place(record.key)
            extent = None if place is None else held.get(place[0], {}).get(place[1])
            if place is None or extent is None or place[2] < extent.low:
                continue
            done, mark = self._done[place[0]].setdefault(place[1], set()), read_mark(record.value)
            if mark is not None and not waits(mark[1].state):
                done.add(place[2])
        self._ledger_ends = {number: extent.high for number, extent in extents.items()}

    def _head(self, reader: TopicReader, number: int, extent: Extent, done: set[int]) -> datetime | None:
        start = extent.low
        while start in done:
            start += 1
        partition = (reader.topic, number)
        known = self._heads.get(partition)
        if known is not None and known[0] <= start <= known[1] and known[1] not in done:
            return known[2]
        self._heads.pop(partition, None)
        for record in reader.read({number: Extent(start, extent.high)}):
            if record.offset not in done:
                self._heads[partition] = (start, record.offset, record.timestamp)
                return record.timestamp
        return None
