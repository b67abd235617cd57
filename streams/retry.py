"""The retry role: holds each failed record until it is due, then hands it back to the worker, never early."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas import headers as h
from schemas.metrics import Metrics
from schemas.topics import THUMBNAIL_DUE, THUMBNAIL_RETRIES, prefixed
from streams.kafka_io import commit_offsets, next_offsets, read_records, send_and_wait
from streams.records import InboundRecord, OutboundRecord

log = structlog.get_logger(__name__)

POLL_S: Final = 0.25
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
        self._consumer.subscribe(self._topics, on_assign=self._start, on_revoke=self._forget, on_lost=self._forget)
        try:
            while not self._stopping:
                self._resume_due_partitions()
                self._republish(self._read())
                self.last_progress_at = time.monotonic()
        finally:
            self._consumer.close()

    def _read(self) -> list[InboundRecord]:
        """What is there, or comes before the next record is due: a batch that is waited for would be late."""
        soonest_s = min(
            ((due_at - self._now()).total_seconds() for _, due_at in self._waiting.values()), default=POLL_S
        )
        first = read_records(self._consumer, 1, min(max(soonest_s, 0.0), POLL_S))
        return first + read_records(self._consumer, BATCH - 1, 0.0) if first else first

    def _start(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """A partition that comes back may still be paused from before; its committed offset is the place to go on."""
        consumer.assign(partitions)
        consumer.resume(partitions)

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

    def _republish(self, records: list[InboundRecord]) -> None:
        """Hand on the due records of a batch; from the first that is not due on, its partition waits."""
        due: list[InboundRecord] = []
        for record in records:
            place = (record.topic, record.partition)
            if place in self._waiting:
                continue  # fetched before its partition was paused: it is read again from there
            due_at = h.parse_time(h.get_header(record.headers, h.RETRY_DUE_AT))
            if due_at is not None and due_at > self._now():
                self._waiting[place] = (record.offset, due_at)
                self._consumer.pause([TopicPartition(*place)])
                continue
            due.append(record)
            if due_at is not None:
                self._metrics.retry_lateness_seconds.observe((self._now() - due_at).total_seconds())
        if due:
            self._hand_on(due)

    def _hand_on(self, due: list[InboundRecord]) -> None:
        started = time.perf_counter()
        send_and_wait(self._producer, [self._back_to_work(record) for record in due])
        commit_offsets(self._consumer, next_offsets(due))
        self._metrics.task_execution_total.labels("retry", "success").inc(len(due))
        self._metrics.task_execution_duration_seconds.labels("retry").observe(time.perf_counter() - started)
        for record in due:
            number = h.get_header(record.headers, h.RETRY_ATTEMPT)
            log.info("retry_handed_on", retry=number, topic=record.topic, offset=record.offset)

    def _back_to_work(self, record: InboundRecord) -> OutboundRecord:
        headers = h.without_headers(record.headers, (h.RETRY_DUE_AT,))
        return OutboundRecord(self._due_topic, record.key, record.value, headers)
