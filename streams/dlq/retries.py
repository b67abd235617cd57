"""Records that wait in the retry topics: which, why, until when; and those that somebody cancelled."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from schemas import headers as h
from schemas.topics import Topics
from streams.dlq.read import MAX_TEXT, is_code, read_dead_letter
from streams.failures.marks import Mark, MarkState, read_mark, read_place
from streams.kafka.follower import Listener, TopicFollower
from streams.kafka.kept import Kept
from streams.kafka.ports import MakeConsumer, TopicPartition
from streams.kafka.reader import COMMITTED_ONLY, Extent, PartitionReader
from streams.kafka.records import InboundRecord

MAX_WAITING: Final = 100_000
"""Records that a look keeps, the newest."""


@dataclass(frozen=True, slots=True)
class WaitingRetry:
    """One record in a retry topic; `tier` is 1-based. Facts that its headers and its value lack are None or ""."""

    tier: int
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    code: str
    company_id: int | None
    key: str | None
    message: str
    due_at: datetime | None
    first_failed_at: datetime | None
    origin: str | None
    is_tombstone: bool
    cancelled: Mark | None = None

    @property
    def position(self) -> str:
        """TIER:PARTITION:OFFSET, as the command line takes it."""
        return f"{self.tier}:{self.partition}:{self.offset}"

    @property
    def record(self) -> InboundRecord:
        """Return its place and time as a record without content: what a mark is about."""
        return InboundRecord(self.topic, self.partition, self.offset, self.timestamp_ms, None, None, ())


def read_waiting(record: InboundRecord, tier: int) -> WaitingRetry:
    """Read a record of a retry topic. Never fails: what cannot be read is None."""
    read = read_dead_letter(record)
    times = [h.parse_time(h.get_header(record.headers, name)) for name in (h.RETRY_DUE_AT, h.RETRY_NOT_BEFORE)]
    return WaitingRetry(
        tier=tier,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        code=sys.intern(read.code),
        company_id=read.company_id,
        key=read.media,
        message=sys.intern((read.header(h.ERROR_MESSAGE) or "")[:MAX_TEXT]),
        due_at=max((time for time in times if time is not None), default=None),
        first_failed_at=h.parse_time(read.header(h.FIRST_FAILED_AT)),
        origin=read.header(h.ORIGINAL_TOPIC),
        is_tombstone=record.value is None,
    )


@dataclass(frozen=True)
class RetryFilter:
    """Everything that is given must hold; a code ends in * to mean all that begin so. `positions` are TIER:PARTITION:OFFSET."""

    codes: tuple[str, ...] = ()
    companies: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    positions: frozenset[str] = frozenset()

    def matches(self, waiting: WaitingRetry) -> bool:
        """Return whether the filter matches this record."""
        return (
            (not self.codes or any(is_code(waiting.code, code) for code in self.codes))
            and (not self.companies or waiting.company_id in self.companies)
            and (not self.keys or waiting.key in self.keys)
            and (not self.positions or waiting.position in self.positions)
        )


@dataclass
class RetryGroup:
    """The waiting records of one code and one company; `next` is the record that is due first. `cancelled` of them are dropped then."""

    code: str
    company_id: int | None
    next: WaitingRetry
    count: int = 0
    cancelled: int = 0
    last_due_at: datetime | None = None

    def add(self, one: WaitingRetry) -> None:
        """Count one."""
        self.count += 1
        self.cancelled += one.cancelled is not None
        if one.due_at is not None:
            self.last_due_at = max(self.last_due_at or one.due_at, one.due_at)
            if self.next.due_at is None or one.due_at < self.next.due_at:
                self.next = one


def by_code_and_company(waiting: Iterable[WaitingRetry]) -> list[RetryGroup]:
    """Return the groups, the largest first."""
    groups: dict[tuple[str, int | None], RetryGroup] = {}
    for one in waiting:
        groups.setdefault((one.code, one.company_id), RetryGroup(one.code, one.company_id, one)).add(one)
    return sorted(groups.values(), key=lambda group: (-group.count, group.code, group.company_id or 0))


class RetryWatch:
    """Knows what waits in the retry topics: after the first look, each one reads only what is new. For one thread.

    A record waits until the group of the retry role has committed it. `make_consumer` makes a consumer of that group,
    which does not join it.
    """

    def __init__(self, make_consumer: MakeConsumer, topics: Topics, most: int = MAX_WAITING) -> None:
        """Connect at the first poll."""
        self._most: Final = most
        self._tiers: Final = {topic: tier for tier, topic in enumerate(topics.retries, start=1)}
        self._followers: Final = {topic: TopicFollower(make_consumer, topic) for topic in self._tiers}
        self._ledger: Final = TopicFollower(make_consumer, topics.replays)
        self._group: Final = PartitionReader(make_consumer(COMMITTED_ONLY))
        self._waiting: Final = Kept[WaitingRetry](most)
        self._marks: Final[dict[tuple[str, int, int], bytes]] = {}
        """Cancellations of what waits, or was not read yet."""
        self.committed: Mapping[TopicPartition, int] = {}
        """The offsets that the retry role has come to, as of the last poll."""

    def close(self) -> None:
        """Close the connections."""
        for follower in (*self._followers.values(), self._ledger):
            follower.close()
        self._group.close()

    def poll(self) -> list[WaitingRetry]:
        """Return what waits now, in order within each partition. Raises TopicReadError; the next poll goes on from there."""
        partitions = [partition for topic in self._followers for partition in self._group.partitions(topic)]
        committed = self._group.committed(partitions)
        for follower in self._followers.values():
            listener = Listener(self._take, self._forgetting(follower.topic), self._begin_at(follower, committed))
            for number, extent in follower.look(listener).items():
                partition = (follower.topic, number)
                self._waiting.drop_before(partition, _done(committed, partition, extent))
        self._ledger.look(Listener(self._take_mark, self._forget_marks))
        self.committed = committed
        self._forget_old_marks()
        return [self._with_mark(one) for _, _, one in self._waiting]

    def _begin_at(
        self, follower: TopicFollower, committed: Mapping[TopicPartition, int]
    ) -> Callable[[int, Extent], int]:
        def first(number: int, extent: Extent) -> int:
            return max(extent.newest(self._most).low, _done(committed, (follower.topic, number), extent))

        return first

    def _forgetting(self, topic: str) -> Callable[[int], None]:
        return lambda number: self._waiting.drop((topic, number))

    def _take(self, record: InboundRecord) -> None:
        waiting = read_waiting(record, self._tiers[record.topic])
        self._waiting.add((record.topic, record.partition), record.offset, waiting)

    def _take_mark(self, record: InboundRecord) -> None:
        place = read_place(record.key)
        if place is None or place[0] not in self._tiers:
            return
        if record.value is None:
            self._marks.pop(place, None)
        else:
            self._marks[place] = record.value

    def _forget_marks(self, _number: int) -> None:
        self._marks.clear()

    def _forget_old_marks(self) -> None:
        gone = [place for place in self._marks if place[2] < self.committed.get(place[:2], 0)]
        for place in gone:
            del self._marks[place]

    def _with_mark(self, one: WaitingRetry) -> WaitingRetry:
        value = self._marks.get((one.topic, one.partition, one.offset))
        found = None if value is None else read_mark(value)
        is_its = found is not None and found[0] == one.timestamp_ms and found[1].state is MarkState.CANCELLED
        return replace(one, cancelled=found[1]) if found is not None and is_its else one


def _done(committed: Mapping[TopicPartition, int], partition: TopicPartition, extent: Extent) -> int:
    """Return the first offset that waits. A commit behind the end is of a topic that was deleted: the role begins at the start."""
    offset = committed.get(partition, 0)
    return extent.low if offset > extent.high else max(offset, extent.low)
