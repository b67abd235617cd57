"""Declare the events of the contract: model, writer, topic, headers and examples."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from schemas import events, media_state, rejected, topics
from schemas import headers as h
from schemas.contracts import examples
from schemas.contracts import headers as of
from schemas.contracts.headers import Header, headers_schema
from schemas.topics import Topic

Mode = Literal["validation", "serialization"]


@dataclass(frozen=True)
class EventContract:
    """One event and major version. `is_ours` says that the pipeline writes it: then other teams read exactly what write_event writes."""

    event_type: str
    model: type[events.Event]
    topic: Topic
    is_ours: bool
    summary: str
    required_headers: tuple[Header, ...]
    optional_headers: tuple[Header, ...]
    examples: tuple[dict[str, Any], ...]
    key: dict[str, Any] | None = None
    """The JSON Schema of the record's key; None for the media's key."""

    @property
    def name(self) -> str:
        """Return the event's short name, which its file has: media.uploaded.v1."""
        return self.event_type.removeprefix("vertexar.")

    @property
    def title(self) -> str:
        """Return the model's name."""
        return self.model.__name__

    @property
    def mode(self) -> Mode:
        """Return Pydantic's name for the described side: what the pipeline accepts, or what it writes."""
        return "serialization" if self.is_ours else "validation"

    @property
    def headers(self) -> dict[str, Any]:
        """Return the JSON Schema of the record's headers."""
        fixed = {h.CE_SPECVERSION: "1.0"}
        if self.is_ours:
            fixed |= {h.CE_TYPE: self.event_type, h.CONTENT_TYPE: "application/json"}
        return headers_schema(self.required_headers, self.optional_headers, fixed)


EVENTS: Final = (
    EventContract(
        events.MEDIA_UPLOADED_TYPE,
        events.MediaUploaded,
        topics.MEDIA_UPLOADED,
        is_ours=False,
        summary="A video or a photograph was uploaded and wants thumbnails.",
        required_headers=(),
        optional_headers=of.CONTEXT + of.TRACE + of.CORRELATION + of.SENT_EXTENSIONS,
        examples=examples.MEDIA_UPLOADED,
    ),
    EventContract(
        media_state.MEDIA_DELETED_TYPE,
        media_state.MediaDeletion,
        topics.MEDIA_UPLOADED,
        is_ours=False,
        summary="A media was deleted: its thumbnails are to go.",
        required_headers=(),
        optional_headers=of.CONTEXT + of.TRACE + of.CORRELATION + of.SENT_EXTENSIONS,
        examples=examples.MEDIA_DELETED,
    ),
    EventContract(
        events.THUMBNAIL_READY_TYPE,
        events.ThumbnailReady,
        topics.THUMBNAIL_READY,
        is_ours=True,
        summary="The thumbnails of an upload are stored, and the store confirmed them.",
        required_headers=of.CONTEXT + of.LINKS,
        optional_headers=of.TRACE + of.EXTENSIONS + of.OTHER_PICTURES,
        examples=examples.THUMBNAIL_READY,
    ),
    EventContract(
        events.THUMBNAIL_FAILED_TYPE,
        events.ThumbnailFailed,
        topics.THUMBNAIL_FAILED,
        is_ours=True,
        summary="An upload was given up: why, and what a person should do now.",
        required_headers=of.CONTEXT + of.LINKS,
        optional_headers=of.TRACE + of.EXTENSIONS,
        examples=examples.THUMBNAIL_FAILED,
    ),
    EventContract(
        rejected.MEDIA_REJECTED_TYPE,
        rejected.MediaRejected,
        topics.THUMBNAIL_FAILED,
        is_ours=True,
        summary="A record of media.uploaded could not be taken: all that is wrong with it.",
        required_headers=of.CONTEXT + of.LINKS,
        optional_headers=of.TRACE + of.EXTENSIONS,
        examples=examples.MEDIA_REJECTED,
        key={"description": "As the rejected record's: none, a media's, or any other."},
    ),
    EventContract(
        media_state.THUMBNAIL_STATE_TYPE,
        media_state.ThumbnailState,
        topics.THUMBNAIL_STATE,
        is_ours=True,
        summary="The present state of a media's thumbnails, as its row has it.",
        required_headers=of.CONTEXT,
        optional_headers=of.TRACE,
        examples=examples.THUMBNAIL_STATE,
    ),
    EventContract(
        media_state.THUMBNAIL_DELETED_TYPE,
        media_state.ThumbnailDeleted,
        topics.THUMBNAIL_DELETED,
        is_ours=True,
        summary="A media was deleted, and its row says so: between our own roles only.",
        required_headers=of.CONTEXT + of.LINKS,
        optional_headers=of.TRACE + of.EXTENSIONS,
        examples=examples.THUMBNAIL_DELETED,
    ),
    EventContract(
        events.THUMBNAIL_CLEANUP_TYPE,
        events.ThumbnailCleanup,
        topics.THUMBNAIL_CLEANUP,
        is_ours=True,
        summary="Objects that no row shows are to be deleted: between our own roles only.",
        required_headers=of.CONTEXT,
        optional_headers=of.LINKS + of.TRACE,
        examples=examples.THUMBNAIL_CLEANUP,
    ),
)
"""Every event, in the order of an upload's life."""
