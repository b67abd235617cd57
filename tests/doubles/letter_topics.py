"""The dead letter topics of one installation on a real broker: filled by hand, read without what was aborted."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

CODES = ("storage.denied", "source.missing", "internal.error")
FAILED_AT = "2026-11-23T10:00:{:02d}.000Z"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class DeadLetterTopics:
    """`command` runs the command line with a list of arguments; it knows the broker and the prefix."""

    kafka: str
    prefix: str
    command: Callable[[list[str]], Done]

    def __post_init__(self) -> None:
        done = self.command(["topics", "create"])
        assert done.code == 0, done.err

    def fill(self, count: int, **extra: str) -> None:
        """Dead letters 0 to count-1, as the worker would write them; `extra` headers with _ for -."""
        producer = Producer({"bootstrap.servers": self.kafka, "acks": "all"})
        for number in range(count):
            event = {"event_id": f"e{number}", "company_id": 1 + number % 2, "media": {"kind": "video", "id": number}}
            headers: dict[str, str] = {
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "x-original-topic": f"{self.prefix}media.uploaded",
                "error-code": CODES[number % len(CODES)],
                "error-stage": "read",
                "first-failed-at": "2026-11-20T10:00:00.000Z",
                "last-failed-at": FAILED_AT.format(number % 60),
                "attempts": "4",
            } | {name.replace("_", "-"): value for name, value in extra.items()}
            value = json.dumps(event).encode()
            topic = f"{self.prefix}thumbnail.dlq"
            producer.produce(topic, key=f"video:{number}", value=value, headers=list(headers.items()))
            producer.poll(0)
        assert producer.flush(30) == 0

    def run(self, *arguments: str) -> list[dict[str, Any]]:
        """The JSON lines that a dlq command prints."""
        done = self.command(["dlq", *arguments, "--json"])
        assert done.code == 0, done.err + done.out
        return [json.loads(line) for line in done.out.splitlines()]

    def committed(self, topic: str) -> list[Any]:
        """Every record of a topic that is not part of an aborted transaction."""
        consumer = self._consumer()
        places = self._places(consumer, topic)
        consumer.assign(places)
        found, ended = [], 0
        while ended < len(places):
            message = consumer.poll(10)
            assert message is not None
            error = message.error()
            if error is None:
                found.append(message)
            else:
                assert error.code() == KafkaError._PARTITION_EOF
                ended += 1
        consumer.close()
        return found

    def length(self, topic: str) -> int:
        """How many offsets a topic holds: its records, and what ends transactions."""
        consumer = self._consumer()
        offsets = [_extent(consumer, place) for place in self._places(consumer, topic)]
        consumer.close()
        return sum(high - low for low, high in offsets)

    def _consumer(self) -> Consumer:
        settings = {"group.id": "reader", "enable.auto.commit": False, "isolation.level": "read_committed"}
        return Consumer(settings | {"bootstrap.servers": self.kafka, "enable.partition.eof": True})

    def _places(self, consumer: Consumer, topic: str) -> list[TopicPartition]:
        name = f"{self.prefix}{topic}"
        return [TopicPartition(name, number, 0) for number in consumer.list_topics(name).topics[name].partitions]


def _extent(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """Return the first and the next offset; a topic that was just made may have no leader for a moment."""
    give_up_at = time.monotonic() + 10
    while True:
        try:
            return consumer.get_watermark_offsets(place, timeout=10)
        except KafkaException as exc:
            if not exc.args[0].retriable() or time.monotonic() > give_up_at:
                raise
        time.sleep(0.1)
