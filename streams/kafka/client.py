"""Read records, send them and wait for acknowledgements, commit offsets, and explain Kafka's errors."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

import structlog
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as PartitionOffset

from streams.kafka.messages import UnreadableBatchError, headers_of, is_unreadable, unreadable_at
from streams.kafka.ports import DeliveryCallback, KafkaConsumer, KafkaProducer, TopicPartition
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.tracing import NO_TRACING, Tracing, sending

log = structlog.get_logger(__name__)

SEND_TIMEOUT_S: Final = 45.0

# librdkafka's public constants begin with an underscore.
_PASSING: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - it let this role in before: a token may have ended too soon
        KafkaError._PARTITION_EOF,  # noqa: SLF001
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
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


def read_records(
    consumer: KafkaConsumer, limit: int, timeout_s: float, *, after: Sequence[InboundRecord] = ()
) -> list[InboundRecord]:
    """Return up to `limit` records; fewer when `timeout_s` is over first.

    A broker out of reach is logged and waited for. Raises KafkaException for what does not pass by itself.

    `after` are records that the caller read before and has not worked on. Raises UnreadableBatchError only when there is
    none, neither now nor there: else the batch is read again, or a person who goes past it would go past them.
    """
    records: list[InboundRecord] = []
    stopped: set[TopicPartition] = set()
    for message in consumer.consume(limit, timeout_s):
        error = message.error()
        if stopped and (message.topic(), message.partition()) in stopped:
            continue  # librdkafka goes on behind the batch
        if error is None:
            records.append(inbound(message))
        elif is_unreadable(error):
            unreadable = unreadable_at(message, error)
            if not records and not after:
                raise unreadable
            stopped.add(unreadable.partition)
            consumer.seek(PartitionOffset(*unreadable.partition, unreadable.offset))
        elif not is_passing(error):
            raise KafkaException(error)
        else:
            log.warning("kafka_unreachable", reason=error.str())
    return records


def is_passing(error: KafkaError) -> bool:
    """Return whether a consumer gets over this error by itself, once brokers answer."""
    return not error.fatal() and (error.retriable() or error.code() in _PASSING)


def inbound(message: Message) -> InboundRecord:
    """Return a confluent-kafka message as a record."""
    _, timestamp_ms = message.timestamp()
    return InboundRecord(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=timestamp_ms,
        key=message.key(),
        value=message.value(),
        headers=headers_of(message),
    )


class NotAcknowledgedError(KafkaException):
    """A record was refused, or not acknowledged in time; `args[0]` is the client's KafkaError."""


def send_and_wait(
    producer: KafkaProducer,
    records: Iterable[OutboundRecord],
    tracing: Tracing = NO_TRACING,
    *,
    timeout_s: float = SEND_TIMEOUT_S,
) -> None:
    """Send, and return when all in-sync replicas have every record.

    Raises NotAcknowledgedError when one was not acknowledged; others may have been.
    """
    with sending(tracing, records) as traced:
        _send_all(producer, traced, timeout_s)


def _send_all(producer: KafkaProducer, records: list[OutboundRecord], timeout_s: float) -> None:
    failures: list[KafkaError] = []

    def acknowledged(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failures.append(error)

    for record in records:
        _produce(producer, record, acknowledged, timeout_s)
    unsent = producer.flush(timeout_s) if records else 0
    if failures:
        raise NotAcknowledgedError(failures[0])
    if unsent:
        raise NotAcknowledgedError(KafkaError(KafkaError._MSG_TIMED_OUT))  # noqa: SLF001


def _produce(producer: KafkaProducer, record: OutboundRecord, acknowledged: DeliveryCallback, timeout_s: float) -> None:
    """Put the record into the producer's queue, waiting for room there."""
    headers = cast(Any, list(record.headers))
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            producer.produce(
                record.topic, key=record.key, value=record.value, headers=headers, on_delivery=acknowledged
            )
        except BufferError as exc:
            if time.monotonic() > give_up_at:
                raise NotAcknowledgedError(KafkaError(KafkaError._QUEUE_FULL)) from exc  # noqa: SLF001
            producer.poll(0.1)
        except KafkaException as exc:
            raise NotAcknowledgedError(exc.args[0]) from exc
        else:
            return


def next_offsets(records: list[InboundRecord]) -> dict[TopicPartition, int]:
    """Return the offset to go on from in each partition, once `records` are done."""
    offsets: dict[TopicPartition, int] = {}
    for record in records:
        partition = (record.topic, record.partition)
        offsets[partition] = max(offsets.get(partition, 0), record.offset + 1)
    return offsets


def partitions_of(partitions: Iterable[PartitionOffset]) -> frozenset[TopicPartition]:
    """Return their topics and numbers."""
    return frozenset((partition.topic, partition.partition) for partition in partitions)


def assigned_to(consumer: KafkaConsumer) -> frozenset[TopicPartition]:
    """Return the partitions that the consumer reads, paused ones included."""
    return partitions_of(consumer.assignment())


def commit_offsets(consumer: KafkaConsumer, offsets: dict[TopicPartition, int]) -> bool:
    """Commit, wait for it, and return whether the group took it.

    A rebalance may have taken partitions away: then their next owner repeats the records.
    """
    if not offsets:
        return True
    try:
        consumer.commit(
            offsets=[PartitionOffset(*partition, offset) for partition, offset in offsets.items()], asynchronous=False
        )
    except KafkaException as exc:
        if exc.args[0].code() not in _LOST_MEMBERSHIP:
            raise
        log.warning("commit_failed", reason=exc.args[0].str())
        return False
    return True


def pause(consumer: KafkaConsumer, partition: TopicPartition) -> None:
    """Return no more records of the partition."""
    consumer.pause([PartitionOffset(*partition)])


def resume_at(consumer: KafkaConsumer, partition: TopicPartition, offset: int) -> None:
    """Read a paused partition again, from `offset` on."""
    consumer.resume([PartitionOffset(*partition)])
    consumer.seek(PartitionOffset(*partition, offset))


def poll_quietly(consumer: KafkaConsumer, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Keep the group membership alive for a while, with every partition paused."""
    until = monotonic() + seconds
    while (left_s := until - monotonic()) > 0:
        consumer.pause(consumer.assignment())
        for record in read_records(consumer, 1, min(left_s, 0.5)):
            # Fetched before the pause took hold: it must come again.
            consumer.seek(PartitionOffset(record.topic, record.partition, record.offset))


_FENCED_INSTANCE_ID: Final = 82
_SAME_INSTANCE: Final = "same group.instance.id"

# The numbers are Kafka's own (https://kafka.apache.org/protocol#protocol_error_codes); both clients hand them on.
_MEANINGS: Final = {
    KafkaError._DESTROY_BROKER: "The broker that was asked is gone, and another one will answer",  # noqa: SLF001 - public
    3: "A topic is gone, or no broker answers for it: run `thumbnails topics create`, then `thumbnails check`",
    10: "A record is larger than its topic allows: raise the topic's max.message.bytes, see `thumbnails topics list`",
    19: "Fewer replicas are in sync than the topic's min.insync.replicas asks for: bring the other brokers back",
    20: "Fewer replicas are in sync than the topic's min.insync.replicas asks for: bring the other brokers back",
    29: "The cluster's rules forbid it: let this user READ or WRITE the topic",
    30: "The cluster's rules forbid it: let this user READ the consumer group",
    31: "The cluster's rules forbid it: let this user IDEMPOTENT_WRITE on the cluster",
    58: "The cluster does not accept the login: see KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
    _FENCED_INSTANCE_ID: "Another process of this role has the same KAFKA_GROUP_INSTANCE_ID: give each its own",
}
NO_ANSWER: Final = (
    "Kafka does not acknowledge: its brokers are out of reach, or fewer replicas are in sync than min.insync.replicas"
)


def explain_fault(exc: BaseException) -> str:
    """Return what an error of either client means and what to do, as one sentence, then what the client said."""
    if isinstance(exc, UnreadableBatchError):
        return str(exc)
    code = _code(exc)
    said = exc.args[0].str() if isinstance(exc, KafkaException) else f"{type(exc).__name__}: {exc}"
    meaning = _MEANINGS.get(code) if code is not None else None
    if meaning is None and is_timeout(exc):
        meaning = NO_ANSWER
    return f"{meaning} ({said})" if meaning else said


def _code(exc: BaseException) -> int | None:
    """Return Kafka's number of the error, also when it is wrapped."""
    if isinstance(exc, KafkaException):
        is_replaced = _SAME_INSTANCE in exc.args[0].str()  # librdkafka gives no other number than that of fatal errors
        return _FENCED_INSTANCE_ID if is_replaced else int(exc.args[0].code())
    number = getattr(exc, "errno", None)
    if isinstance(number, int) and not isinstance(exc, OSError):
        return number
    return _code(exc.__cause__) if exc.__cause__ is not None else None


def is_timeout(exc: BaseException) -> bool:
    """Return whether the error, of either client, is that no broker has answered in time, also when it is wrapped."""
    if isinstance(exc, KafkaException):
        return exc.args[0].name() in ("_MSG_TIMED_OUT", "_TIMED_OUT", "_TRANSPORT", "_ALL_BROKERS_DOWN")
    if "Timeout" in type(exc).__name__ or "TimedOut" in type(exc).__name__:
        return True
    return exc.__cause__ is not None and is_timeout(exc.__cause__)
