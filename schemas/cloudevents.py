"""Read and write CloudEvents 1.0 on Kafka: binary mode out; binary, structured or bare JSON in."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from schemas import headers as h
from schemas.errors import ErrorCode
from schemas.faults import RefusedEventError, faults_in, of_the_whole
from schemas.foreign_forms import FRAME_BYTES, foreign_form
from schemas.headers import Headers

MAX_EVENT_BYTES: Final = 262_144
CE_SOURCE: Final = "/thumbnail-pipeline"
STRUCTURED_CONTENT_TYPE: Final = "application/cloudevents"
_TYPE_PATTERN: Final = re.compile(r"^(?P<name>[a-z][a-z0-9_.]*)\.v(?P<major>[0-9]{1,4})$")

TEvent = TypeVar("TEvent", bound=BaseModel)


class _Envelope(BaseModel):
    """The structured mode's envelope; `data` is read again by the event's own model."""

    model_config = ConfigDict(extra="ignore", strict=True)

    specversion: str
    id: str
    type: str
    time: str | None = None
    data: dict[str, Any]


def read_event(model: type[TEvent], event_type: str, value: bytes | None, headers: Headers) -> TEvent:
    """Return the event in a record, whichever mode it was written in; also one that is escaped in a JSON string.

    Raises only RefusedEventError, with event.malformed, event.unsupported_version or event.too_large, whatever bytes a
    producer sends.
    """
    if value is None:
        raise of_the_whole(ErrorCode.EVENT_MALFORMED, "The record has a null value (a tombstone), not an event.")
    if len(value) > MAX_EVENT_BYTES:
        raise of_the_whole(
            ErrorCode.EVENT_TOO_LARGE, f"The value has {len(value)} bytes; at most {MAX_EVENT_BYTES} are read."
        )
    value = unescaped(value)
    try:
        if _is_structured(value, headers):
            envelope = _Envelope.model_validate_json(value)
            _check_type(envelope.type, event_type)
            return model.model_validate_json(json.dumps(_with_context(envelope.data, envelope.id, envelope.time)))
        ce_type = h.get_header(headers, h.CE_TYPE)
        if ce_type is None:
            return model.model_validate_json(value)
        _check_type(ce_type, event_type)
        return _read_binary(model, value, headers)
    except ValidationError as exc:
        raise _refused(value, exc) from exc
    except (ValueError, RecursionError) as exc:
        raise of_the_whole(
            ErrorCode.EVENT_MALFORMED, foreign_form(value) or "The value is not JSON that can be read."
        ) from exc


def unescaped(value: bytes) -> bytes:
    """Return the event in a JSON string, as Kafka Connect's JsonConverter makes of text, or behind the frame of a schema
    registry's JSON serializer; another value as it is.
    """
    if value[:1] == b"\0" and value[FRAME_BYTES : FRAME_BYTES + 1] == b"{":
        return value[FRAME_BYTES:]
    if value.lstrip()[:1] != b'"':
        return value
    try:
        said = json.loads(value)
    except ValueError:
        return value
    return said.encode("utf-8", "surrogatepass") if isinstance(said, str) and said.lstrip()[:1] == "{" else value


def _refused(value: bytes, exc: ValidationError) -> RefusedEventError:
    """Return what is wrong: the form of the whole, where it is a foreign one that is known, else all fields."""
    form = foreign_form(value)
    if form is not None:
        return of_the_whole(ErrorCode.EVENT_MALFORMED, form)
    return RefusedEventError(ErrorCode.EVENT_MALFORMED, faults_in(exc))


def says_type(event_type: str, value: bytes | None, headers: Headers) -> bool:
    """Return whether a record says that it is an event of this type, in any major version and in any mode."""
    name = event_type.rpartition(".v")[0]
    if value is None or len(value) > MAX_EVENT_BYTES or not _is_structured(value, headers):
        return (h.get_header(headers, h.CE_TYPE) or "").rpartition(".v")[0] == name
    if name.encode() not in value:  # most records are uploads, and are parsed once
        return False
    try:
        envelope = json.loads(value)
    except (ValueError, RecursionError):
        return False
    said = envelope.get("type") if isinstance(envelope, dict) else None
    return isinstance(said, str) and said.rpartition(".v")[0] == name


def _is_structured(value: bytes, headers: Headers) -> bool:
    content_type = (h.get_header(headers, h.CONTENT_TYPE) or "").lower()
    if content_type:
        return content_type.startswith(STRUCTURED_CONTENT_TYPE)
    return h.get_header(headers, h.CE_TYPE) is None and b'"specversion"' in value[:4096]


def _read_binary(model: type[TEvent], value: bytes, headers: Headers) -> TEvent:
    try:
        return model.model_validate_json(value)
    except ValidationError:
        # A strict CloudEvents producer keeps id and time in the context attributes only.
        data = json.loads(value)
        if not isinstance(data, dict):
            raise
        context = _with_context(data, h.get_header(headers, h.CE_ID), h.get_header(headers, h.CE_TIME))
        return model.model_validate_json(json.dumps(context))


def _with_context(data: Mapping[str, Any], event_id: str | None, occurred_at: str | None) -> dict[str, Any]:
    context = {"event_id": event_id, "occurred_at": occurred_at}
    return {name: value for name, value in context.items() if value is not None} | dict(data)


def _check_type(actual: str, expected: str) -> None:
    found, wanted = _TYPE_PATTERN.match(actual), _TYPE_PATTERN.match(expected)
    if wanted is None:
        raise AssertionError(f"{expected!r} is not a known event type")
    if found is None or found["name"] != wanted["name"]:
        raise of_the_whole(ErrorCode.EVENT_MALFORMED, f"The event type is {actual[:100]!r}; {expected!r} was expected.")
    if found["major"] != wanted["major"]:
        raise of_the_whole(
            ErrorCode.EVENT_UNSUPPORTED_VERSION,
            f"Major version {found['major']} of {found['name']} is not supported; {wanted['major']} is.",
        )


def write_event(event: BaseModel) -> bytes:
    """Return the value of a record: compact JSON in UTF-8."""
    return _adapter_of(type(event)).dump_json(event)


@cache
def _adapter_of(model: type[TEvent]) -> TypeAdapter[TEvent]:
    """Return what writes the bytes at once: a model itself makes text of them first."""
    return TypeAdapter(model)


def context_headers(*, event_type: str, event_id: str, occurred_at: datetime, subject: str) -> Headers:
    """Return the binary mode's context attributes."""
    return (
        _SPECVERSION,
        (h.CE_ID, h.header_text(event_id)),
        _SOURCE,
        (h.CE_TYPE, h.header_text(event_type)),
        (h.CE_TIME, h.format_time(occurred_at).encode()),
        (h.CE_SUBJECT, h.header_text(subject)),
        _JSON,
    )


_SPECVERSION: Final = (h.CE_SPECVERSION, b"1.0")
_SOURCE: Final = (h.CE_SOURCE, CE_SOURCE.encode())
_JSON: Final = (h.CONTENT_TYPE, b"application/json")
