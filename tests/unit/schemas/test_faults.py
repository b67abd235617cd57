"""What is wrong with a value: all of it at once, with what stands there and what may."""

import json
from typing import Any

import pytest

from schemas import headers as h
from schemas.cloudevents import MAX_EVENT_BYTES, read_event
from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
from schemas.faults import MAX_FAULTS, Fault, RefusedEventError, of_the_whole

SOUND: dict[str, Any] = {
    "event_id": "e-1",
    "occurred_at": "2026-11-23T10:00:00Z",
    "company_id": 1,
    "media": {"kind": "video", "id": 42, "ar_content_id": 9, "key": "acme/uploads/a.mp4"},
}


def refused(value: dict[str, Any] | bytes) -> RefusedEventError:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(RefusedEventError) as caught:
        read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, content, ())
    return caught.value


def faults(changes: dict[str, Any]) -> dict[str | None, Fault]:
    return {fault.field: fault for fault in refused(SOUND | changes).faults}


def test_five_mistakes_are_five_faults_in_one_message() -> None:
    wrong = {
        "occurred_at": 1796045899889,
        "company_id": "1",
        "media": {"kind": "VIDEO", "id": 42.5, "ar_content_id": 0},
    }
    error = refused(SOUND | wrong)
    assert [fault.field for fault in error.faults] == [
        "occurred_at",
        "company_id",
        *("media.kind", "media.id", "media.ar_content_id", "media.key"),
    ]
    for fault in error.faults:
        assert fault.message in error.message


@pytest.mark.parametrize(
    ("media", "shown", "allowed"),
    [
        ({"kind": "VIDEO"}, '"VIDEO"', "'video' or 'image'"),
        ({"id": "42"}, '"42"', "an integer, written as 42"),
        ({"id": 2**40}, "1099511627776", "at most 2147483647"),
        ({"id": 0}, "0", "at least 1"),
        ({"key": ""}, '""', "at least 1 characters"),
        ({"key": None}, "null", "text"),
        ({"size_bytes": True}, "true", "an integer"),
    ],
    ids=str,
)
def test_a_fault_says_what_stands_there_and_what_is_allowed(media: dict[str, Any], shown: str, allowed: str) -> None:
    (fault,) = faults({"media": SOUND["media"] | media}).values()
    assert fault.value == shown
    assert allowed in fault.message
    assert shown in fault.message


@pytest.mark.parametrize("text", ["1764450000000", "1764450000", "1764450000.5", "-1764450000", " 1764450000 ", "1e9"])
def test_a_number_in_quotes_is_no_time(text: str) -> None:
    """Seconds or milliseconds? A guess would decide which of two uploads is the newer one."""
    (fault,) = faults({"occurred_at": text}).values()
    assert (fault.field, fault.value) == ("occurred_at", json.dumps(text))
    assert "RFC 3339" in fault.message


def test_a_missing_field_names_the_one_that_was_meant() -> None:
    spelled = {"eventId" if name == "event_id" else name: value for name, value in SOUND.items()}
    (fault,) = refused(spelled).faults
    assert (fault.field, fault.value) == ("event_id", None)
    assert '"eventId" is' in fault.message


def test_neither_the_inside_of_an_object_nor_the_query_of_a_url_is_shown() -> None:
    signed = "https://bucket.example.com/a.mp4?X-Amz-Signature=" + "5" * 5000
    found = faults({"company_id": {"password": "hunter2"}, "media": SOUND["media"] | {"key": signed}})
    assert "hunter2" not in repr(found)
    assert "Signature" not in repr(found)
    assert found["media.key"].value == '"https://bucket.example.com/a.mp4"'


def test_a_long_value_is_shortened_and_its_message_fits_a_header() -> None:
    found = faults({"occurred_at": "ä" * 5000})
    assert len(found["occurred_at"].value or "") <= 80
    many = of_the_whole(refused(b"{}").code, "x")
    error = RefusedEventError(many.code, [Fault(field="a", value=None, message="ä" * 400)] * MAX_FAULTS)
    assert len(error.message.encode()) <= h.MAX_HEADER_BYTES
    assert error.message.endswith("And 19 more.")


def test_what_is_no_object_or_too_large_is_one_fault_of_the_whole() -> None:
    for value in (b"{not json", b"3", b"x" * (MAX_EVENT_BYTES + 1), b"[" * 9000):
        (fault,) = refused(value).faults
        assert (fault.field, fault.message) == (None, refused(value).message)
