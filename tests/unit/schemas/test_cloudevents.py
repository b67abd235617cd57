"""Reading events: three modes, and one clear code for whatever else arrives."""

import json
from typing import Any

import pytest

from schemas.cloudevents import context_headers, read_event, write_event
from schemas.errors import ErrorCode, PermanentError
from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
from schemas.headers import Headers
from tests.doubles.pipeline import NOW, an_upload


def an_event(**changes: Any) -> dict[str, Any]:
    media = {"kind": "video", "id": 42, "ar_content_id": 9, "key": "acme/uploads/a.mp4"}
    return {"event_id": "e-1", "occurred_at": "2026-11-23T10:00:00Z", "company_id": 1, "media": media} | changes


def read(value: bytes | None, headers: Headers = ()) -> MediaUploaded:
    return read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, value, headers)


def code_of(value: bytes | None, headers: Headers = ()) -> ErrorCode:
    with pytest.raises(PermanentError) as caught:
        read(value, headers)
    assert len(caught.value.message) < 600
    return caught.value.code


def test_what_is_written_in_binary_mode_is_read_again() -> None:
    upload = an_upload()
    headers = context_headers(
        event_type=MEDIA_UPLOADED_TYPE, event_id=upload.event_id, occurred_at=NOW, subject="video:42"
    )
    assert read(write_event(upload), headers) == upload


def test_bare_json_is_read() -> None:
    assert read(json.dumps(an_event()).encode()).media.record_key == "video:42"


def test_binary_mode_gives_id_and_time_by_headers_where_the_data_have_none() -> None:
    data = an_event()
    del data["event_id"], data["occurred_at"]
    headers = (
        ("ce_type", MEDIA_UPLOADED_TYPE.encode()),
        ("ce_id", b"from-header"),
        ("ce_time", b"2026-11-23T11:00:00Z"),
    )
    upload = read(json.dumps(data).encode(), headers)
    assert (upload.event_id, upload.occurred_at.hour) == ("from-header", 11)


@pytest.mark.parametrize(
    "content_type", [b"application/cloudevents+json", b"Application/CloudEvents+JSON; charset=UTF-8", b""]
)
def test_structured_mode_is_read(content_type: bytes) -> None:
    data = an_event()
    del data["event_id"], data["occurred_at"]
    envelope = {"specversion": "1.0", "id": "s-1", "source": "/x", "type": MEDIA_UPLOADED_TYPE}
    value = json.dumps(envelope | {"time": "2026-11-23T10:00:00Z", "data": data}).encode()
    headers = (("content-type", content_type),) if content_type else ()
    assert read(value, headers).event_id == "s-1"


def test_unknown_fields_are_ignored() -> None:
    assert read(json.dumps(an_event(colour="blue")).encode()).company_id == 1


HOSTILE = {
    "not JSON": b"hello",
    "a number": b"7",
    "a list": b"[]",
    "a null value": None,
    "empty": b"",
    "invalid UTF-8": b'{"event_id": "\xff\xfe"}',
    "a lone surrogate": b'{"event_id": "\\ud800"}',
    "deep nesting": b"[" * 100_000,
    "deep objects": b'{"a":' * 20_000,
    "a wrong type": json.dumps(an_event(company_id="1")).encode(),
    "a missing field": b'{"event_id": "x"}',
    "not a number": b'{"frame_time_s": NaN}',
    "a NaN in the right place": json.dumps(an_event(frame_time_s=float("nan"))).encode(),
    "an endless time": json.dumps(an_event(frame_time_s=float("inf"))).encode(),
    "a negative id": json.dumps(an_event(company_id=-1)).encode(),
    "a huge number": json.dumps(an_event(company_id=10**400)).encode(),
    "a time without a zone": json.dumps(an_event(occurred_at="2026-11-23T10:00:00")).encode(),
    "a time before all time": json.dumps(an_event(occurred_at="0001-01-01T00:00:00+23:00")).encode(),
    "an empty key": json.dumps(an_event(media={"kind": "video", "id": 1, "ar_content_id": 1, "key": ""})).encode(),
    "an unknown kind": json.dumps(an_event(media={"kind": "song", "id": 1, "ar_content_id": 1, "key": "k"})).encode(),
    "an id with spaces": json.dumps(an_event(event_id="a b")).encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_have_one_clear_code(name: str) -> None:
    assert code_of(HOSTILE[name]) is ErrorCode.EVENT_MALFORMED


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_have_it_in_binary_mode_too(name: str) -> None:
    headers = (("ce_type", MEDIA_UPLOADED_TYPE.encode()), ("ce_id", b"\xff\xfe"), ("ce_time", b"yesterday"))
    assert code_of(HOSTILE[name], headers) is ErrorCode.EVENT_MALFORMED


def test_ten_megabytes_are_not_even_parsed() -> None:
    assert code_of(b"[" + b"1," * 5_000_000 + b"1]") is ErrorCode.EVENT_TOO_LARGE


def test_an_unknown_major_version_is_told_apart() -> None:
    headers = (("ce_type", b"vertexar.media.uploaded.v2"),)
    assert code_of(json.dumps(an_event()).encode(), headers) is ErrorCode.EVENT_UNSUPPORTED_VERSION


@pytest.mark.parametrize("event_type", [b"vertexar.thumbnail.ready.v1", b"", b"\xff", b"x" * 10_000])
def test_another_events_type_is_malformed(event_type: bytes) -> None:
    assert code_of(json.dumps(an_event()).encode(), (("ce_type", event_type),)) is ErrorCode.EVENT_MALFORMED
