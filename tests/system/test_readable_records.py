"""Everything on our topics can be read as text by any Kafka tool; shown with kcat."""

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from tests.servers import postgres as postgres_service
from tests.system.stack import Stack, a_stack

TOPICS = [
    "media.uploaded",
    "thumbnail.due",
    "thumbnail.retry.1",
    "thumbnail.retry.2",
    "thumbnail.retry.3",
    "thumbnail.ready",
    "thumbnail.failed",
    "thumbnail.state",
    "thumbnail.deleted",
    "thumbnail.cleanup",
    "thumbnail.dlq",
    "thumbnail.ready.dlq",
]


@pytest.fixture(scope="module")
def stack(kafka: str, postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on which every topic has seen at least one record."""
    if shutil.which("kcat") is None:
        assert not os.environ.get("REQUIRE_REAL_SERVICES"), "kcat is missing: apt-get install kcat"
        pytest.skip("kcat is not installed")
    url = postgres_service.new_database(postgres_server)
    with a_stack(kafka, url, f"t-{uuid.uuid4().hex[:8]}.", tmp_path_factory.mktemp("kcat")) as made:
        platform = made.platform
        platform.add_rows(range(1, 6))
        good, newer = platform.upload(1, "video", age_s=30), platform.upload(1, "video")
        broken, late = platform.upload(2, "video", sound=False), platform.upload(3, "image")
        (platform.storage_root / "vault" / late.event["media"]["key"]).unlink()
        platform.publish([good, newer, broken, late])
        producer = Producer({"bootstrap.servers": kafka})
        producer.produce(f"{platform.topic_prefix}thumbnail.ready", key="video:1", value=b"not a result")
        producer.produce(f"{platform.topic_prefix}media.uploaded", key="video:4", value=b'{"eventId": "e-4"}')
        deleted = {"event_id": "deletion-5", "company_id": 1, "occurred_at": newer.event["occurred_at"]}
        media = {"kind": "video", "id": 5, "ar_content_id": 5}
        producer.produce(
            f"{platform.topic_prefix}media.uploaded",
            key="video:5",
            value=json.dumps(deleted | {"media": media}),
            headers={"ce_type": "vertexar.media.deleted.v1"},
        )
        assert producer.flush(20) == 0
        for topic in TOPICS:
            made.wait_for(lambda topic=topic: platform.read_topic(topic))  # type: ignore[misc]
        yield made


def records_of(stack: Stack, topic: str) -> list[dict[str, str]]:
    name = f"{stack.platform.topic_prefix}{topic}"
    command = ["kcat", "-b", stack.platform.bootstrap_servers, "-C", "-t", name, "-e", "-q", "-J", "-c", "20"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]


@pytest.mark.parametrize("topic", TOPICS)
def test_key_value_and_headers_are_text(stack: Stack, topic: str) -> None:
    records = records_of(stack, topic)
    assert records
    for record in records:
        assert record["key"].startswith(("video:", "ar_content:"))
        assert (record["payload"] or "").isprintable()  # of a media that is gone, thumbnail.state has no value
        headers: list[str] = list(record.get("headers") or [])
        names, texts = headers[::2], headers[1::2]
        assert all(text.isprintable() and len(text.encode()) <= 1024 for text in texts)
        assert len(set(names)) == len(names)


def test_a_dead_letter_explains_itself(stack: Stack) -> None:
    dead_letters = records_of(stack, "thumbnail.dlq")
    reported = [
        dict(zip(dead_letter["headers"][::2], dead_letter["headers"][1::2], strict=True))
        for dead_letter in dead_letters
    ]
    by_code = {headers["error-code"]: headers for headers in reported}
    assert set(by_code) == {"media.corrupt", "source.missing", "event.malformed"}
    assert by_code["source.missing"]["attempts"] == "4"
    for headers in reported:
        assert headers["x-original-topic"].endswith("media.uploaded")
        assert headers["next-action"].endswith(".")
