"""Publishes uploads at a steady pace before, during and after a fault, and notes which the cluster acknowledged."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from tests.system.platform import Platform, Upload

EVERY_S: Final = 0.25
LATE_EVERY: Final = 5
"""The file of each fifth upload comes late, so that it travels through the retry topics."""
LATE_S: Final = 1.5
_DELIVERY_TIMEOUT_MS: Final = 20_000


@dataclass
class Sent:
    """One upload. Times are of the monotonic clock; None as long as it has not happened."""

    media_id: int
    upload: Upload
    published_at: float
    acknowledged_at: float | None = None
    refused: str | None = None
    ready_at: float | None = None


class Publisher(threading.Thread):
    """Publishes until end(). Each upload is of a photograph of its own, from `first_id` on."""

    def __init__(
        self, platform: Platform, first_id: int, note: Callable[[list[Sent]], object], room: int = 1200
    ) -> None:
        """Rows for `room` photographs are added at once. `note` looks at those that are sent after each of them."""
        super().__init__(name="publisher", daemon=True)
        self.sent: Final[list[Sent]] = []
        self._partitions: tuple[int, ...] = ()
        self._platform: Final = platform
        self._first_id: Final = first_id
        self._room: Final = room
        self._note: Final = note
        self._ended: Final = threading.Event()
        self._late: Final[list[tuple[float, Path, Path]]] = []
        platform.add_rows(range(first_id, first_id + room))
        self._producer: Final = Producer(
            {
                "bootstrap.servers": platform.bootstrap_servers,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "delivery.timeout.ms": _DELIVERY_TIMEOUT_MS,
                "topic.metadata.refresh.interval.ms": 2000,
                "log_level": 0,
            }
        )

    def use_partitions(self, partitions: tuple[int, ...]) -> None:
        """Publish to these in turn from now on, and not by the uploads' keys."""
        topic = f"{self._platform.topic_prefix}media.uploaded"
        deadline = time.monotonic() + 30
        while not set(partitions) <= self._producer.list_topics(topic, timeout=10).topics[topic].partitions.keys():
            assert time.monotonic() < deadline, "the brokers do not list the new partitions"
            time.sleep(0.1)
        self._partitions = partitions

    def run(self) -> None:
        """Publish one upload after the other."""
        while not self._ended.wait(EVERY_S) and len(self.sent) < self._room:
            self._publish_next()
            self._producer.poll(0)
            self._deliver_late_files(time.monotonic())
            self._note(self.sent)

    def end(self) -> None:
        """Publish no more, and wait for what is under way."""
        self._ended.set()
        self.join()
        self._producer.flush(_DELIVERY_TIMEOUT_MS / 1000 + 5)
        self._deliver_late_files(float("inf"))

    def _publish_next(self) -> None:
        number = len(self.sent)
        media_id = self._first_id + number
        upload = self._platform.upload(media_id, "image")
        if number % LATE_EVERY == LATE_EVERY - 1:
            path = self._platform.storage_root / "vault" / upload.event["media"]["key"]
            hidden = path.with_name(f"{path.name}.late")
            path.rename(hidden)
            self._late.append((time.monotonic() + LATE_S, hidden, path))
        sent = Sent(media_id, upload, time.monotonic())
        self.sent.append(sent)

        def delivered(error: Any, _message: Any) -> None:
            if error is None:
                sent.acknowledged_at = time.monotonic()
            else:
                sent.refused = error.str()

        partition = self._partitions[number % len(self._partitions)] if self._partitions else -1
        topic, value = f"{self._platform.topic_prefix}media.uploaded", json.dumps(upload.event)
        try:
            self._producer.produce(topic, value, upload.record_key, partition=partition, on_delivery=delivered)
        except KafkaException as exc:  # the topic is gone
            sent.refused = exc.args[0].str()

    def _deliver_late_files(self, now: float) -> None:
        while self._late and self._late[0][0] <= now:
            _, hidden, path = self._late.pop(0)
            hidden.rename(path)
