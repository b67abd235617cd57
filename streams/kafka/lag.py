"""How far a consumer group is behind, in records and in time, without a consumer that joins it."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from streams.kafka.ports import MakeConsumer, TopicPartition
from streams.kafka.reader import COMMITTED_ONLY, SMALL_FETCHES, PartitionReader
from streams.kafka.records import InboundRecord

SILENCE_S: Final = 5.0


@dataclass(frozen=True)
class PartitionLag:
    """Unprocessed records of one partition.

    `records` is an upper bound, because transaction markers and deleted records behind the head count. `head` is the
    oldest unprocessed record: None where there is none, then `records` is 0, and where it could not be read in time.
    `end` is the offset after the last record, and `committed` the group's own, None without any.
    """

    records: int
    head: InboundRecord | None
    end: int = field(default=0, compare=False)
    committed: int | None = field(default=None, compare=False)


class GroupLag:
    """Reads the lag of one group: two questions a reading, and the first record of partitions that are behind.

    The lag counts from the head on, not from the committed offset: a group commits the offset after its last record,
    and behind it may stand the marker of a transaction, which no consumer ever returns. Where nothing but markers
    follows, the lag is 0. A head that was read before is not read again. One thread at a time.
    """

    def __init__(self, make_consumer: MakeConsumer, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`make_consumer` makes one of the group that is asked about; it does not join the group, or commit for it."""
        consumer = make_consumer(COMMITTED_ONLY | SMALL_FETCHES)
        self._reader: Final = PartitionReader(consumer, silence_s=SILENCE_S, monotonic=monotonic)
        self._heads: dict[TopicPartition, tuple[int, InboundRecord]] = {}
        """The offset that was read from, and what was found."""

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()

    def offsets_at(self, partitions: Collection[TopicPartition], moment_ms: int) -> dict[TopicPartition, int]:
        """Return the first offset at or after a moment, negative without any. Raises TopicReadError."""
        return self._reader.offsets_at(partitions, moment_ms)

    def read(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, PartitionLag]:
        """Return the lag of each of `partitions`. Raises TopicReadError when no broker answers in time."""
        found, ends = self._reader.committed(partitions), self._reader.ends(partitions)
        # Where it has committed nothing, the group begins with the earliest.
        committed = {partition: found.get(partition, 0) for partition in partitions}
        behind = {where: offset for where, offset in committed.items() if ends[where] > offset}
        self._heads = {where: known for where, known in self._heads.items() if behind.get(where) == known[0]}
        starts = {where: offset for where, offset in behind.items() if where not in self._heads}
        first = self._reader.first_records(starts)
        self._heads |= {where: (starts[where], record) for where, record in first.items() if record is not None}
        silent = starts.keys() - first.keys()  # they are asked again next time
        records = dict.fromkeys(partitions, 0)
        records |= {where: ends[where] - starts[where] for where in silent}
        records |= {where: ends[where] - head.offset for where, (_, head) in self._heads.items()}
        heads = {where: head for where, (_, head) in self._heads.items()}
        return {
            where: PartitionLag(records[where], heads.get(where), ends[where], found.get(where)) for where in partitions
        }
