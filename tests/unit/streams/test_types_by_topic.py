"""The topic decides what a record may cause; a type, in whichever mode it is written, can only agree or be refused."""

import json
from dataclasses import replace
from typing import Any, Final

import pytest

from schemas import headers as h
from schemas.cloudevents import write_event
from schemas.events import (
    MEDIA_UPLOADED_TYPE,
    THUMBNAIL_CLEANUP_TYPE,
    THUMBNAIL_FAILED_TYPE,
    THUMBNAIL_READY_TYPE,
)
from schemas.headers import Headers
from tests.doubles.memory_loops import PersistLoop
from tests.doubles.pipeline import a_flow, an_upload
from tests.doubles.results import failed, ready
from tests.unit.streams.worker.test_handler import (
    NEW,
    Rows,
    a_cleanup_record,
    a_record,
    handle,
    versions_left,
    with_versions,
)

VALUES: Final[dict[str, bytes]] = {
    MEDIA_UPLOADED_TYPE: write_event(an_upload()),
    THUMBNAIL_READY_TYPE: write_event(ready()),
    THUMBNAIL_FAILED_TYPE: write_event(failed()),
    THUMBNAIL_CLEANUP_TYPE: a_cleanup_record(NEW).value or b"",
}
MODES = ["binary", "structured"]
BELIEVED: Final = {
    "p.media.uploaded": (MEDIA_UPLOADED_TYPE, "p.thumbnail.ready"),
    "p.thumbnail.due": (MEDIA_UPLOADED_TYPE, "p.thumbnail.ready"),
    "p.thumbnail.cleanup": (THUMBNAIL_CLEANUP_TYPE, "cleaned"),
}


def written(event_type: str, mode: str) -> tuple[bytes, Headers]:
    """A value of this type, and the headers that say so."""
    value = VALUES[event_type]
    if mode == "binary":
        return value, ((h.CE_TYPE, event_type.encode()),)
    data: dict[str, Any] = json.loads(value)
    envelope = {"specversion": "1.0", "id": data["event_id"], "type": event_type, "source": "/x", "data": data}
    return json.dumps(envelope).encode(), ((h.CONTENT_TYPE, b"application/cloudevents+json"),)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("event_type", VALUES)
@pytest.mark.parametrize("topic", BELIEVED)
def test_the_worker_does_what_the_topic_is_for_and_refuses_every_other_type(
    topic: str, event_type: str, mode: str
) -> None:
    flow = with_versions(a_flow())
    before = versions_left(flow)
    value, headers = written(event_type, mode)
    outcome = handle(flow, a_record(value, headers, topic))
    believed, effect = BELIEVED[topic]
    if event_type != believed:
        effect = "p.thumbnail.dlq"
        assert outcome.error_code == "event.malformed"
    answers = ["p.thumbnail.failed"] if effect == "p.thumbnail.dlq" and topic == "p.media.uploaded" else []
    assert [record.topic for record in outcome.records] == ([] if effect == "cleaned" else [effect, *answers])
    assert (before <= versions_left(flow)) == (effect != "cleaned")


@pytest.mark.parametrize("event_type", VALUES)
def test_without_a_type_a_record_of_the_producers_causes_a_thumbnail_at_most(event_type: str) -> None:
    flow = with_versions(a_flow())
    before = versions_left(flow)
    outcome = handle(flow, a_record(VALUES[event_type]))
    assert {record.topic for record in outcome.records} <= {
        "p.thumbnail.ready",
        "p.thumbnail.dlq",
        "p.thumbnail.failed",
    }
    assert before <= versions_left(flow)


@pytest.mark.parametrize("topic", ["p.thumbnail.due", "p.thumbnail.cleanup"])
def test_only_the_producers_topic_has_tombstones(topic: str) -> None:
    rows = Rows(None)
    outcome = handle(a_flow(), replace(a_record(topic=topic), value=None), rows=rows)
    assert (outcome.error_code, rows.deleted) == ("event.malformed", [])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("event_type", VALUES)
@pytest.mark.parametrize("topic", ["thumbnail.ready", "thumbnail.failed"])
def test_persist_writes_what_the_topic_is_for_and_refuses_every_other_type(
    persist_loop: PersistLoop, topic: str, event_type: str, mode: str
) -> None:
    value, headers = written(event_type, mode)
    persist_loop.broker.put((topic, 0), value, key=b"video:42", headers=[*headers])
    persist_loop.run(1)
    status = topic.removeprefix("thumbnail.")
    is_right = event_type == f"vertexar.thumbnail.{status}.v1"
    assert persist_loop.rows.statuses() == ({42: status} if is_right else {})
    assert len(persist_loop.dead_letters()) == (not is_right)
