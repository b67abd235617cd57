"""The retry role: holds each failed record until it is due, then hands it back to the worker, never early."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas import headers as h
from schemas.metrics import Metrics
from schemas.topics import THUMBNAIL_DUE, THUMBNAIL_RETRIES, prefixed
from streams.records import InboundRecord

log = structlog.get_logger(__name__)

POLL_S: Final = 0.25
SEND_TIMEOUT_S: Final = 45.0
BATCH: Final = 200


@dataclass(frozen=True)
class RetryOptions:
    """How the role consumes and produces: librdkafka's settings, and how often progress is committed."""

    consumer: dict[str, Any]
    producer: dict[str, Any]
    topic_prefix: str = ""


class RetryRole:
    """Pauses a partition until its first record is due, and keeps polling, so that group membership lives.

    Side effects, in this order:
    1. The record is produced to thumbnail.due and acknowledged by all replicas. Dying here sends it twice: the worker's
       results are the same both times.
    2. Its offset is committed. Dying before the first leaves the record where it is.
    """

    def __init__(
        self,
        options: RetryOptions,
        metrics: Metrics,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._topics: Final = [prefixed(topic, options.topic_prefix) for topic in THUMBNAIL_RETRIES]
        self._due_topic: Final = prefixed(THUMBNAIL_DUE, options.topic_prefix)
        self._consumer: Final = Consumer(options.consumer)
        self._producer: Final = Producer(options.producer)
        self._metrics: Final = metrics
        self._now: Final = now
        self._waiting: dict[tuple[str, int], tuple[int, datetime]] = {}
        """Paused partitions: the offset to go on from, and when its record is due."""
        self._stopping = False
        self.last_progress_at = time.monotonic()

    def stop(self) -> None:
        """Ask run() to end after the batch that it is working on; safe in a signal handler."""
        self._stopping = True

    def run(self) -> None:
        """Work until stop(). Raises KafkaException when records cannot be consumed, handed on or committed."""
        self._consumer.subscribe(self._topics, on_revoke=self._forget, on_lost=self._forget)
        try:
            while not self._stopping:
                self._resume_due_partitions()
                self._republish(self._consumer.consume(BATCH, POLL_S))
                self.last_progress_at = time.monotonic()
        finally:
            self._consumer.close()

    @property
    def waiting_partitions(self) -> int:
        """How many partitions are paused until their first record is due."""
        return len(self._waiting)

    def _forget(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._waiting.pop((partition.topic, partition.partition), None)

    def _resume_due_partitions(self) -> None:
        now = self._now()
        for place, (offset, due_at) in list(self._waiting.items()):
            if due_at <= now:
                del self._waiting[place]
                self._consumer.resume([TopicPartition(*place)])
                self._consumer.seek(TopicPartition(*place, offset))

    def _republish(self, messages: list[Message]) -> None:
        """Hand on the due records of a batch; from the first that is not due on, its partition waits."""
        failures: list[KafkaError] = []
        done: dict[tuple[str, int], int] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                _raise_if_fatal(error)
                continue
            record = inbound(message)
            place = (record.topic, record.partition)
            if place in self._waiting:
                continue  # fetched before its partition was paused: it is read again from there
            due_at = h.parse_time(h.get_header(record.headers, h.RETRY_DUE_AT))
            if due_at is not None and due_at > self._now():
                self._wait(place, record.offset, due_at)
                continue
            self._hand_on(record, due_at, failures)
            done[place] = record.offset + 1
        if done:
            self._settle(done, failures)

    def _wait(self, place: tuple[str, int], offset: int, due_at: datetime) -> None:
        self._waiting[place] = (offset, due_at)
        self._consumer.pause([TopicPartition(*place)])

    def _hand_on(self, record: InboundRecord, due_at: datetime | None, failures: list[KafkaError]) -> None:
        def acknowledged(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failures.append(error)

        headers: list[tuple[str, str | bytes | None]] = list(h.without_headers(record.headers, (h.RETRY_DUE_AT,)))
        self._producer.produce(
            self._due_topic, key=record.key, value=record.value, headers=headers, on_delivery=acknowledged
        )
        if due_at is not None:
            self._metrics.retry_lateness_seconds.observe(max(0.0, (self._now() - due_at).total_seconds()))
        self._metrics.task_execution_total.labels("retry", "success").inc()
        log.info("retry_is_due", retry=h.get_header(record.headers, h.RETRY_ATTEMPT), topic=record.topic)

    def _settle(self, done: dict[tuple[str, int], int], failures: list[KafkaError]) -> None:
        unsent = self._producer.flush(SEND_TIMEOUT_S)
        if unsent or failures:
            self._metrics.task_execution_total.labels("retry", "failed").inc()
            raise KafkaException(failures[0] if failures else KafkaError(KafkaError._MSG_TIMED_OUT))  # noqa: SLF001 - librdkafka's public constant
        offsets = [TopicPartition(*place, offset) for place, offset in done.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as exc:
            # A rebalance took the partitions away: their next owner sends these records once more, which is harmless.
            if exc.args[0].code() not in _LOST_MEMBERSHIP:
                raise
            log.warning("retry_commit_refused", reason=exc.args[0].str())


_LOST_MEMBERSHIP: Final = frozenset(
    {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS}
)


def _raise_if_fatal(error: KafkaError) -> None:
    if error.fatal() or not (error.retriable() or error.code() in _PASSING):
        raise KafkaException(error)
    log.warning("kafka_not_reachable", reason=error.str())


_PASSING: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - librdkafka's public constants
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._PARTITION_EOF,  # noqa: SLF001
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001
    }
)


def inbound(message: Message) -> InboundRecord:
    """A confluent-kafka message as a record."""
    _, timestamp_ms = message.timestamp()
    headers = cast(list[tuple[str, bytes | None]], message.headers() or [])
    return InboundRecord(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=timestamp_ms,
        key=message.key(),
        value=message.value(),
        headers=tuple((name, value or b"") for name, value in headers),
    )
