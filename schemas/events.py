"""Define the events of the pipeline: pydantic models that bound every size and ignore unknown fields."""

import hashlib
import re
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from schemas.degraded import DegradedReason
from schemas.errors import ErrorCode, Stage

MEDIA_UPLOADED_TYPE: Final = "vertexar.media.uploaded.v1"
THUMBNAIL_READY_TYPE: Final = "vertexar.thumbnail.ready.v1"
THUMBNAIL_FAILED_TYPE: Final = "vertexar.thumbnail.failed.v1"
THUMBNAIL_CLEANUP_TYPE: Final = "vertexar.thumbnail.cleanup.v1"

BACKFILL_PREFIX: Final = "backfill-"
"""Begins the id of an event that `thumbnails backfill` makes of a row: its upload is long past, or of an unknown time."""
_EVENT_ID_NAMESPACE: Final = uuid.UUID("6c2f7f0e-4c0e-5a0b-9a56-0b7c1f3f9d11")
MAX_DATABASE_ID: Final = 2**31 - 1
_NO_MARKS: Final = str.maketrans("", "", "-:")
_NUMBER: Final = re.compile(r"\s*[-+]?[\d_]*\.?[\d_]*\s*")


def _to_utc(moment: datetime) -> datetime:
    if moment.tzinfo is UTC:
        return moment
    try:
        return moment.astimezone(UTC)
    except OverflowError as exc:  # year 1 or 9999 beside an offset
        raise ValueError("the time is outside the years 1 to 9999") from exc


def _refuse_a_number(value: object) -> object:
    """Pydantic would take a number, and digits as text, for seconds or milliseconds, by their size."""
    if isinstance(value, str) and value[4:5] == "-" and value[10:11] == "T":  # nearly every time; no number has both
        return value
    if not isinstance(value, str | datetime) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise PydanticCustomError("datetime_type", "A number is no time.")
    return value


UtcTime = Annotated[
    AwareDatetime,
    BeforeValidator(_refuse_a_number),
    AfterValidator(_to_utc),
    Field(strict=False, description="RFC 3339, with an offset; we write UTC."),
]
EventId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="Unique, visible ASCII, and the same however often the event is sent again.",
    ),
]
DatabaseId = Annotated[int, Field(ge=1, le=MAX_DATABASE_ID)]
ObjectKey = Annotated[str, Field(min_length=1, max_length=4096)]
ShortText = Annotated[str, Field(max_length=1024)]
ExternalId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="The platform's own name for the media, such as a UUID: handed on as it was given, in results and states.",
    ),
]

# Open lists: a release may add words, so readers, ours among them, take words that they do not know.
OpenErrorCode = Annotated[
    str,
    Field(
        max_length=64,
        pattern=r"^[a-z_]+\.[a-z_]+$",
        description="Stable code to route on, see docs/errors.md. New codes may come: treat an unknown one by its first word.",
        examples=[str(code) for code in ErrorCode],
    ),
]
OpenStage = Annotated[
    str,
    Field(
        max_length=64,
        pattern="^[a-z_]+$",
        description="How far the event had come. New stages may come.",
        examples=[str(stage) for stage in Stage],
    ),
]

OpenDegradedReason = Annotated[
    str,
    Field(max_length=32, pattern="^[a-z_]+$", examples=[str(reason) for reason in DegradedReason]),
]


class MediaKind(StrEnum):
    """The kind of an upload: a video belongs to a row of videos, an image is the photograph of a row of ar_contents."""

    VIDEO = "video"
    IMAGE = "image"


class Event(BaseModel):
    """The base of all events and their parts."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        allow_inf_nan=False,
        json_schema_serialization_defaults_required=True,  # write_event writes every field, so consumers may rely on it
    )


class Media(Event):
    """The uploaded object. `key` is its whole key in the tenant's storage connection, storage_path included."""

    kind: MediaKind
    id: DatabaseId
    ar_content_id: DatabaseId
    key: ObjectKey
    content_type: Annotated[str, Field(max_length=255)] | None = Field(None, description="As the uploader named it.")
    size_bytes: Annotated[int, Field(ge=0)] | None = Field(None, description="Size of the object.")
    version: Annotated[str, Field(max_length=1024)] | None = Field(
        None, description="The storage's own version of the object."
    )
    external_id: ExternalId | None = None

    @property
    def row_id(self) -> int:
        """Return the id of the database row that shows the thumbnail: of videos for a video, of ar_contents for an image."""
        return self.id if self.kind is MediaKind.VIDEO else self.ar_content_id

    @property
    def record_key(self) -> str:
        """Return the Kafka key, so that events of one media keep their order: video:42 or ar_content:9."""
        return f"{'video' if self.kind is MediaKind.VIDEO else 'ar_content'}:{self.row_id}"


def upload_version(occurred_at: datetime, upload_event_id: str, started_by: str | None = None) -> str:
    """Return the name of one upload, with which its folders of renditions begin; a later upload sorts after an earlier one.

    An upload that was given up, and is started again by the record at the position `started_by`, has folders of its
    own: its earlier ones may be cleaned up at any time.
    """
    moment = occurred_at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00")
    version = f"{moment.translate(_NO_MARKS).lstrip('0')}Z-{_digest(upload_event_id, 12)}"
    return version if started_by is None else f"{version}-r{_digest(started_by, 12)}"


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


class MediaUploaded(Event):
    """An upload that wants thumbnails. `frame_time_s` is the uploader's own choice of moment, in seconds."""

    event_id: EventId
    occurred_at: UtcTime
    company_id: DatabaseId
    media: Media
    frame_time_s: Annotated[float, Field(ge=0)] | None = Field(
        None, description="The moment to show, in seconds; without it a good frame is looked for."
    )

    @property
    def version(self) -> str:
        """Return the version of its first start: see upload_version."""
        return upload_version(self.occurred_at, self.event_id)


class RenditionInfo(Event):
    """One stored picture. `width` and `height` in pixels; `sha256` in hex, as the store confirmed it."""

    name: str
    key: str
    url: str
    width: int
    height: int
    format: str
    bytes: int
    sha256: str


class StorageInfo(Event):
    """Where the renditions are. `fallback` says why they are not in the company's own storage, or is null."""

    provider: str
    connection_id: int | None = None
    fallback: str | None = None


class SourceInfo(Event):
    """The decoded source. Sizes are in pixels before rotation; `rotation` is in degrees clockwise."""

    width: int
    height: int
    duration_s: float | None = None
    codec: str
    format: str
    rotation: int = 0
    bytes_read: int = 0
    size_bytes: int | None = Field(None, description="Size of the object.")
    contradicts: tuple[str, ...] = Field(
        (),
        description="Fields of the upload's event that the object contradicts: media.size_bytes, media.content_type.",
    )


class FrameInfo(Event):
    """Which frame was selected, by which method, and its score (0 to 1; null when there was no choice)."""

    time_s: float | None = None
    method: str
    score: float | None = None
    candidates: int = 1


class TimingsMs(Event):
    """Wall time of each stage in milliseconds."""

    read: float
    decode: float
    render: float
    upload: float
    total: float


class _Result(Event):
    event_id: EventId
    upload_event_id: EventId
    occurred_at: UtcTime
    produced_at: UtcTime
    company_id: DatabaseId
    media: Media


SettingsFingerprint = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z.-]+$")]
Version = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[0-9A-Za-z.-]+$")]


class ThumbnailReady(_Result):
    """Thumbnails are stored and confirmed. `occurred_at` is the upload's time, `thumbnail_url` the medium rendition's."""

    thumbnail_url: str
    renditions: tuple[RenditionInfo, ...] = Field(strict=False)
    storage: StorageInfo
    source: SourceInfo
    frame: FrameInfo
    degraded: bool = False
    degraded_reason: OpenDegradedReason | None = Field(
        None, description="Why it is degraded, one word; null where it is not. New words may come."
    )
    placeholder: str | None = Field(None, description="ThumbHash in base64: some 25 bytes to show while it loads.")
    attempt: int
    timings_ms: TimingsMs
    version: Version | None = Field(
        None,
        description="The name with which the folder of its renditions begins. A thumbnail.failed with the same version"
        " says that they may be deleted.",
    )
    settings: SettingsFingerprint | None = Field(
        None,
        description="A name for the settings that they were made with: renditions, format, quality and the like. Another name:"
        " other settings. Null in events of 0.1.",
    )


class ErrorInfo(Event):
    """Why an upload has no thumbnail, and what a person should do now."""

    code: OpenErrorCode
    message: ShortText
    stage: OpenStage
    retryable: bool
    next_action: ShortText


class DeadLetterInfo(Event):
    """Where the original record can be found and replayed from."""

    topic: str


class ThumbnailFailed(_Result):
    """An upload was given up; its record is a dead letter."""

    error: ErrorInfo
    attempts: int
    first_failed_at: UtcTime
    dead_letter: DeadLetterInfo
    version: Version | None = Field(
        None, description="The name with which the folder begins that its attempts may have written to."
    )


class CleanupReason(StrEnum):
    """Why objects have no owner; `row_gone`: the company has no such row, or the media was deleted upstream."""

    ROW_GONE = "row_gone"
    STALE = "stale"
    SUPERSEDED = "superseded"
    GIVEN_UP = "given_up"


class ThumbnailCleanup(_Result):
    """A request to delete objects that no row refers to: `version`, unless the row shows it, and every older version."""

    version: Version
    storage: StorageInfo | None = None
    reason: CleanupReason


def name_uuid(namespace: uuid.UUID, name: str) -> str:
    """Return the text of uuid.uuid5(namespace, name), at half of its cost."""
    digest = hashlib.sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()
    number = int.from_bytes(digest[:16]) & _UUID5_KEEPS | _UUID5_SETS
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_UUID5_KEEPS: Final = ~(0xF << 76 | 0x3 << 62)
_UUID5_SETS: Final = 0x5 << 76 | 0x2 << 62
"""The bits of version 5 and of RFC 9562's variant."""


def derived_event_id(upload_event_id: str, company_id: int, media: Media, outcome: str) -> str:
    """Return an id that is the same for every redelivery of the same upload and outcome, and differs where media or company do."""
    return name_uuid(_EVENT_ID_NAMESPACE, f"{outcome}:{company_id}:{media.record_key}:{upload_event_id}")


def is_live(upload_event_id: str) -> bool:
    """Return whether somebody waits for the upload, so that its time to be ready and visible counts."""
    return not upload_event_id.startswith(BACKFILL_PREFIX)


def result_event_id(upload: MediaUploaded, outcome: str, version: str) -> str:
    """Return the id of the result of one version of `upload`: another start of what was given up is another event."""
    named = outcome if version == upload.version else f"{outcome}:{version}"
    return derived_event_id(upload.event_id, upload.company_id, upload.media, named)
