"""Reads what partitions hold at this moment: from where they begin to where they end when one asks, and no further."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException
from confluent_kafka import TopicPartition as PartitionOffset

from streams.kafka.client import explain_fault, inbound, is_passing
from streams.kafka.messages import UnreadableBatchError, is_unreadable, unreadable_at
from streams.kafka.ports import KafkaConsumer, TopicPartition
from streams.kafka.records import InboundRecord

ASK_TIMEOUT_S: Final = 15.0
SILENCE_TIMEOUT_S: Final = 30.0
BATCH: Final = 1000
_POLL_S: Final = 0.5
COMMITTED_ONLY: Final = {"enable.partition.eof": True, "isolation.level": "read_committed", "log_level": 2}
"""Ends of partitions are reported; records of aborted or open transactions are not seen."""
SMALL_FETCHES: Final = {
    # One record of each partition is wanted; the broker gives at least one batch, whatever its size.
    "fetch.message.max.bytes": 1024,
    "queued.min.messages": 1,
    "fetch.wait.max.ms": 20,
}
# librdkafka's public constants begin with an underscore.
_UNREACHABLE: Final = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE)  # noqa: SLF001
_UNKNOWN_TOPIC: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)  # noqa: SLF001
_SETTLING: Final = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
SETTLE_S: Final = 5.0
"""Topics that were just created, and partitions that move, have no leader for a moment, or one that another broker does not know yet."""


class TopicReadError(Exception):
    """Kafka cannot be read; the message says why and what to do."""


class UnknownTopicError(TopicReadError):
    """The cluster does not have the topic."""


class SilenceError(TopicReadError):
    """Partitions gave neither records nor their ends for too long."""


@dataclass(frozen=True)
class Extent:
    """The offsets that a partition holds: `low` is the first, `high` is one past the last. Some may hold nothing."""

    low: int
    high: int

    @property
    def count(self) -> int:
        """Return how many records there are at most."""
        return max(0, self.high - self.low)

    def newest(self, count: int) -> "Extent":
        """Return the last `count` offsets."""
        return Extent(max(self.low, self.high - count), self.high)


class PartitionReader:
    """Reads partitions of any topics by a consumer that joins no group, and commits nothing.

    Every method raises TopicReadError. One thread at a time.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        *,
        ask_timeout_s: float | None = None,
        silence_s: float = SILENCE_TIMEOUT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`consumer` has the settings COMMITTED_ONLY."""
        self._consumer: Final = consumer
        self._ask_timeout_s: Final = ASK_TIMEOUT_S if ask_timeout_s is None else ask_timeout_s
        self._silence_s: Final = silence_s
        self._monotonic: Final = monotonic

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return the topic's partitions."""
        with explained(topic):
            found = self._consumer.list_topics(topic, timeout=self._ask_timeout_s).topics[topic]
            if found.error is not None:
                raise KafkaException(found.error)
        return [(topic, number) for number in sorted(found.partitions)]

    def extents(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Extent]:
        """Return what each partition holds now."""
        lows, highs = self.offsets_at(partitions, OFFSET_BEGINNING), self.ends(partitions)
        return {partition: Extent(lows[partition], highs[partition]) for partition in partitions}

    def ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the offset after each partition's last committed record."""
        return self.offsets_at(partitions, OFFSET_END)

    def offsets_at(self, partitions: Collection[TopicPartition], moment_ms: int) -> dict[TopicPartition, int]:
        """Return the first offset at or after a moment, negative without any: one request a broker.

        Not by an admin client: one whose requests time out may abort the whole process when the broker is back
        (https://github.com/confluentinc/librdkafka/issues/4605).
        """
        asked = [PartitionOffset(*partition, moment_ms) for partition in partitions]
        return _offsets(asked, lambda: self._consumer.offsets_for_times(asked, timeout=self._ask_timeout_s))

    def committed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Return what the consumer's own group has committed, without the partitions where it has committed nothing."""
        asked = [PartitionOffset(*partition) for partition in partitions]
        found = _offsets(asked, lambda: self._consumer.committed(asked, timeout=self._ask_timeout_s))
        return {partition: offset for partition, offset in found.items() if offset >= 0}

    def read(self, extents: Mapping[TopicPartition, Extent]) -> Iterator[InboundRecord]:
        """Yield every record within `extents`, in order within each partition."""
        wanted = {partition: extent for partition, extent in extents.items() if extent.count}

        def is_last(record: InboundRecord) -> bool:
            return record.offset >= wanted[record.topic, record.partition].high - 1

        for partition, record in self._visit({where: extent.low for where, extent in wanted.items()}, is_last):
            if record is not None and record.offset < wanted[partition].high:  # compaction may leave gaps at the end
                yield record

    def first_records(self, starts: Mapping[TopicPartition, int]) -> dict[TopicPartition, InboundRecord | None]:
        """Return the first record at or after each offset; None where there is none. Silent partitions are left out."""
        found: dict[TopicPartition, InboundRecord | None] = {}
        with suppress(SilenceError):
            found.update(self._visit(starts, lambda _record: True))
        with explained(_names(starts)):
            self._consumer.unassign()  # fetches nothing ahead until it is asked again
        return found

    def _visit(
        self, starts: Mapping[TopicPartition, int], is_last: Callable[[InboundRecord], bool]
    ) -> Iterator[tuple[TopicPartition, InboundRecord | None]]:
        """Yield each partition's records until one `is_last`, or None at its end. Raises SilenceError."""
        unread, problem = set(starts), None
        if not unread:
            return
        with explained(_names(unread)):
            self._assign(starts)
        heard_at = self._monotonic()
        while unread:
            with explained(_names(unread)):
                messages = self._consumer.consume(1, _POLL_S)
                messages += self._consumer.consume(BATCH - 1, 0.0) if messages else []
            for message in messages:
                partition, error = (message.topic() or "", message.partition() or 0), message.error()
                is_end = error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001
                if error is not None and not is_end:
                    if is_unreadable(error):
                        raise TopicReadError(f"{unreadable_at(message, error)}.")
                    if not is_passing(error):
                        raise _explain(partition[0] or _names(unread), error)
                    problem = error
                    continue
                if partition not in unread:
                    continue
                record = None if is_end else inbound(message)
                if record is None or is_last(record):
                    self._finish(unread, partition)
                yield partition, record
                heard_at = self._monotonic()  # the caller may take its time for a record
            if unread and self._monotonic() - heard_at > self._silence_s:
                raise self._silence(_names(unread), problem)

    def _assign(self, starts: Mapping[TopicPartition, int]) -> None:
        assigned = [PartitionOffset(*partition, offset) for partition, offset in starts.items()]
        self._consumer.assign(assigned)
        self._consumer.resume(assigned)  # an earlier reading left them paused at its end

    def _finish(self, unread: set[TopicPartition], partition: TopicPartition) -> None:
        unread.remove(partition)
        with suppress(KafkaException):  # an optimisation: later records of it are ignored
            self._consumer.pause([PartitionOffset(*partition)])

    def _silence(self, names: str, problem: KafkaError | None) -> SilenceError:
        if problem is not None:
            return SilenceError(str(_explain(names, problem)))
        return SilenceError(f"{names} gave nothing for {self._silence_s:g} s: is the broker up?")


def _offsets(asked: list[PartitionOffset], question: Callable[[], list[PartitionOffset]]) -> dict[TopicPartition, int]:
    """Ask until every partition has an answer. Raises TopicReadError when leaders are missing for SETTLE_S."""
    give_up_at = time.monotonic() + SETTLE_S
    while asked:
        try:
            answers = question()
            error = next((answer.error for answer in answers if answer.error is not None), None)
        except KafkaException as exc:
            error = exc.args[0]
        if error is None:
            return {(answer.topic, answer.partition): answer.offset for answer in answers}
        if error.code() not in _SETTLING or time.monotonic() > give_up_at:
            raise _explain(", ".join(sorted({one.topic for one in asked})), error)
        time.sleep(0.1)
    return {}


def _names(partitions: Collection[TopicPartition]) -> str:
    return ", ".join(sorted({topic for topic, _ in partitions}))


@contextmanager
def explained(topics: str) -> Iterator[None]:
    """Raise a client's error about `topics` as a TopicReadError."""
    try:
        yield
    except UnreadableBatchError as exc:
        raise TopicReadError(f"{exc}.") from exc
    except KafkaException as exc:
        raise _explain(topics, exc.args[0]) from exc


def _explain(topics: str, error: KafkaError) -> TopicReadError:
    if error.code() in _UNREACHABLE:
        return TopicReadError("No Kafka broker answers: start it, or set KAFKA_BOOTSTRAP_SERVERS.")
    kind, sentence = TopicReadError, f"{topics} cannot be read: {explain_fault(KafkaException(error))}."
    if error.code() in _UNKNOWN_TOPIC:
        kind, sentence = UnknownTopicError, f"The topic {topics} does not exist: run `thumbnails topics create`."
    return kind(sentence)
