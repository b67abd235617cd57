"""`thumbnails follow` reads the way of one upload off the topics of a real broker; the records are those that the roles write."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from schemas import headers as h
from schemas.topics import Topics
from service.cli.main import app
from service.kafka.topics import create_topics
from service.settings import KafkaSettings


class Installation:
    """Topics on a broker, without a role."""

    def __init__(self, kafka: str, prefix: str, folder: Path) -> None:
        self.topics = Topics(prefix)
        self.environment = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "KAFKA_TOPIC_PREFIX": prefix,
            "WORKER_GROUP": f"{prefix}thumbnails",
            "DATABASE_URL": f"sqlite:///{folder / 'x.db'}",
        }
        self._producer = Producer({"bootstrap.servers": kafka})

    def close(self) -> None:
        """Let go of the connections."""
        del self._producer

    def send(self, topic: str, value: dict[str, Any], key: str = "video:1", **headers: object) -> None:
        named: list[tuple[str, str | bytes | None]] = [
            (name.replace("_", "-"), str(value).encode()) for name, value in headers.items()
        ]
        self._producer.produce(topic, json.dumps(value).encode(), key, headers=named)
        assert self._producer.flush(30) == 0

    def upload(self, event_id: str, key: str = "video:1") -> dict[str, Any]:
        media = {"kind": "video", "id": int(key.partition(":")[2]), "ar_content_id": 1, "key": "acme/uploads/clip.mp4"}
        event = {"event_id": event_id, "occurred_at": "2026-11-23T10:00:00Z", "company_id": 1, "media": media}
        self.send(self.topics.uploads, event, key)
        return event

    def ready(self, event_id: str, key: str = "video:1") -> None:
        renditions = [{"name": "small", "url": "http://x/s.webp"}, {"name": "medium", "url": "http://x/m.webp"}]
        storage = {"provider": "local_disk", "fallback": None}
        event = {"event_id": "derived", "upload_event_id": event_id, "renditions": renditions, "storage": storage}
        self.send(self.topics.ready, event | {"thumbnail_url": "http://x/m.webp", "degraded": False}, key)

    def follow(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        done = CliRunner().invoke(app, ["follow", *arguments, "--json"], env=self.environment)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def installation(kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[Installation]:
    create_topics(KafkaSettings(kafka_bootstrap_servers=kafka, kafka_topic_prefix=topic_prefix), lambda _said: None)
    made = Installation(kafka, topic_prefix, tmp_path)
    yield made
    made.close()


def test_what_is_over_is_told_from_the_topics(installation: Installation) -> None:
    installation.upload("e-1")
    installation.upload("e-other", "video:11")
    installation.ready("e-other", "video:11")
    installation.ready("e-1")
    code, steps = installation.follow("e-1", "--timeout", "30")
    assert code == 0
    assert [step["state"] for step in steps[:2]] == ["uploaded", "ready"]
    assert steps[1]["urls"] == {"small": "http://x/s.webp", "medium": "http://x/m.webp"}


def test_of_a_key_the_newest_upload_is_followed(installation: Installation) -> None:
    installation.upload("e-1")
    installation.ready("e-1")
    installation.upload("e-2")
    code, steps = installation.follow("video:1", "--timeout", "0")
    assert code == 1, "the newest has no outcome"
    assert [(step["state"], step.get("event_id")) for step in steps[:1]] == [("uploaded", "e-2")]
    assert steps[-1]["state"] == "queued", "nobody has read it"


def test_retries_are_shown_as_they_come_and_a_dead_letter_ends_it(installation: Installation) -> None:
    event = installation.upload("e-1")
    due = h.format_time(datetime.now(UTC))
    why = {"error_code": "source.missing", "error_message": "It is not there."}

    def fail_later() -> None:
        installation.send(installation.topics.retries[0], event, retry_attempt=1, retry_due_at=due, **why)
        installation.send(installation.topics.due, event, retry_attempt=1, **why)
        installation.send(installation.topics.dlq, event, attempts=2, next_action="Upload it again.", **why)

    later = threading.Timer(4.0, fail_later)
    later.start()
    code, steps = installation.follow("e-1", "--timeout", "60")
    later.join()
    assert code == 1
    by_state = {step["state"]: step for step in steps}
    assert list(dict.fromkeys(step["state"] for step in steps if step["state"] not in ("queued", "working"))) == [
        *("uploaded", "retry", "due", "failed"),
    ]
    assert (by_state["retry"]["retry"], by_state["retry"]["due_at"]) == (1, due)
    assert by_state["retry"]["code"] == "source.missing"
    assert by_state["failed"]["next_action"] == "Upload it again."
    assert "thumbnails dlq show" in by_state["failed"]["said"]


def test_nothing_at_all_ends_with_exit_code_1(installation: Installation) -> None:
    assert installation.follow("video:404", "--timeout", "0") == (1, [])
