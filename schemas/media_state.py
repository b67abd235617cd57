"""Define thumbnail.state, the present state of a media, and the events that say that a media was deleted."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from schemas.events import (
    DatabaseId,
    Event,
    EventId,
    ExternalId,
    MediaKind,
    ObjectKey,
    OpenDegradedReason,
    OpenErrorCode,
    RenditionInfo,
    ShortText,
    UtcTime,
)

MEDIA_DELETED_TYPE: Final = "vertexar.media.deleted.v1"
THUMBNAIL_DELETED_TYPE: Final = "vertexar.thumbnail.deleted.v1"
THUMBNAIL_STATE_TYPE: Final = "vertexar.thumbnail.state.v1"


class Status(StrEnum):
    """The words of `status` in thumbnail.state. Releases may add words."""

    READY = "ready"
    FAILED = "failed"


class DeletedMedia(Event):
    """The media that was deleted."""

    kind: MediaKind
    id: DatabaseId
    ar_content_id: DatabaseId
    key: ObjectKey | None = Field(None, description="The key that the object had; nothing reads it any more.")
    external_id: ExternalId | None = None

    @property
    def row_id(self) -> int:
        """Return the id of the row that showed the thumbnail: of videos for a video, of ar_contents for an image."""
        return self.id if self.kind is MediaKind.VIDEO else self.ar_content_id

    @property
    def record_key(self) -> str:
        """Return the Kafka key: video:42 or ar_content:9."""
        return record_key(self.kind, self.row_id)


class MediaDeletion(Event):
    """A media was deleted at `occurred_at`: uploads of it that happened before are cancelled, and its thumbnails go."""

    event_id: EventId
    occurred_at: UtcTime
    company_id: DatabaseId
    media: DeletedMedia


class ThumbnailDeleted(Event):
    """The row of a media, if there is one, says that the media was deleted at `occurred_at`.

    `company_id` is null where nobody knows whose the media was: its row is gone, and a null value said so.
    """

    event_id: EventId
    occurred_at: UtcTime
    produced_at: UtcTime
    company_id: DatabaseId | None
    media: DeletedMedia


class StateMedia(Event):
    """The media: the row of `videos` or `ar_contents` that shows the picture."""

    kind: MediaKind
    id: DatabaseId = Field(description="Of the row: a video's own id, an image's AR content.")
    ar_content_id: DatabaseId
    external_id: ExternalId | None = Field(
        None, description="As the newest upload that gave one gave it; null where none did, and for rows of 0.1."
    )


class StateError(Event):
    """Why the newest upload has no thumbnail, and what a person should do now."""

    code: OpenErrorCode
    message: ShortText
    next_action: ShortText | None = Field(None, description="Null for a code that this release does not know.")


OpenStatus = Annotated[
    str,
    Field(
        max_length=16,
        pattern="^[a-z_]+$",
        description="ready: the newest upload is shown. failed: it was given up. New words may come.",
        examples=[str(status) for status in Status],
    ),
]


class ThumbnailState(Event):
    """The present state of one media. A failed upload leaves the pictures of an earlier one shown, until a person deletes them."""

    event_id: EventId
    revision: Annotated[int, Field(ge=0)] = Field(
        description="Rises with each change of the media's row; of two states of a media, the greater one is newer."
        " 0 where the row was last written by release 0.1."
    )
    updated_at: UtcTime = Field(description="When the row was written.")
    company_id: DatabaseId
    media: StateMedia
    status: OpenStatus
    upload_event_id: EventId = Field(description="The newest upload whose outcome is known.")
    occurred_at: UtcTime = Field(description="When that upload happened.")
    thumbnail_url: str | None = Field(description="The medium rendition; null where no upload has been shown yet.")
    renditions: tuple[RenditionInfo, ...] = Field(strict=False)
    placeholder: str | None = Field(description="ThumbHash in base64: some 25 bytes to show while it loads.")
    shown_upload_event_id: EventId | None = Field(
        description="The upload whose pictures these are: the same as upload_event_id where that is ready, an earlier one where it"
        " failed. Null without pictures, and for pictures that release 0.1 wrote."
    )
    degraded: bool | None = Field(
        description="Whether the pictures are less than their source could show; null where release 0.1 wrote them."
    )
    degraded_reason: OpenDegradedReason | None = Field(description="Why, one word. New words may come.")
    storage_fallback: str | None = Field(
        description="Why the pictures are not in the company's own storage; null where they are."
    )
    error: StateError | None = Field(description="Null unless the newest upload failed.")


def record_key(kind: MediaKind, row_id: int) -> str:
    """Return the Kafka key of a media: video:42 or ar_content:9."""
    return f"{'video' if kind is MediaKind.VIDEO else 'ar_content'}:{row_id}"
