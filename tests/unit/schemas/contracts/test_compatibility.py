"""Every kind of break is planted once in the real contract, and found; every permitted change is let through."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from schemas.contracts.compatibility import Documents, breaks
from schemas.contracts.files import documents, released

UPLOADED, READY = "media.uploaded.v1.schema.json", "thumbnail.ready.v1.schema.json"
CLEANUP, ASYNCAPI = "thumbnail.cleanup.v1.schema.json", "asyncapi.json"
Change = Callable[[Documents], Any]


@pytest.fixture(scope="module")
def contract() -> Documents:
    return documents()


def changed(contract: Documents, change: Change) -> Documents:
    copied = copy.deepcopy(contract)
    change(copied)
    return copied


def fields(documents: Documents, file: str, model: str | None = None) -> dict[str, Any]:
    schema = documents[file] if model is None else documents[file]["$defs"][model]
    found: dict[str, Any] = schema["properties"]
    return found


def message(documents: Documents, name: str) -> dict[str, Any]:
    found: dict[str, Any] = documents[ASYNCAPI]["components"]["messages"][name]
    return found


def topic(documents: Documents, name: str) -> dict[str, Any]:
    found: dict[str, Any] = documents[ASYNCAPI]["channels"][name]["bindings"]["kafka"]["topicConfiguration"]
    return found


WHAT_PRODUCERS_NOTICE: dict[str, tuple[Change, str]] = {
    "a field is removed": (lambda now: fields(now, UPLOADED).pop("frame_time_s"), "frame_time_s was removed"),
    "a nested field is removed": (
        lambda now: fields(now, UPLOADED, "Media").pop("version"),
        "media.version was removed",
    ),
    "a field is retyped": (
        lambda now: fields(now, UPLOADED)["company_id"].update(type="string"),
        "company_id may be integer",
    ),
    "null is not taken any more": (
        lambda now: fields(now, UPLOADED).update(frame_time_s={"type": "number", "minimum": 0}),
        "frame_time_s may be null",
    ),
    "a number must be whole": (
        lambda now: fields(now, UPLOADED).update(frame_time_s={"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        "frame_time_s may be number",
    ),
    "a word is taken out of a list": (
        lambda now: now[UPLOADED]["$defs"]["MediaKind"]["enum"].remove("image"),
        "media.kind may be 'image'",
    ),
    "an optional field becomes required": (
        lambda now: now[UPLOADED]["$defs"]["Media"]["required"].append("content_type"),
        "media.content_type is required by the reader",
    ),
    "a new field is required": (
        lambda now: now[UPLOADED]["required"].append("priority"),
        "priority is required by the reader",
    ),
    "a text must be shorter": (
        lambda now: fields(now, UPLOADED, "Media")["key"].update(maxLength=1024),
        "media.key: maxLength is 1024",
    ),
    "a number must be larger": (lambda now: fields(now, UPLOADED)["company_id"].update(minimum=2), "minimum is 2"),
    "a text must match": (
        lambda now: fields(now, UPLOADED, "Media")["key"].update(pattern="^[a-z/]+$"),
        "media.key: pattern",
    ),
    "a text must be a date": (
        lambda now: fields(now, UPLOADED, "Media")["key"].update(format="uri"),
        "media.key: format is 'uri'",
    ),
    "unknown fields are refused": (
        lambda now: now[UPLOADED].update(additionalProperties=False),
        "the value may have more fields",
    ),
    "a rule that cannot be compared": (lambda now: now[UPLOADED].update(minProperties=9), "minProperties cannot be"),
    "a header is required": (
        lambda now: message(now, "MediaUploaded")["headers"]["required"].append("ce_id"),
        "ce_id is required by the reader",
    ),
    "the key has another form": (
        lambda now: message(now, "MediaUploaded")["bindings"]["kafka"]["key"].update(pattern="^[0-9]+$"),
        "MediaUploaded, key: the value: pattern",
    ),
}

WHAT_CONSUMERS_NOTICE: dict[str, tuple[Change, str]] = {
    "a field is removed": (lambda now: fields(now, READY).pop("placeholder"), "placeholder was removed"),
    "a field of a list is removed": (
        lambda now: fields(now, READY, "RenditionInfo").pop("sha256"),
        "renditions[].sha256 was removed",
    ),
    "a field is retyped": (
        lambda now: fields(now, READY, "RenditionInfo")["bytes"].update(type="string"),
        "renditions[].bytes may be string",
    ),
    "a whole number may have parts": (
        lambda now: fields(now, READY)["attempt"].update(type="number"),
        "attempt may be number",
    ),
    "a field may be null": (
        lambda now: fields(now, READY).update(thumbnail_url={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        "thumbnail_url may be null",
    ),
    "a field is not always there": (
        lambda now: now[READY]["required"].remove("thumbnail_url"),
        "thumbnail_url is required by the reader",
    ),
    "a closed list has a new word": (
        lambda now: now[READY]["$defs"]["MediaKind"]["enum"].append("audio"),
        "media.kind may be 'audio'",
    ),
    "a text may be longer": (
        lambda now: fields(now, READY)["event_id"].update(maxLength=256),
        "event_id: maxLength is 128 for the reader and 256",
    ),
    "a limit is lifted": (
        lambda now: fields(now, READY)["company_id"].pop("maximum"),
        "company_id: maximum is 2147483647 for the reader and no limit",
    ),
    "a time is written in another form": (
        lambda now: fields(now, READY)["produced_at"].pop("format"),
        "produced_at: format",
    ),
    "an event is removed": (lambda now: now.pop(READY), f"{READY}: the event was removed"),
    "a topic is removed": (
        lambda now: now[ASYNCAPI]["channels"].pop("thumbnail.ready"),
        "thumbnail.ready: the topic was removed or renamed",
    ),
    "a topic is renamed": (
        lambda now: now[ASYNCAPI]["channels"]["thumbnail.ready"].update(address="thumbnails.ready"),
        "thumbnail.ready: the topic was removed or renamed",
    ),
    "a topic does not carry the event": (
        lambda now: now[ASYNCAPI]["channels"]["thumbnail.ready"]["messages"].clear(),
        "thumbnail.ready: carries no ThumbnailReady any more",
    ),
    "records are kept for a shorter time": (
        lambda now: topic(now, "thumbnail.ready").update({"retention.ms": 3_600_000}),
        "thumbnail.ready: records are kept for a shorter time",
    ),
    "what was kept for ever is not": (
        lambda now: topic(now, "thumbnail.dlq.replays").update({"retention.ms": 3_600_000}),
        "thumbnail.dlq.replays: records are kept for a shorter time",
    ),
    "a topic is compacted": (
        lambda now: topic(now, "thumbnail.ready").update({"cleanup.policy": ["compact"]}),
        "thumbnail.ready: cleanup.policy",
    ),
    "a header is removed": (
        lambda now: message(now, "ThumbnailReady")["headers"]["properties"].pop("traceparent"),
        "ThumbnailReady, headers: traceparent was removed",
    ),
    "a header is not always there": (
        lambda now: message(now, "DeadLetter")["headers"]["required"].remove("error-code"),
        "DeadLetter, headers: error-code is required",
    ),
    "a message is removed": (
        lambda now: now[ASYNCAPI]["components"]["messages"].pop("DeadLetter"),
        "DeadLetter: the message was removed",
    ),
}


@pytest.mark.parametrize("what", WHAT_PRODUCERS_NOTICE)
def test_a_break_for_producers_is_found(contract: Documents, what: str) -> None:
    change, sentence = WHAT_PRODUCERS_NOTICE[what]
    found = breaks(contract, changed(contract, change))
    assert found
    assert any(sentence in problem for problem in found), found


@pytest.mark.parametrize("what", WHAT_CONSUMERS_NOTICE)
def test_a_break_for_consumers_is_found(contract: Documents, what: str) -> None:
    change, sentence = WHAT_CONSUMERS_NOTICE[what]
    found = breaks(contract, changed(contract, change))
    assert found
    assert any(sentence in problem for problem in found), found


def test_a_new_required_field_would_make_our_own_older_records_unreadable(contract: Documents) -> None:
    readers = {CLEANUP: changed(contract, lambda now: now[CLEANUP]["required"].append("asked_by"))[CLEANUP]}
    found = breaks(contract, contract, readers)
    assert [problem for problem in found if problem.startswith(CLEANUP)] == [
        f"{CLEANUP}: of our own older records, asked_by is required by the reader, and not always written"
    ]


def every(model: dict[str, Any], name: str) -> None:
    model["properties"][name] = {"type": "string"}
    model["required"].append(name)


PERMITTED: dict[str, Change] = {
    "producers may send a new optional field": lambda now: fields(now, UPLOADED).update(priority={"type": "integer"}),
    "producers may leave a field out": lambda now: now[UPLOADED]["$defs"]["Media"]["required"].remove("ar_content_id"),
    "producers may send another word": lambda now: now[UPLOADED]["$defs"]["MediaKind"]["enum"].append("audio"),
    "producers may send longer keys": lambda now: fields(now, UPLOADED, "Media")["key"].update(maxLength=8192),
    "producers may send parts of a number": lambda now: fields(now, UPLOADED)["company_id"].update(type="number"),
    "producers may send any word": lambda now: now[UPLOADED]["$defs"].update(MediaKind={"type": "string"}),
    "we write a new field": lambda now: every(now[READY], "palette"),
    "we write a new field of a list": lambda now: every(now[READY]["$defs"]["RenditionInfo"], "etag"),
    "we write shorter texts": lambda now: fields(now, READY)["event_id"].update(maxLength=64),
    "we write fewer words": lambda now: now[CLEANUP]["$defs"]["CleanupReason"]["enum"].remove("stale"),
    "we write a new header": lambda now: message(now, "ThumbnailReady")["headers"]["properties"].update(
        {"ce_dataschema": {"type": "string"}}
    ),
    "records are kept longer": lambda now: topic(now, "thumbnail.ready").update({"retention.ms": 10**12}),
    "there is a new topic": lambda now: now[ASYNCAPI]["channels"].update(
        more=now[ASYNCAPI]["channels"]["media.uploaded"]
    ),
    "words are explained better": lambda now: now[READY].update(title="Ready", description="…", examples=[]),
}


@pytest.mark.parametrize("what", PERMITTED)
def test_a_permitted_change_is_let_through(contract: Documents, what: str) -> None:
    assert breaks(contract, changed(contract, PERMITTED[what])) == []


@pytest.mark.parametrize("version", released())
def test_the_present_contract_breaks_no_release(contract: Documents, version: str) -> None:
    assert breaks(released()[version], contract) == []
