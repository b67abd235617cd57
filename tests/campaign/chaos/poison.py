"""Records that no upload service should write: what stands in them, and the code with which each must be given up."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

Event = dict[str, Any]
Headers = list[tuple[str, bytes | None]]

_TOO_LARGE_BYTES: Final = 300_000
_DIGITS: Final = 5_000


@dataclass(frozen=True)
class Poison:
    """Its value, made from the event that it would have been; and its headers."""

    error_code: str
    value: Callable[[Event], bytes]
    headers: tuple[tuple[str, bytes | None], ...] = ()


def _as_json(event: Event) -> bytes:
    return json.dumps(event).encode()


def _with(**fields: Any) -> Callable[[Event], bytes]:
    return lambda event: _as_json(event | fields)


def _with_media(**fields: Any) -> Callable[[Event], bytes]:
    return lambda event: _as_json(event | {"media": event["media"] | fields})


POISONS: Final = {
    "no json": Poison("event.malformed", lambda event: b"{not json " + event["event_id"].encode()),
    "bytes": Poison("event.malformed", lambda event: bytes(range(256)) + event["event_id"].encode()),
    "empty": Poison("event.malformed", lambda _event: b""),
    "array": Poison("event.malformed", lambda event: _as_json([event])),  # type: ignore[arg-type]
    "deep": Poison("event.malformed", lambda _event: b"[" * 50_000 + b"]" * 50_000),
    "many digits": Poison(
        "event.malformed",
        lambda event: _as_json(event).replace(b'"company_id": ', b'"company_id": ' + b"9" * _DIGITS),
    ),
    "not a number": Poison("event.malformed", _with(frame_time_s=float("nan"))),
    "surrogate": Poison("event.malformed", _with(event_id="\ud800")),
    "utf-16": Poison("event.malformed", lambda event: json.dumps(event).encode("utf-16")),
    "no media": Poison("event.malformed", _with(media=None)),
    "time out of range": Poison("event.malformed", _with(occurred_at="9999-12-31T23:59:59-14:00")),
    "another version": Poison(
        "event.unsupported_version", _as_json, (("ce_type", b"vertexar.media.uploaded.v9"), ("ce_specversion", b"1.0"))
    ),
    "too large": Poison("event.too_large", _with(x_filler="x" * _TOO_LARGE_BYTES)),
    "foreign key": Poison("storage.bad_key", _with_media(key="umbrella/uploads/secret.jpg")),
    "key that climbs": Poison("storage.bad_key", _with_media(key="../../etc/passwd")),
}
"""By name."""

ODD_HEADERS: Final[dict[str, Headers]] = {
    "working headers": [
        ("retry-attempt", b"3"),
        ("retry-not-before", b"9999-12-31T23:59:59Z"),
        ("retry-due-at", b"9999-12-31T23:59:59Z"),
        ("first-failed-at", b"9999-12-31T23:59:59-14:00"),
        ("x-original-topic", b"thumbnail.cleanup"),
        ("x-original-offset", b"-1"),
        ("replay-count", b"999"),
        ("error-code", b"media.corrupt"),
    ],
    "null value": [("x-null", None)],
    "repeated name": [("x-twice", b"1"), ("x-twice", b"2"), ("x-twice", b"1")],
    "bytes": [("x-bytes", bytes(range(256)))],
    "long": [("x-long", b"h" * 4_000)],
    "trace": [("traceparent", b"no trace"), ("correlationid", b"\xff\xfe")],
    "cleanup": [("ce_source", b"/elsewhere"), ("x-kind", b"vertexar.thumbnail.cleanup.v1")],
}
"""Headers beside which an upload must become what it becomes without them; dead letters keep all but the working ones."""
