"""Watches dead letters and their marks: after the first look, each one reads only what is new, in bounded memory."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from streams.dlq.read import ErrorGroup, Known, grouped, known, read_dead_letter
from streams.failures.marks import born_mark, read_mark, read_place
from streams.kafka.follower import Listener, TopicFollower
from streams.kafka.kept import Kept
from streams.kafka.ports import MakeConsumer, TopicPartition
from streams.kafka.reader import Extent
from streams.kafka.records import InboundRecord

MAX_KNOWN: Final = 100_000
"""Dead letters, the newest: 164 MiB were measured for so many beside 1,000,000 marks, with the client's buffers.

`thumbnails dlq stats` counts all of them.
"""
MAX_EARLY_MARKS: Final = 10_000


class DeadLetterWatch:
    """Knows the newest dead letters, `most` of them, of several topics, and what became of each. For one thread.

    A mark is kept as a part of its dead letter; one of a dead letter that is gone takes no memory. The next look forgets
    records that retention or a purge removed, and a topic that was created again.
    """

    def __init__(
        self, make_consumer: MakeConsumer, topics: tuple[str, ...], ledger_topic: str, most: int = MAX_KNOWN
    ) -> None:
        """Connect at the first poll."""
        self._most: Final = most
        self._followers: Final = {topic: TopicFollower(make_consumer, topic) for topic in topics}
        self._ledger: Final = TopicFollower(make_consumer, ledger_topic)
        self._known: Final = Kept[Known](most)
        self._early: Final[dict[tuple[str, int, int], bytes | None]] = {}
        """Marks of dead letters that were not read yet: they came after the look at their topic."""
        self._groups: dict[str, list[ErrorGroup]] = {topic: [] for topic in topics}
        self._grouped_at = -1

    def close(self) -> None:
        """Close the connections."""
        for follower in (*self._followers.values(), self._ledger):
            follower.close()

    def poll(self) -> dict[str, list[ErrorGroup]]:
        """Return the groups of each topic as they are now. Raises TopicReadError; the next poll goes on from there."""
        for topic, follower in self._followers.items():
            # The dead letters first: each mark is written after its dead letter.
            extents = follower.look(Listener(self._take, self._forgetting(topic), self._first))
            for number, extent in extents.items():
                self._known.drop_before((topic, number), extent.low)
        self._ledger.look(Listener(self._take_mark, self._forget_marks))
        if self._grouped_at != self._known.changes:
            self._group()
        return self._groups

    def _first(self, _number: int, extent: Extent) -> int:
        return extent.newest(self._most).low

    def _forgetting(self, topic: str) -> Callable[[int], None]:
        def forget(number: int) -> None:
            self._known.drop((topic, number))
            self._ledger.forget()  # marks of the new topic may have been read before it was noticed

        return forget

    def _take(self, record: InboundRecord) -> None:
        partition: TopicPartition = (record.topic, record.partition)
        self._known.add(partition, record.offset, known(read_dead_letter(record), born_mark(record)))
        place = (*partition, record.offset)
        if place in self._early:
            self._mark(place, self._early.pop(place))

    def _take_mark(self, record: InboundRecord) -> None:
        place = read_place(record.key)
        follower = None if place is None else self._followers.get(place[0])
        if place is None or follower is None:
            return
        if place[2] >= follower.next_offset(place[1]):
            if len(self._early) < MAX_EARLY_MARKS:
                self._early[place] = record.value
            return
        self._mark(place, record.value)

    def _mark(self, place: tuple[str, int, int], value: bytes | None) -> None:
        partition, offset = place[:2], place[2]
        found = self._known.get(partition, offset)
        if found is None:
            return
        mark = read_mark(value)
        is_its = mark is not None and mark[0] == found.timestamp_ms
        state = mark[1].state if mark is not None and is_its else found.born
        if state is not found.state:
            self._known.put(partition, offset, replace(found, state=state))

    def _forget_marks(self, _number: int) -> None:
        self._early.clear()
        for partition, offset, found in list(self._known):
            if found.state is not found.born:
                self._known.put(partition, offset, replace(found, state=found.born))

    def _group(self) -> None:
        by_topic: dict[str, list[tuple[str, Known]]] = {topic: [] for topic in self._followers}
        for (topic, number), offset, one in self._known:
            by_topic[topic].append((f"{number}:{offset}", one))
        self._groups = {topic: grouped(found) for topic, found in by_topic.items()}
        self._grouped_at = self._known.changes
