"""The shapes that strangers give a record of media.uploaded, by accident or by their tools, and how each ends."""

import base64
import gzip
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

Event = dict[str, Any]
Sent = tuple[bytes | None, bytes, dict[str, bytes]]
"""Key, value and headers."""


@dataclass(frozen=True)
class Shape:
    """How a sound event of a video is disfigured; `ends` is «ready», or the code that it fails with.

    `faults` are the words of each fault, for a record that holds no event.
    """

    name: str
    make: Callable[[Event], Sent]
    ends: str = "ready"
    faults: tuple[str, ...] = ()

    @property
    def is_refused(self) -> bool:
        return bool(self.faults)


def key_of(event: Event) -> bytes:
    return f"video:{event['media']['id']}".encode()


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def _value(make: Callable[[Event], object], **headers: bytes) -> Callable[[Event], Sent]:
    """Another value; what is no bytes is written as JSON."""

    def sent(event: Event) -> Sent:
        value = make(event)
        return key_of(event), value if isinstance(value, bytes) else as_json(value), headers

    return sent


def _with(**changes: object) -> Callable[[Event], Sent]:
    return _value(lambda event: event | changes)


def _media(**changes: object) -> Callable[[Event], Sent]:
    return _value(lambda event: event | {"media": event["media"] | changes})


def _keyed(
    make: Callable[[Event], bytes | None], value: Callable[[Event], object] = lambda event: event
) -> Callable[[Event], Sent]:
    return lambda event: (make(event), as_json(value(event)), {})


def _data(event: Event) -> Event:
    return {name: event[name] for name in ("company_id", "media")}


def _envelope(event: Event, **data: object) -> Event:
    context = {"id": event["event_id"], "type": "vertexar.media.uploaded.v1", "source": "/x"}
    return {"specversion": "1.0", **context, "time": event["occurred_at"], **data}


def _binary(value: Callable[[Event], object], without: tuple[str, ...] = (), **more: bytes) -> Callable[[Event], Sent]:
    def sent(event: Event) -> Sent:
        context = {
            "ce_specversion": b"1.0",
            "ce_id": event["event_id"].encode(),
            "ce_source": b"/x",
            "ce_type": b"vertexar.media.uploaded.v1",
            "ce_time": event["occurred_at"].encode(),
        } | more
        return key_of(event), as_json(value(event)), {k: v for k, v in context.items() if k not in without}

    return sent


def _ms(event: Event) -> int:
    return int(datetime.fromisoformat(event["occurred_at"]).timestamp() * 1000)


def _unzoned(event: Event) -> str:
    return datetime.fromisoformat(event["occurred_at"]).replace(tzinfo=None).isoformat()


def _s3(event: Event) -> Event:
    thing = {"key": event["media"]["key"].replace("/", "%2F"), "size": 1, "contentType": "video/mp4", "sequencer": "1"}
    record = {
        "eventSource": "minio:s3",
        "eventName": "s3:ObjectCreated:Put",
        "s3": {"bucket": {"name": "b"}, "object": thing},
    }
    return {"EventName": "s3:ObjectCreated:Put", "Key": f"b/{event['media']['key']}", "Records": [record]}


def _tusd(event: Event) -> Event:
    upload = {"ID": "x", "Size": 1, "Storage": {"Type": "s3store", "Bucket": "b", "Key": event["media"]["key"]}}
    return {"Type": "post-finish", "Event": {"Upload": upload, "HTTPRequest": {}}}


def _camel(event: Event) -> Event:
    names = {"event_id": "eventId", "occurred_at": "occurredAt", "company_id": "companyId"}
    return {names.get(name, name): value for name, value in event.items()}


_MALFORMED: Final = "event.malformed"
_A_TIME: Final = "RFC 3339"
_STRUCTURED: Final = {"content-type": b"application/cloudevents+json"}
_ROW: Final = {"op": "c", "before": None, "source": {"connector": "postgresql", "table": "videos"}}
_ANY_ID: Final = "ceb29795-c003-48f2-ab61-ea333b7bcaee"

SHAPES: Final = (
    Shape("plain", _value(lambda event: event)),
    Shape("null key", _keyed(lambda _event: None)),
    Shape("foreign key", _keyed(lambda _event: b"acme-42")),
    Shape("key in JSON quotes", _keyed(lambda event: b'"%s"' % key_of(event))),
    Shape(
        "occurred_at, milliseconds as a number", _value(lambda e: e | {"occurred_at": _ms(e)}), _MALFORMED, (_A_TIME,)
    ),
    Shape(
        "occurred_at, milliseconds as text", _value(lambda e: e | {"occurred_at": str(_ms(e))}), _MALFORMED, (_A_TIME,)
    ),
    Shape("occurred_at without offset", _value(lambda e: e | {"occurred_at": _unzoned(e)}), _MALFORMED, (_A_TIME,)),
    Shape("occurred_at with a space", _value(lambda e: e | {"occurred_at": e["occurred_at"].replace("T", " ")})),
    Shape("id as text", _media(id="42"), _MALFORMED, ('media.id is "42"',)),
    Shape("id as 42.0", _media(id=42.0), _MALFORMED, ("media.id is 42.0",)),
    Shape("id is a UUID", _media(id=_ANY_ID), _MALFORMED, (f'media.id is "{_ANY_ID}"',)),
    Shape("id of 64 bits", _media(id=2**40), _MALFORMED, ("at most 2147483647",)),
    Shape("kind in capitals", _media(kind="VIDEO"), _MALFORMED, ("must be 'video' or 'image'",)),
    Shape("kind that is none", _media(kind="document"), _MALFORMED, ('media.kind is "document"',)),
    Shape(
        "photograph without ar_content_id",
        _value(lambda e: e | {"media": {"kind": "image", "id": e["media"]["id"], "key": e["media"]["key"]}}),
        _MALFORMED,
        ("media.ar_content_id is required",),
    ),
    Shape("camel case", _value(_camel), _MALFORMED, ('"eventId" is', '"occurredAt" is', '"companyId" is')),
    Shape("byte order mark", _value(lambda e: b"\xef\xbb\xbf" + as_json(e)), _MALFORMED, ("byte order mark",)),
    Shape("array", _value(lambda e: [e]), _MALFORMED, ("JSON array",)),
    Shape(
        "CloudEvents batch",
        lambda e: (
            key_of(e),
            as_json([_envelope(e, data=_data(e))]),
            {"content-type": b"application/cloudevents-batch+json"},
        ),
        _MALFORMED,
        ("JSON array",),
    ),
    Shape("CloudEvents structured, no content type", _value(lambda e: _envelope(e, data=_data(e)))),
    Shape(
        "CloudEvents structured, data escaped",
        lambda e: (key_of(e), as_json(_envelope(e, data=json.dumps(_data(e)))), _STRUCTURED),
        _MALFORMED,
        ("data is a JSON string",),
    ),
    Shape(
        "CloudEvents structured, data_base64",
        lambda e: (
            key_of(e),
            as_json(_envelope(e, data_base64=base64.b64encode(as_json(_data(e))).decode())),
            _STRUCTURED,
        ),
        _MALFORMED,
        ("data_base64",),
    ),
    Shape("CloudEvents binary, id and time in headers", _binary(_data)),
    Shape(
        "CloudEvents binary, another type",
        _binary(lambda e: e, ce_type=b"com.acme.created"),
        _MALFORMED,
        ("com.acme.created",),
    ),
    Shape(
        "CloudEvents binary, no time", _binary(_data, without=("ce_time",)), _MALFORMED, ("occurred_at is required",)
    ),
    Shape(
        "ce_traceparent",
        _binary(lambda e: e, ce_traceparent=b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ),
    Shape(
        "Connect's JsonConverter with schemas",
        _value(lambda e: {"schema": {"type": "string"}, "payload": json.dumps(e)}),
        _MALFORMED,
        ("schemas.enable=false",),
    ),
    Shape("escaped JSON string", _value(json.dumps)),
    Shape(
        "Debezium change of a row",
        _keyed(lambda e: as_json({"id": e["media"]["id"]}), lambda e: _ROW | {"after": {"id": e["media"]["id"]}}),
        _MALFORMED,
        ("Debezium change event",),
    ),
    Shape("Debezium outbox, expanded", _value(lambda e: e, id=_ANY_ID.encode(), eventType=b"media.uploaded")),
    Shape("MinIO notification", _keyed(lambda e: e["media"]["key"].encode(), _s3), _MALFORMED, ("S3 or MinIO",)),
    Shape(
        "EventBridge",
        _keyed(lambda _e: None, lambda e: {"detail-type": "Object Created", "source": "aws.s3", "detail": _tusd(e)}),
        _MALFORMED,
        ("EventBridge",),
    ),
    Shape("tusd hook", _keyed(lambda _e: None, _tusd), _MALFORMED, ("tusd",)),
    Shape("registry's frame, Avro", _value(lambda e: b"\0\0\0\0\7\6" + as_json(e)[:50]), _MALFORMED, ("schema id 7",)),
    Shape("registry's frame, JSON", _value(lambda e: b"\0\0\0\0\7" + as_json(e))),
    Shape("schema id in a header", _value(lambda e: e, __value_schema_id=b"\1" + uuid.UUID(_ANY_ID).bytes)),
    Shape("300 KB", _with(blob="x" * 300_000), "event.too_large", ("at most 262144",)),
    Shape("900 KB", _with(blob="x" * 900_000), "event.too_large", ("at most 262144",)),
    Shape("empty", _value(lambda _e: b""), _MALFORMED, ("is empty",)),
    Shape("gzip", _value(lambda e: gzip.compress(as_json(e)), **{"content-encoding": b"gzip"}), _MALFORMED, ("gzip",)),
    Shape("binary header", _value(lambda e: e, **{"x-bin": b"\xff\0\xfe"})),
    Shape("key of a video for a photograph", _media(kind="image")),
    Shape("key is a URL", _media(key="https://b.example.com/a.mp4"), "storage.bad_key"),
    Shape("key is s3://", _media(key="s3://vault/acme/a.mp4"), "storage.bad_key"),
    Shape(
        "key is encoded",
        _value(lambda e: e | {"media": e["media"] | {"key": e["media"]["key"].replace("/", "%2F")}}),
        "storage.bad_key",
    ),
    Shape(
        "broken file", _value(lambda e: e | {"media": e["media"] | {"key": "acme/uploads/broken.mp4"}}), "media.corrupt"
    ),
    Shape("missing file", _media(key="acme/uploads/nowhere.mp4"), "source.missing"),
    Shape("unknown company", _with(company_id=77), "tenant.unknown"),
    Shape("row not there", lambda e: (b"video:9999", as_json(e | {"media": e["media"] | {"id": 9999}}), {})),
)
"""In 2 MB, one of them would be refused by the broker today: its shape is 900 KB."""
