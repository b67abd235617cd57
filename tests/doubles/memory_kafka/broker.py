"""An in-memory Kafka: logs with transactions, and consumer groups with the eager protocol, without threads.

It promises what `tests/contracts/test_kafka_contract.py` asks of it and of Apache Kafka alike. Simpler than there:
records are sent in `poll` and `flush` alone, partitions are read in their order, and time is a `VirtualClock`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol

from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError, KafkaException, Message

from streams.kafka.client import inbound
from streams.kafka.ports import TopicPartition
from streams.kafka.records import InboundRecord
from tests.doubles.memory_kafka.clock import VirtualClock

HeaderList = list[tuple[str, bytes | None]]


class KilledError(BaseException):
    """The process died: its clients do nothing any more, neither commit nor leave their group."""


class TransactionState(Enum):
    OPEN = auto()
    COMMITTED = auto()
    ABORTED = auto()


@dataclass
class Transaction:
    """Becomes visible to `read_committed`, or never, when it ends."""

    state: TransactionState = TransactionState.OPEN


@dataclass(frozen=True)
class Entry:
    """What stands at an offset; without a message it is the marker that ends a transaction."""

    offset: int
    timestamp_ms: int
    message: Message | None
    transaction: Transaction | None

    def is_shown(self, *, committed_only: bool) -> bool:
        if self.message is None:
            return False
        is_aborted = self.transaction is not None and self.transaction.state is TransactionState.ABORTED
        return not (committed_only and is_aborted)


@dataclass(frozen=True)
class NewRecord:
    """A record on its way to a partition."""

    key: bytes | None
    value: bytes | None
    headers: HeaderList
    timestamp_ms: int


class Log:
    """One partition."""

    def __init__(self, topic: str, partition: int) -> None:
        self._place = topic, partition
        self.entries: list[Entry] = []

    def append(self, record: NewRecord, transaction: Transaction | None = None) -> Message:
        topic, partition = self._place
        message = Message(
            topic=topic,
            partition=partition,
            offset=len(self.entries),
            key=record.key,
            value=record.value,
            headers=[*record.headers] or None,
            timestamp=(TIMESTAMP_CREATE_TIME, record.timestamp_ms),
        )
        self.entries.append(Entry(len(self.entries), record.timestamp_ms, message, transaction))
        return message

    def append_marker(self, timestamp_ms: int) -> None:
        self.entries.append(Entry(len(self.entries), timestamp_ms, None, None))

    def end(self, *, committed_only: bool) -> int:
        """One past the last offset; for readers of committed records alone, the first of an open transaction."""
        if committed_only:
            for entry in self.entries:
                if entry.transaction is not None and entry.transaction.state is TransactionState.OPEN:
                    return entry.offset
        return len(self.entries)


class Member(Protocol):
    """What a group knows of a consumer."""

    topics: list[str]
    max_poll_interval_s: float
    polled_at: float
    is_evicted: bool

    def holds_partitions(self) -> bool: ...


@dataclass
class Group:
    """The eager protocol: all members give up all partitions, then each is given its own.

    A rebalance ends when every member has served its revocation, or was evicted for not polling.
    """

    partitions_of: Callable[[str], int]
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    revoking: list[Member] = field(default_factory=list)
    """Members that hold partitions and were not yet asked to give them up."""
    assigned: list[tuple[Member, list[TopicPartition]]] = field(default_factory=list)
    """Assignments that their members have not yet taken."""

    def join(self, member: Member) -> None:
        self.members.append(member)
        self._rebalance()

    def leave(self, member: Member) -> None:
        if member in self.members:
            self.members.remove(member)
            self._rebalance()

    def expire(self, now_s: float) -> None:
        """Evict the members that have not polled for too long."""
        for member in [one for one in self.members if now_s - one.polled_at > one.max_poll_interval_s]:
            member.is_evicted = True
            self.leave(member)

    def revoked(self, member: Member) -> None:
        self.revoking.remove(member)
        self._assign_when_all_have_revoked()

    def _rebalance(self) -> None:
        self.assigned.clear()
        self.revoking = [member for member in self.members if member.holds_partitions()]
        self._assign_when_all_have_revoked()

    def _assign_when_all_have_revoked(self) -> None:
        if not self.revoking:
            self.assigned = [(member, list(self._share_of(member))) for member in self.members]

    def _share_of(self, member: Member) -> Iterator[TopicPartition]:
        """As the range assignor: of each topic the members in their order take equal ranges, the first ones more."""
        for topic in member.topics:
            readers = [one for one in self.members if topic in one.topics]
            number, count = readers.index(member), self.partitions_of(topic)
            size, more = divmod(count, len(readers))
            first = number * size + min(number, more)
            yield from ((topic, first + step) for step in range(size + (number < more)))


class MemoryBroker:
    """Topics, groups, and a journal of what happened to them, in order."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.journal: list[str] = []
        """«sent TOPIC», «committed TOPIC[PARTITION]@OFFSET», and what a test adds."""
        self._logs: dict[TopicPartition, Log] = {}
        self._groups: dict[str, Group] = {}

    def create_topic(self, name: str, partitions: int = 1) -> None:
        for number in range(partitions):
            self._logs[name, number] = Log(name, number)

    def partitions_of(self, topic: str) -> int:
        return sum(name == topic for name, _ in self._logs)

    def topics(self) -> list[str]:
        return sorted({name for name, _ in self._logs})

    def log(self, place: TopicPartition) -> Log:
        """The partition. Raises KafkaException where there is none."""
        found = self._logs.get(place)
        if found is None:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        return found

    def group(self, name: str) -> Group:
        return self._groups.setdefault(name, Group(self.partitions_of))

    def put(
        self, place: TopicPartition, value: bytes | None, *, key: bytes | None = None, headers: HeaderList | None = None
    ) -> int:
        """Append a record as another producer would; its offset."""
        message = self.log(place).append(NewRecord(key, value, headers or [], self.clock.now_ms()))
        return message.offset() or 0

    def records(self, topic: str) -> list[InboundRecord]:
        """What a reader of committed records sees, in the order of its times."""
        shown = [
            inbound(entry.message)
            for (name, _), log in self._logs.items()
            if name == topic
            for entry in log.entries[: log.end(committed_only=True)]
            if entry.message is not None and entry.is_shown(committed_only=True)
        ]
        return sorted(shown, key=lambda record: record.timestamp_ms)
