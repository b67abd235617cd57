"""Forms that producers send by accident are named, with what to do."""

import gzip
import json
from typing import Any

import pytest

from schemas.cloudevents import read_event
from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
from schemas.faults import RefusedEventError
from schemas.foreign_forms import foreign_form
from schemas.rejected import ReadableIds
from tests.unit.schemas.test_faults import SOUND

EVENT = json.dumps(SOUND)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


# Written by AvroSerializer, ProtobufSerializer (a Struct) and JSONSerializer of confluent-kafka 2.16.1, of the same event.
FRAMED: dict[str, bytes] = {
    name: bytes.fromhex(text)
    for name, text in {
        "Avro": "000000000706652d3128323032362d31312d32335431303a30303a30305a020a766964656f54122461636d652f75706c6f6164732f612e6d7034",
        "Protobuf": "0000000007000a250a0b6f636375727265645f617412161a14323032362d31312d32335431303a30303a30305a0a170a0a636f6d70616e795f"
        "6964120911000000000000f03f0a110a086576656e745f696412051a03652d310a660a056d65646961125d2a5b0a1a0a0d61725f636f6e74656e74"
        "5f696412091100000000000022400a0f0a02696412091100000000000045400a1b0a036b657912141a1261636d652f75706c6f6164732f612e6d70"
        "340a0f0a046b696e6412071a05766964656f",
        "JSON": "00000000077b226576656e745f6964223a22652d31222c226f636375727265645f6174223a22323032362d31312d32335431303a30303a30305a22"
        "2c22636f6d70616e795f6964223a312c226d65646961223a7b226b696e64223a22766964656f222c226964223a34322c2261725f636f6e74656e74"
        "5f6964223a392c226b6579223a2261636d652f75706c6f6164732f612e6d7034227d7d",
    }.items()
}
FORMS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is empty"),
    "blanks": (b" \n", "is empty"),
    "UTF-8 with a byte order mark": (b"\xef\xbb\xbf" + EVENT.encode(), "byte order mark"),
    "UTF-16 with a mark": (EVENT.encode("utf-16"), "UTF-16"),
    "UTF-16, the low byte first": (EVENT.encode("utf-16-le"), "UTF-16"),
    "UTF-16, the high byte first": (EVENT.encode("utf-16-be"), "UTF-16"),
    "gzip": (gzip.compress(EVENT.encode()), "compressed with gzip"),
    "zstd": (b"\x28\xb5\x2f\xfd....", "compressed with zstd"),
    "a registry's frame with Avro": (FRAMED["Avro"], "schema id 7"),
    "a registry's frame with Protobuf": (FRAMED["Protobuf"], "schema id 7"),
    "an Avro file": (b"Obj\x01\x04\x14", "Avro file"),
    "a Java object": (b"\xac\xed\0\x05t", "Java object"),
    "a JPEG": (b"\xff\xd8\xff\xe0", "JPEG"),
    "an MP4": (b"\0\0\0\x18ftypmp42", "video or a picture"),
    "XML": (b"<event/>", "XML"),
    "text": (as_json("none"), "is a JSON string, and no event is in it"),
    "an array": (as_json([SOUND, SOUND]), "array of 2"),
    "Connect's envelope": (as_json({"schema": {"type": "string"}, "payload": EVENT}), "schemas.enable=false"),
    "a change of a row": (as_json({"before": None, "after": {"id": 1}, "op": "c"}), "outbox router"),
    "a bucket notification": (as_json({"Records": [{"s3": {"object": {"key": "a"}}}]}), "S3 or MinIO"),
    "EventBridge": (as_json({"detail-type": "Object Created", "source": "aws.s3", "detail": {}}), "EventBridge"),
    "tusd": (as_json({"Type": "post-finish", "Event": {"Upload": {"ID": "x"}}}), "tusd"),
    "CloudEvents with base64": (
        as_json({"specversion": "1.0", "id": "e", "type": "t", "data_base64": "e30="}),
        "base64",
    ),
    "CloudEvents, escaped": (as_json({"specversion": "1.0", "id": "e", "type": "t", "data": EVENT}), "escaped twice"),
}


def test_an_event_that_is_escaped_in_a_json_string_is_read() -> None:
    """As Kafka Connect's JsonConverter writes the payload of an outbox that is text."""
    escaped = as_json(EVENT)
    assert escaped.startswith(b'"{\\"')
    event = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, escaped, ())
    assert event == read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, EVENT.encode(), ())
    structured = {"specversion": "1.0", "id": "e", "type": MEDIA_UPLOADED_TYPE, "data": SOUND}
    assert read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, as_json(json.dumps(structured)), ()) == event


def test_an_event_behind_the_frame_of_a_registrys_json_serializer_is_read() -> None:
    event = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, FRAMED["JSON"], ())
    assert event == read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, EVENT.encode(), ())
    wrong = FRAMED["JSON"].replace(b'"video"', b'"VIDEO"')
    with pytest.raises(RefusedEventError, match=r'media\.kind is "VIDEO"'):
        read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, wrong, ())
    assert ReadableIds(wrong, (), most_bytes=1000).upload_event_id == "e-1"


def test_what_is_wrong_with_an_escaped_event_is_said_of_its_fields() -> None:
    value = as_json(json.dumps(SOUND | {"company_id": "one"}))
    with pytest.raises(RefusedEventError, match='company_id is "one"'):
        read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, value, ())
    assert ReadableIds(value, (), most_bytes=1000).upload_event_id == "e-1"


@pytest.mark.parametrize("name", FORMS)
def test_a_foreign_form_is_named_and_is_the_only_fault(name: str) -> None:
    value, words = FORMS[name]
    with pytest.raises(RefusedEventError) as caught:
        read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, value, ())
    (fault,) = caught.value.faults
    assert (fault.field, fault.value) == (None, None)
    assert words in fault.message
    assert caught.value.message == fault.message


@pytest.mark.parametrize("value", [b"{}", b"3", b"{not json", b"\xff", b"[" * 9000, b"\0", b'{"schema": 1}', b"event"])
def test_what_has_no_known_form_gets_no_name(value: bytes) -> None:
    assert foreign_form(value) is None


def test_an_event_with_fields_of_such_names_is_read() -> None:
    event = SOUND | {"op": "c", "after": {}, "Records": [{"s3": {}}], "schema": {}, "payload": {}}
    assert read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, as_json(event), ()).event_id == "e-1"
