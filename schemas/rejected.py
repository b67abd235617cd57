"""Define media.rejected: a record of media.uploaded that could not be taken, so that its producer sees why."""

import json
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from schemas import headers as h
from schemas.cloudevents import unescaped
from schemas.events import (
    DatabaseId,
    DeadLetterInfo,
    ErrorInfo,
    Event,
    EventId,
    ExternalId,
    MediaKind,
    ObjectKey,
    UtcTime,
)
from schemas.faults import MAX_FAULTS, Fault
from schemas.headers import Headers

MEDIA_REJECTED_TYPE: Final = "vertexar.media.rejected.v1"


class RejectedMedia(Event):
    """The media that the record names; a part is null where it could not be read."""

    kind: MediaKind | None
    id: DatabaseId | None
    ar_content_id: DatabaseId | None
    key: ObjectKey | None
    external_id: ExternalId | None = None


class RecordPlace(Event):
    """Where the record stands, as long as its topic keeps it."""

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]


class MediaRejected(Event):
    """A record of media.uploaded had no effect. No row says so: nobody knows for certain whose it is.

    The ids are the record's, as far as they could be read; each is null where it could not.
    """

    event_id: EventId
    produced_at: UtcTime
    upload_event_id: EventId | None
    company_id: DatabaseId | None
    media: RejectedMedia
    error: ErrorInfo
    faults: Annotated[tuple[Fault, ...], Field(min_length=1, max_length=MAX_FAULTS)] = Field(
        strict=False, description="All that is wrong with the record, not only the first."
    )
    record: RecordPlace
    attempts: int
    first_failed_at: UtcTime
    dead_letter: DeadLetterInfo


class ReadableIds:
    """The ids in a value that is no event, each where it is one by itself. Never raises."""

    def __init__(self, value: bytes | None, headers: Headers, *, most_bytes: int) -> None:
        said = _object(unescaped(value) if value is not None and len(value) <= most_bytes else b"")
        data = said.get("data")
        inner = data if isinstance(data, dict) and "specversion" in said else said
        media = inner.get("media")
        self._media: Final[dict[str, Any]] = media if isinstance(media, dict) else {}
        of_context = h.get_header(headers, h.CE_ID) or (said.get("id") if "specversion" in said else None)
        self.upload_event_id: Final = _one(_EVENT_ID, inner.get("event_id")) or _one(_EVENT_ID, of_context)
        self.company_id: Final = _one(_DATABASE_ID, inner.get("company_id"))

    @property
    def media(self) -> RejectedMedia:
        """Return the media."""
        kind = self._media.get("kind")
        return RejectedMedia(
            kind=MediaKind(kind) if isinstance(kind, str) and kind in set(MediaKind) else None,
            id=_one(_DATABASE_ID, self._media.get("id")),
            ar_content_id=_one(_DATABASE_ID, self._media.get("ar_content_id")),
            key=_one(_OBJECT_KEY, self._media.get("key")),
            external_id=_one(_EXTERNAL_ID, self._media.get("external_id")),
        )


T = TypeVar("T")
_EVENT_ID: Final[TypeAdapter[str]] = TypeAdapter(EventId)
_DATABASE_ID: Final[TypeAdapter[int]] = TypeAdapter(DatabaseId)
_OBJECT_KEY: Final[TypeAdapter[str]] = TypeAdapter(ObjectKey)
_EXTERNAL_ID: Final[TypeAdapter[str]] = TypeAdapter(ExternalId)


def _one(adapter: TypeAdapter[T], value: object) -> T | None:
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError:
        return None


def _object(value: bytes) -> dict[str, Any]:
    try:
        said = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
