"""Reads a topic again and again, each time only what is new, and notices when the topic is another one of the same name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from streams.kafka.ports import MakeConsumer
from streams.kafka.reader import Extent
from streams.kafka.records import InboundRecord
from streams.kafka.topic_reader import TopicReader


@dataclass(frozen=True)
class Listener:
    """The callbacks for the records of one topic.

    `on_forget` gets the number of a partition whose records so far are not there any more, because the topic was
    deleted and created again: all that is still there comes again. `first` returns the offset to begin with, of a
    partition that is read for the first time or again.
    """

    on_record: Callable[[InboundRecord], None]
    on_forget: Callable[[int], None]
    first: Callable[[int, Extent], int] = lambda _number, extent: extent.low


class TopicFollower:
    """Follows one topic, in one thread. It remembers one offset and the last record's timestamp for each partition.

    A topic that was created again is noticed when it begins or ends before what was read, or when its record at the last
    offset that was read has another timestamp. One that has grown to exactly the same offsets is noticed with its next
    record. Where a compacted topic has removed the last record that was read, its later records are taken as they are.
    """

    def __init__(self, make_consumer: MakeConsumer, topic: str) -> None:
        """Connect at the first look."""
        self._reader: Final = TopicReader(make_consumer, topic)
        self._lows: Final[dict[int, int]] = {}
        self._next: Final[dict[int, int]] = {}
        self._last: Final[dict[int, tuple[int, int]]] = {}
        """Offset and timestamp of the last record that was read, of each partition that gave any."""

    @property
    def topic(self) -> str:
        """Return the topic's name."""
        return self._reader.topic

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()

    def next_offset(self, number: int) -> int:
        """Return the offset in a partition that was not read yet."""
        return self._next.get(number, 0)

    def forget(self) -> None:
        """Read everything again at the next look."""
        for known in (self._lows, self._next, self._last):
            known.clear()

    def look(self, listener: Listener) -> dict[int, Extent]:
        """Give all new records to `listener`, in order within each partition, and return what each partition holds.

        Raises TopicReadError; the next look then goes on after the last record that was given.
        """
        extents = self._reader.extents()
        for number in [number for number in self._next if self._is_another(number, extents.get(number))]:
            self._begin_again(number, listener)
        again = self._read(extents, listener)
        for number in again:
            self._begin_again(number, listener)
        if again:
            self._read({number: extents[number] for number in again}, listener)
        for number, extent in extents.items():
            self._lows[number], self._next[number] = extent.low, extent.high
        return extents

    def _is_another(self, number: int, extent: Extent | None) -> bool:
        return extent is None or extent.high < self._next[number] or extent.low < self._lows.get(number, 0)

    def _begin_again(self, number: int, listener: Listener) -> None:
        for known in (self._lows, self._next, self._last):
            known.pop(number, None)
        listener.on_forget(number)

    def _read(self, extents: Mapping[int, Extent], listener: Listener) -> set[int]:
        """Read what is new; return the partitions of another topic, of which nothing was given to `listener`."""
        checked, others = set[int](), set[int]()
        for record in self._reader.read(self._unread(extents, listener)):
            number, last = record.partition, self._last.get(record.partition)
            if number in others:
                continue
            if number not in checked:
                checked.add(number)
                if last is not None and record.offset == last[0]:
                    if record.timestamp_ms != last[1]:
                        others.add(number)
                    continue
            listener.on_record(record)
            self._last[number] = (record.offset, record.timestamp_ms)
            self._next[number] = record.offset + 1
        return others

    def _unread(self, extents: Mapping[int, Extent], listener: Listener) -> dict[int, Extent]:
        """Return what is new of each partition, with the last record that was read before it: to see that it is still the same."""
        unread = {}
        for number, extent in extents.items():
            known, last = self._next.get(number), self._last.get(number)
            low = listener.first(number, extent) if known is None else max(known, extent.low)
            if low < extent.high and last is not None and last[0] >= extent.low:
                low = min(low, last[0])
            unread[number] = Extent(low, extent.high)
        return unread
