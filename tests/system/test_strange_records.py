"""49 kinds of records as strangers send them, to a running installation: each is ready, failed, or rejected with all its faults."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from jsonschema import Draft202012Validator

from tests.doubles.strange_records import SHAPES
from tests.system.stack import Stack, a_stack

ROWS = range(1, 100)
REJECTED = "vertexar.media.rejected.v1"
SCHEMA = Path(__file__).parents[2] / "schemas" / "exported" / "media.rejected.v1.schema.json"


def ends_of(stack: Stack) -> dict[str, tuple[str, Any]]:
    """What was announced of each shape, by its correlation id: the type of the event, and the record."""
    found = {}
    for topic in ("thumbnail.ready", "thumbnail.failed"):
        for message in stack.platform.read_topic(topic):
            headers: Any = dict(message.headers() or [])
            found[headers["correlationid"].decode()] = (headers["ce_type"].decode(), message)
    return found


def test_every_shape_that_is_refused_is_on_thumbnail_failed_with_all_its_faults(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    contract = Draft202012Validator(json.loads(SCHEMA.read_text()))
    with a_stack(kafka, postgres_url, topic_prefix, tmp_path, RETRY_DELAYS_S="0.5,1,1.5") as stack:
        platform = stack.platform
        platform.add_rows(ROWS)
        platform.store("acme/uploads/broken.mp4", b"\0\0\0\x18ftypisom" + bytes(300))
        producer = Producer({"bootstrap.servers": kafka})
        keys = {}
        for number, shape in enumerate(SHAPES, start=1):
            event = platform.upload(number, "video").event
            key, value, headers = shape.make(event)
            keys[shape.name] = key
            named: Any = [*headers.items(), ("correlationid", str(number).encode())]
            producer.produce(f"{topic_prefix}media.uploaded", value, key, headers=named)
        assert producer.flush(30) == 0
        stack.wait_for(lambda: len(ends_of(stack)) == len(SHAPES), 120)
        ends = ends_of(stack)
        dead_letters = platform.read_topic("thumbnail.dlq")
        # The rejections are no results: persist passes over them.
        stack.wait_for(lambda: platform.count_rows("ready") >= sum(s.ends == "ready" for s in SHAPES) - 2)
        assert platform.read_topic("thumbnail.ready.dlq") == []
    assert Counter(kind.split(".")[-2] for kind, _ in ends.values()) == {"ready": 15, "failed": 6, "rejected": 28}
    assert len(dead_letters) == 6 + 28  # each has one beside it, no more
    for number, shape in enumerate(SHAPES, start=1):
        kind, message = ends[str(number)]
        event = json.loads(message.value())
        assert event.get("error", {}).get("code", "ready") == shape.ends, shape.name
        assert (kind == REJECTED) == shape.is_refused, shape.name
        if shape.is_refused:
            contract.validate(event)
            assert message.key() == keys[shape.name]
            assert len(event["faults"]) == len(shape.faults)
            for words, fault in zip(shape.faults, event["faults"], strict=True):
                assert words in fault["message"], shape.name
