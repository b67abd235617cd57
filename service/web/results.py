"""Follows thumbnail.ready and thumbnail.failed in a thread: the newest first, then each one as it comes, through outages."""

import threading
import time
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from service.web.wall import Link, LinkState
from streams.kafka.client import inbound
from streams.kafka.records import InboundRecord

log = structlog.get_logger(__name__)

PROBE_EVERY_S: Final = 2.0
PROBE_TIMEOUT_S: Final = 2.5
RETRY_S: Final = 0.5
CONSUME_S: Final = 0.2
BATCH: Final = 200
_AWAY: Final = Link(LinkState.AWAY, "No broker answers: start it, or set KAFKA_BOOTSTRAP_SERVERS.")
_CLIENT: Final = {
    "log_level": 0,
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",  # a topic that was made anew begins at its beginning
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
    "reconnect.backoff.max.ms": 1000,  # an operator looks on
    "topic.metadata.refresh.interval.ms": 10_000,
    "fetch.message.max.bytes": 256 * 1024,
    "queued.max.messages.kbytes": 8 * 1024,
}


class Audience(Protocol):
    """Who is told; called from the reader's thread."""

    def records(self, records: list[InboundRecord]) -> None:
        """These came, in order within each partition. After an outage some come again."""

    def link(self, link: Link) -> None:
        """How we stand to Kafka, told again and again."""


@dataclass(frozen=True)
class ResultTopics:
    """librdkafka's settings (a group's name is asked for, but no group is joined), topics, and how many to begin with."""

    consumer: dict[str, Any]
    topics: tuple[str, ...]
    newest: int


class ResultReader:
    """Reads until stop(). Whatever Kafka does, it goes on: after an outage it begins with the newest again."""

    def __init__(self, options: ResultTopics, audience: Audience) -> None:
        self._options: Final = options
        self._audience: Final = audience
        self._ended: Final = threading.Event()
        self._is_cut_off = False
        self._thread: Final = threading.Thread(target=self._run, name="results", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more; returns when the thread has ended."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        consumer = Consumer(self._options.consumer | _CLIENT | {"error_cb": self._on_error})
        try:
            while not self._ended.is_set():
                try:
                    self._follow(consumer)
                except KafkaException as exc:
                    error: KafkaError = exc.args[0]
                    log.info("results_out_of_reach", reason=error.str())
                    self._audience.link(_AWAY if _is_no_answer(error) else Link(LinkState.AWAY, f"{error.str()}."))
                self._ended.wait(RETRY_S)
        finally:
            consumer.close()

    def _on_error(self, error: KafkaError) -> None:
        # Not for a single broker that is down: then the others answer.
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - librdkafka's public constants begin so
            self._is_cut_off = True

    def _follow(self, consumer: Consumer) -> None:
        """Read from the newest on; return when the topics are not what they were. Raises KafkaException."""
        found = self._partitions(consumer)
        if found is None:
            return
        consumer.assign([self._start(consumer, place) for place in found])
        self._is_cut_off = False
        self._audience.link(Link(LinkState.LIVE))
        probe_at = time.monotonic() + PROBE_EVERY_S
        while not self._ended.is_set():
            messages = [message for message in consumer.consume(BATCH, CONSUME_S) if message.error() is None]
            if messages:
                self._audience.records([inbound(message) for message in messages])
            if self._is_cut_off or time.monotonic() >= probe_at:
                if self._partitions(consumer) != found or self._is_cut_off:
                    return
                probe_at = time.monotonic() + PROBE_EVERY_S

    def _partitions(self, consumer: Consumer) -> list[tuple[str, int]] | None:
        """Every topic's partitions; None (and told) when one is missing."""
        cluster = consumer.list_topics(timeout=PROBE_TIMEOUT_S).topics
        missing = [name for name in self._options.topics if name not in cluster or not cluster[name].partitions]
        if missing:
            hint = f"The cluster has no {' and no '.join(missing)}: run `thumbnails topics create`."
            self._audience.link(Link(LinkState.MISSING, hint))
            return None
        return [(name, number) for name in self._options.topics for number in sorted(cluster[name].partitions)]

    def _start(self, consumer: Consumer, place: tuple[str, int]) -> TopicPartition:
        low, high = consumer.get_watermark_offsets(TopicPartition(*place), timeout=PROBE_TIMEOUT_S, cached=False)
        return TopicPartition(*place, max(low, high - self._options.newest))


def _is_no_answer(error: KafkaError) -> bool:
    return error.code() in (
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - librdkafka's public constants begin with an underscore
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
    )
