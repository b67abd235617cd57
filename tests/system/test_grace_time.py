"""Replaced and deleted pictures stay readable for REPLACED_KEEP_S, also when roles end meanwhile, and then go."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Producer

from tests.system.stack import Stack, a_stack
from tests.system.test_health import get

KEEP_S = 8.0


def pictures(stack: Stack) -> set[str]:
    return {key for key in stack.platform.objects() if "/thumbnails/video/1/" in key}


def waiting(stack: Stack) -> float:
    (retry,) = stack.supervisor.of("retry")
    lines = get(retry, "/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("thumbnail_cleanups_waiting "))


def show(stack: Stack) -> set[str]:
    """Upload a file for the media, and wait until its row shows it; return its pictures."""
    platform, before = stack.platform, pictures(stack)
    upload = platform.upload(1, "video")
    platform.publish([upload])
    event_id = upload.event["event_id"]
    stack.wait_for(lambda: (platform.row("video:1") or {})["thumbnail_event_id"] == event_id)
    return pictures(stack) - before


def wait_until_gone(stack: Stack, gone: set[str], left: set[str]) -> None:
    """Wait; they were all there for the whole grace time since the row changed."""
    assert gone | left <= pictures(stack)
    changed_at = (stack.platform.row("video:1") or {})["thumbnail_updated_at"]
    stack.wait_for(lambda: not gone & pictures(stack))
    assert (datetime.now(UTC) - changed_at).total_seconds() >= KEEP_S
    assert pictures(stack) == left


def test_replaced_and_deleted_pictures_stay_readable_for_a_while_and_then_go(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    with a_stack(kafka, postgres_url, topic_prefix, tmp_path, REPLACED_KEEP_S=str(KEEP_S)) as stack:
        stack.platform.add_rows(range(1, 2))
        first = show(stack)
        second = show(stack)
        assert len(first) == len(second) == 3
        stack.wait_for(lambda: waiting(stack) == 1)
        (retry,) = stack.supervisor.of("retry")
        retry.process.kill()
        retry.process.wait()
        stack.supervisor.restart_ended()
        wait_until_gone(stack, first, second)

        event = {"event_id": str(uuid.uuid4()), "occurred_at": datetime.now(UTC).isoformat(), "company_id": 1}
        value = json.dumps(event | {"media": {"kind": "video", "id": 1, "ar_content_id": 1}})
        producer = Producer({"bootstrap.servers": kafka})
        headers: dict[str, str | bytes | None] = {"ce_type": "vertexar.media.deleted.v1"}
        producer.produce(f"{topic_prefix}media.uploaded", key="video:1", value=value, headers=headers)
        assert producer.flush(30) == 0
        stack.wait_for(lambda: (stack.platform.row("video:1") or {})["thumbnail_url"] is None)
        wait_until_gone(stack, second, set())
