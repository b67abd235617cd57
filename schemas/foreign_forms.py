"""Recognize values that are something else than one JSON event: what a producer sends by accident, by its own name."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_PLAIN_JSON: Final = "write the event's JSON as the value, and nothing around it"
_COMPRESSED: Final = "leave compression to the Kafka client (compression.type), which consumers undo"
_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xef\xbb\xbf", "begins with a UTF-8 byte order mark: write UTF-8 without one"),
    (b"\xff\xfe", "is UTF-16: write JSON in UTF-8"),
    (b"\xfe\xff", "is UTF-16: write JSON in UTF-8"),
    (b"\x1f\x8b", f"is compressed with gzip: {_COMPRESSED}"),
    (b"\x28\xb5\x2f\xfd", f"is compressed with zstd: {_COMPRESSED}"),
    (b"\x04\x22\x4d\x18", f"is compressed with lz4: {_COMPRESSED}"),
    (b"\x82SNAPPY\0", f"is compressed with snappy: {_COMPRESSED}"),
    (b"\xff\x06\0\0sNaPpY", f"is compressed with snappy: {_COMPRESSED}"),
    (b"Obj\x01", f"is an Avro file: {_PLAIN_JSON}"),
    (b"\xac\xed\0\x05", f"is a serialized Java object: {_PLAIN_JSON}"),
    (b"\xff\xd8\xff", "is a JPEG picture: store the file first, and send its key"),
    (b"\x89PNG", "is a PNG picture: store the file first, and send its key"),
)
FRAME_BYTES: Final = 5
"""Of a schema registry: a zero, and the number of the schema."""


def foreign_form(value: bytes) -> str | None:
    """Return one sentence that names the form of a value and says what to do; None where it has no form that is known.

    It is asked only of values that hold no event. Never raises.
    """
    found = _of_bytes(value) or _of_json(value)
    return None if found is None else f"The value {found}."


def _of_bytes(value: bytes) -> str | None:
    if not value.strip():
        return "is empty: write the event's JSON. To say that a media was deleted, send a null value"
    for magic, said in _MAGIC:
        if value.startswith(magic):
            return said
    if re.match(rb"(\0[\x20-\x7e]){2}|([\x20-\x7e]\0){2}", value):
        return "is UTF-16: write JSON in UTF-8"
    if value[4:8] == b"ftyp":
        return "is a video or a picture: store the file first, and send its key"
    if value[0] == 0 and len(value) > FRAME_BYTES:
        number = int.from_bytes(value[1:FRAME_BYTES], "big")
        return (
            f"begins with a schema registry's frame (schema id {number}), as Avro and Protobuf serializers write it: this topic takes"
            " JSON, so use the registry's JSON serializer, a string or byte serializer, or a converter (docs/upstreams.md)"
        )
    if value.lstrip()[:1] == b"<":
        return f"is XML or HTML: {_PLAIN_JSON}"
    return None


def _of_json(value: bytes) -> str | None:
    try:
        said = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if isinstance(said, str):
        return "is a JSON string, and no event is in it: write the event's JSON object"
    if isinstance(said, list):
        return f"is a JSON array of {len(said)}: write one record for each event; batches are not read"
    if isinstance(said, dict):
        return next((form for is_it, form in _OBJECTS if is_it(said)), None)
    return None


def _has(said: Mapping[str, Any], *names: str) -> bool:
    return all(name in said for name in names)


def _is_s3_notification(said: Mapping[str, Any]) -> bool:
    records = said.get("Records")
    return isinstance(records, list) and any(isinstance(one, dict) and "s3" in one for one in records[:10])


def _is_event_bridge(said: Mapping[str, Any]) -> bool:
    return _has(said, "detail-type", "detail") and "source" in said


def _is_tusd_hook(said: Mapping[str, Any]) -> bool:
    event = said.get("Event")
    return "Type" in said and isinstance(event, dict) and "Upload" in event


_TO_INGEST: Final = (
    "it names no company and no media, so send it to a topic of its own, which `thumbnails ingest s3` reads"
)
_EVENT_NEEDED: Final = "it names no company and no media, so send it to `thumbnails ingest http`, whose rules name them"
_OBJECTS: Final[tuple[tuple[Callable[[Mapping[str, Any]], bool], str], ...]] = (
    (
        lambda said: _has(said, "schema", "payload") and len(said) == 2,
        (
            "is in the envelope of Kafka Connect's JsonConverter: set value.converter.schemas.enable=false. Debezium's outbox"
            " router: also table.expand.json.payload=true"
        ),
    ),
    (
        lambda said: _has(said, "op") and ("after" in said or "before" in said),
        "is a Debezium change event of a table row: write an outbox table, and send it with Debezium's outbox router",
    ),
    (_is_s3_notification, f"is a bucket notification of S3 or MinIO: {_TO_INGEST}"),
    (_is_event_bridge, f"is an event of Amazon EventBridge: {_TO_INGEST}"),
    (_is_tusd_hook, f"is a hook of tusd: {_EVENT_NEEDED}"),
    (
        lambda said: "specversion" in said and "data_base64" in said,
        "is a CloudEvent with data_base64: put the event as a JSON object into data",
    ),
    (
        lambda said: "specversion" in said and isinstance(said.get("data"), str),
        "is a CloudEvent whose data is a JSON string, escaped twice: put the event as a JSON object into data",
    ),
)
