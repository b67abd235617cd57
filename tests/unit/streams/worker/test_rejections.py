"""A record that cannot be taken is answered on thumbnail.failed: as much as could be read, and all that is wrong."""

import json
from dataclasses import replace
from typing import Any

import pytest

from schemas import headers as h
from schemas.cloudevents import read_event
from schemas.errors import NEXT_ACTIONS, ErrorCode
from schemas.rejected import MEDIA_REJECTED_TYPE, MediaRejected
from streams.kafka.records import InboundRecord, OutboundRecord
from tests.doubles.pipeline import a_flow
from tests.unit.schemas.test_faults import SOUND
from tests.unit.streams.worker.test_handler import TRACE, a_record, handle


def rejected_record(record: InboundRecord) -> OutboundRecord:
    dead_letter, answer = handle(a_flow(), record).records
    assert (dead_letter.topic, answer.topic) == ("p.thumbnail.dlq", "p.thumbnail.failed")
    return answer


def rejected(record: InboundRecord) -> MediaRejected:
    answer = rejected_record(record)
    return read_event(MediaRejected, MEDIA_REJECTED_TYPE, answer.value, answer.headers)


def wrong(**changes: Any) -> InboundRecord:
    return a_record(json.dumps(SOUND | changes).encode())


def test_what_could_be_read_is_said_and_the_rest_is_null() -> None:
    found = rejected(wrong(company_id="1", media=SOUND["media"] | {"kind": "VIDEO", "id": 2**40}))
    assert (found.upload_event_id, found.company_id) == ("e-1", None)
    media = found.media
    assert (media.kind, media.id, media.ar_content_id, media.key) == (None, None, 9, "acme/uploads/a.mp4")
    assert [fault.field for fault in found.faults] == ["company_id", "media.kind", "media.id"]
    assert (found.error.code, found.error.next_action) == (
        "event.malformed",
        NEXT_ACTIONS[ErrorCode.EVENT_MALFORMED],
    )
    assert (found.record.topic, found.record.partition, found.record.offset) == ("p.media.uploaded", 2, 77)
    assert found.dead_letter.topic == "p.thumbnail.dlq"


@pytest.mark.parametrize("key", [None, b"", b"acme-42", b"\xff\xfe", b'"video:42"'])
def test_it_has_the_key_that_the_record_had(key: bytes | None) -> None:
    assert rejected_record(replace(wrong(company_id=None), key=key)).key == key


def test_a_key_that_is_too_long_is_cut() -> None:
    assert rejected_record(replace(wrong(company_id=None), key=b"k" * 500_000)).key == b"k" * 1024


@pytest.mark.parametrize("kind", [["video"], {"a": 1}, 3, None, "audio"])
def test_a_kind_of_any_type_is_no_obstacle(kind: object) -> None:
    assert rejected(wrong(media=SOUND["media"] | {"kind": kind})).media.kind is None


def test_the_id_of_the_context_counts_where_the_data_have_none() -> None:
    data = {name: value for name, value in SOUND.items() if name not in ("event_id", "company_id")}
    binary = replace(a_record(json.dumps(data).encode()), headers=(("ce_id", b"from-header"),))
    assert rejected(binary).upload_event_id == "from-header"
    envelope = {"specversion": "1.0", "id": "of-envelope", "type": "vertexar.media.uploaded.v1", "source": "/x"}
    structured = a_record(json.dumps(envelope | {"time": "2026-11-23T10:00:00Z", "data": data}).encode())
    found = rejected(structured)
    assert (found.upload_event_id, [fault.field for fault in found.faults]) == ("of-envelope", ["company_id"])


def test_its_headers_link_it_to_what_the_producer_sent() -> None:
    headers = (("correlationid", b"case-7"), (h.TRACEPARENT, TRACE.encode()))
    answer = rejected_record(replace(wrong(company_id=None), headers=headers))
    assert h.get_header(answer.headers, h.CORRELATION_ID) == "case-7"
    assert h.get_header(answer.headers, h.CAUSATION_ID) == "e-1"
    assert h.get_header(answer.headers, h.TRACEPARENT) == TRACE
    unnamed = rejected_record(replace(a_record(b"hello"), key=None))
    assert h.get_header(unnamed.headers, h.CE_SUBJECT) == "p.media.uploaded/2/77"


def test_a_redelivery_has_the_same_id_and_another_record_has_not() -> None:
    record = wrong(company_id=None)
    again, other = rejected(record).event_id, rejected(replace(record, offset=78)).event_id
    assert rejected(record).event_id == again != other


def test_one_that_was_replayed_names_the_producers_record() -> None:
    origin = ((h.ORIGINAL_TOPIC, b"p.media.uploaded"), (h.ORIGINAL_PARTITION, b"4"), (h.ORIGINAL_OFFSET, b"1234"))
    replayed = replace(wrong(company_id=None), topic="p.thumbnail.due", headers=(*origin, (h.REPLAYED_FROM, b"d/0/1")))
    place = rejected(replayed).record
    assert (place.topic, place.partition, place.offset) == ("p.media.uploaded", 4, 1234)
    assert rejected(replayed).event_id != rejected(wrong(company_id=None)).event_id


@pytest.mark.parametrize("origin", [b"p.thumbnail.cleanup", None])
def test_what_no_producer_sent_is_a_dead_letter_alone(origin: bytes | None) -> None:
    headers = () if origin is None else ((h.ORIGINAL_TOPIC, origin),)
    outcome = handle(a_flow(), replace(a_record(b"hello"), topic="p.thumbnail.due", headers=headers))
    assert [record.topic for record in outcome.records] == ["p.thumbnail.dlq"]
