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
from schemas.topics import THUMBNAIL_RETRIES, prefixed
from streams.kafka_io import commit_offsets, next_offsets, read_records, send_and_wait
from streams.records import InboundRecord
from streams.retry_hops import next_hop

log = structlog.get_logger(__name__)

POLL_S: Final = 0.25
BATCH: Final = 200


@dataclass(frozen=True)
class RetryOptions:
    """How the role consumes and produces: librdkafka's settings; and the delay of each retry topic in seconds."""

    consumer: dict[str, Any]
    producer: dict[str, Any]
    topic_prefix: str = ""
    delays_s: tuple[float, ...] = (60.0, 120.0, 240.0)


class RetryRole:
    """Pauses a partition until its first record is due, and keeps polling, so that group membership lives.

    Side effects, in this order:
    1. The record is produced to thumbnail.due and acknowledged by all replicas. Dying here sends it twice: the worker's
       results are the same both times. What must wait for longer than a tier does is produced to a retry topic again.
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
        self._prefix: Final = options.topic_prefix
        self._delays_s: Final = options.delays_s
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
                self._republish(read_records(self._consumer, BATCH, POLL_S))
                self.last_progress_at = time.monotonic()
        finally:
            self._consumer.close()

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
        if due:
            self._hand_on(due)

    def _hand_on(self, due: list[InboundRecord]) -> None:
        started, now = time.perf_counter(), self._now()
        hops = [next_hop(record, self._delays_s, self._prefix, now) for record in due]
        send_and_wait(self._producer, [hop.record for hop in hops])
        commit_offsets(self._consumer, next_offsets(due))
        self._metrics.task_execution_total.labels("retry", "success").inc(len(due))
        self._metrics.task_execution_duration_seconds.labels("retry").observe(time.perf_counter() - started)
        for record, hop in zip(due, hops, strict=True):
            number = h.get_header(record.headers, h.RETRY_ATTEMPT)
            if hop.late_s is not None:
                self._metrics.retry_lateness_seconds.observe(hop.late_s)
            log.info("retry_handed_on", retry=number, to=hop.record.topic, topic=record.topic, offset=record.offset)
