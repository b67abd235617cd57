"""Reads what a topic holds at this moment: from where it begins to where it ends when one asks, and no further."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.kafka.client import inbound
from streams.kafka.records import InboundRecord

ASK_TIMEOUT_S: Final = 15.0
SILENCE_TIMEOUT_S: Final = 30.0
BATCH: Final = 1000


class TopicReadError(Exception):
    """The topic cannot be read; the message says why and what to do."""


@dataclass(frozen=True)
class Extent:
    """The offsets that a partition holds: `low` is the first, `high` is one past the last. Some may hold nothing."""

    low: int
    high: int

    @property
    def count(self) -> int:
        """How many records there are at most."""
        return max(0, self.high - self.low)


class TopicReader:
    """Reads one topic without joining a group, and commits nothing. Close it, or use it in a `with`.

    Records of aborted or open transactions are not seen.
    """

    def __init__(self, config: Mapping[str, Any], topic: str) -> None:
        self.topic: Final = topic
        overrides = {"enable.partition.eof": True, "isolation.level": "read_committed", "log_level": 2}
        self._consumer: Final = Consumer(dict(config) | overrides)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def extents(self) -> dict[int, Extent]:
        """What each partition holds now. Raises TopicReadError."""
        try:
            found = self._consumer.list_topics(self.topic, timeout=ASK_TIMEOUT_S).topics[self.topic]
            extents = {number: self._extent(number) for number in sorted(found.partitions)}
        except KafkaException as exc:
            raise TopicReadError(_sentence(self.topic, exc.args[0])) from exc
        if found.error is not None:
            raise TopicReadError(_sentence(self.topic, found.error))
        return extents

    def _extent(self, partition: int) -> Extent:
        place = TopicPartition(self.topic, partition)
        low, high = self._consumer.get_watermark_offsets(place, timeout=ASK_TIMEOUT_S, cached=False)
        return Extent(low, high)

    def since(self, moment: datetime) -> dict[int, Extent]:
        """What each partition holds of records that were written at `moment` or later. Raises TopicReadError."""
        extents, milliseconds = self.extents(), int(moment.timestamp() * 1000)
        asked = [TopicPartition(self.topic, number, milliseconds) for number in extents]
        try:
            found = {place.partition: place for place in self._consumer.offsets_for_times(asked, timeout=ASK_TIMEOUT_S)}
        except KafkaException as exc:
            raise TopicReadError(_sentence(self.topic, exc.args[0])) from exc
        # A negative offset means that no record is as young.
        return {
            number: Extent(found[number].offset if found[number].offset >= 0 else extent.high, extent.high)
            for number, extent in extents.items()
        }

    def read(self, extents: Mapping[int, Extent]) -> Iterator[InboundRecord]:
        """Every record within `extents`, in order within each partition. Raises TopicReadError."""
        unread = {number: extent for number, extent in extents.items() if extent.count}
        places = [TopicPartition(self.topic, number, extent.low) for number, extent in unread.items()]
        self._consumer.assign(places)
        self._consumer.resume(places)  # an earlier reading left them paused at its end
        heard_at = monotonic()
        while unread:
            for message in self._consumer.consume(BATCH, 0.5):
                heard_at = monotonic()
                error, number, offset = message.error(), message.partition() or 0, message.offset() or 0
                if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    if error.fatal() or not error.retriable():
                        raise TopicReadError(_sentence(self.topic, error))
                    continue
                extent = unread.get(number)
                if extent is None:
                    continue
                if error is None and offset < extent.high:
                    yield inbound(message)
                    heard_at = monotonic()  # whoever takes the records may take its time
                if error is not None or offset >= extent.high - 1:
                    self._finish(unread, number)
            if unread and monotonic() - heard_at > SILENCE_TIMEOUT_S:
                raise TopicReadError(f"{self.topic} gave nothing for {SILENCE_TIMEOUT_S:g} s: is the broker up?")

    def _finish(self, unread: dict[int, Extent], number: int) -> None:
        del unread[number]
        with suppress(KafkaException):  # an optimisation: what comes all the same is ignored
            self._consumer.pause([TopicPartition(self.topic, number)])


def _sentence(topic: str, error: KafkaError) -> str:
    if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):  # noqa: SLF001 - its public name
        return f"The topic {topic} does not exist: run `thumbnails topics create`."
    unreachable = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT)  # noqa: SLF001
    if error.code() in unreachable:
        return "No Kafka broker answers: start it, or set KAFKA_BOOTSTRAP_SERVERS."
    return f"{topic} cannot be read: {error.str()}."
