"""What the confluent-kafka roles share: reading records, sending with acknowledgement, committing."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from streams.kafka.ports import DeliveryCallback, KafkaConsumer, KafkaProducer
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.tracing import NO_TRACING, Tracing, sending

log = structlog.get_logger(__name__)

SEND_TIMEOUT_S: Final = 45.0
Place = tuple[str, int]
"""A topic and one of its partitions."""

# librdkafka's public constants begin with an underscore.
_PASSING: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._PARTITION_EOF,  # noqa: SLF001
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001
    }
)
_LOST_MEMBERSHIP: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._NO_OFFSET,  # noqa: SLF001
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001
    }
)


def read_records(consumer: KafkaConsumer, limit: int, timeout_s: float) -> list[InboundRecord]:
    """Up to `limit` records; fewer when `timeout_s` is over first.

    A broker out of reach is logged and waited for. Raises KafkaException for what does not pass by itself.
    """
    records = []
    for message in consumer.consume(limit, timeout_s):
        error = message.error()
        if error is None:
            records.append(inbound(message))
        elif error.fatal() or not (error.retriable() or error.code() in _PASSING):
            raise KafkaException(error)
        else:
            log.warning("kafka_out_of_reach", reason=error.str())
    return records


def inbound(message: Message) -> InboundRecord:
    """A confluent-kafka message as a record."""
    _, timestamp_ms = message.timestamp()
    return InboundRecord(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=timestamp_ms,
        key=message.key(),
        value=message.value(),
        headers=tuple(cast(list[tuple[str, bytes | None]], message.headers() or [])),
    )


def send_and_wait(producer: KafkaProducer, records: list[OutboundRecord], tracing: Tracing = NO_TRACING) -> None:
    """Send, and return when all replicas have every record. Raises KafkaException when one was not acknowledged."""
    with sending(tracing, records) as traced:
        _send_all(producer, traced)


def _send_all(producer: KafkaProducer, records: list[OutboundRecord]) -> None:
    failures: list[KafkaError] = []

    def acknowledged(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failures.append(error)

    for record in records:
        _produce(producer, record, acknowledged)
    unsent = producer.flush(SEND_TIMEOUT_S) if records else 0
    if failures:
        raise KafkaException(failures[0])
    if unsent:
        raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))  # noqa: SLF001


def _produce(producer: KafkaProducer, record: OutboundRecord, acknowledged: DeliveryCallback) -> None:
    """Put the record into the producer's queue, waiting for room there."""
    headers = cast(Any, list(record.headers))
    give_up_at = time.monotonic() + SEND_TIMEOUT_S
    while True:
        try:
            producer.produce(
                record.topic, key=record.key, value=record.value, headers=headers, on_delivery=acknowledged
            )
        except BufferError:
            if time.monotonic() > give_up_at:
                raise
            producer.poll(0.1)
        else:
            return


def next_offsets(records: list[InboundRecord]) -> dict[Place, int]:
    """The offset to go on from in each partition, once `records` are done."""
    offsets: dict[Place, int] = {}
    for record in records:
        place = (record.topic, record.partition)
        offsets[place] = max(offsets.get(place, 0), record.offset + 1)
    return offsets


def places_of(partitions: Iterable[TopicPartition]) -> frozenset[Place]:
    """Their topics and numbers."""
    return frozenset((partition.topic, partition.partition) for partition in partitions)


def commit_offsets(consumer: KafkaConsumer, offsets: dict[Place, int]) -> bool:
    """Commit, wait for it, and say whether the group took it.

    A rebalance may have taken partitions away: then their next owner repeats the records.
    """
    if not offsets:
        return True
    try:
        consumer.commit(
            offsets=[TopicPartition(*place, offset) for place, offset in offsets.items()], asynchronous=False
        )
    except KafkaException as exc:
        if exc.args[0].code() not in _LOST_MEMBERSHIP:
            raise
        log.warning("commit_refused", reason=exc.args[0].str())
        return False
    return True


def start_partitions(consumer: KafkaConsumer, partitions: list[TopicPartition]) -> None:
    """Read `partitions` from their committed offsets, as the callback `on_assign`.

    librdkafka 2.16 remembers the pause of a partition that went to another member: it would come back paused.
    """
    consumer.assign(partitions)
    consumer.resume(partitions)


def poll_quietly(consumer: KafkaConsumer, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Keep the group membership alive for a while, with every partition paused."""
    until = monotonic() + seconds
    while (left_s := until - monotonic()) > 0:
        consumer.pause(consumer.assignment())
        for record in read_records(consumer, 1, min(left_s, 0.5)):
            # Fetched before the pause took hold: it must come again.
            consumer.seek(TopicPartition(record.topic, record.partition, record.offset))
