"""Keeps what was made of the newest records of several partitions, in bounded memory."""

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from streams.kafka.ports import TopicPartition

T = TypeVar("T")


class Kept(Generic[T]):
    """One item for each record, by its place. Beyond `most` items, the oldest of the fullest partition is dropped."""

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._items: Final[dict[TopicPartition, dict[int, T]]] = {}
        self._count = 0
        self.changes = 0
        """A number that grows with every change."""

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[TopicPartition, int, T]]:
        """Yield partition, offset and item, in order within each partition."""
        for partition, items in self._items.items():
            for offset, item in items.items():
                yield partition, offset, item

    def add(self, partition: TopicPartition, offset: int, item: T) -> None:
        """Keep `item`, whose offset is higher than all before of its partition."""
        self._items.setdefault(partition, {})[offset] = item
        self._count += 1
        self.changes += 1
        if self._count > self._most:
            fullest = max(self._items.values(), key=len)
            del fullest[next(iter(fullest))]
            self._count -= 1

    def get(self, partition: TopicPartition, offset: int) -> T | None:
        """Return the item of a record, if it is kept."""
        return self._items.get(partition, {}).get(offset)

    def put(self, partition: TopicPartition, offset: int, item: T) -> None:
        """Put `item` in the place of one that is kept."""
        self._items[partition][offset] = item
        self.changes += 1

    def drop_before(self, partition: TopicPartition, offset: int) -> None:
        """Drop the items of records that are gone."""
        items = self._items.get(partition, {})
        gone = []
        for kept in items:
            if kept >= offset:
                break
            gone.append(kept)
        for kept in gone:
            del items[kept]
        self._count -= len(gone)
        self.changes += len(gone)

    def drop(self, partition: TopicPartition) -> None:
        """Drop all of a partition."""
        gone = self._items.pop(partition, {})
        self._count -= len(gone)
        self.changes += len(gone)
