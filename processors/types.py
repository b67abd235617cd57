"""The values that go into and come out of thumbnail making."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self

from processors.limits import MAX_BYTES_READ, MAX_FRAMES, MAX_PIXELS, MAX_READS, MAX_RENDITION_BYTES, MAX_SOURCE_BYTES
from schemas.degraded import DegradedReason

if TYPE_CHECKING:  # the roles that decode nothing use these types too, and must not load Pillow
    from PIL import Image

    from processors.planes import YuvPicture

RenditionMode = Literal["fit", "fill"]
AlphaMode = Literal["keep", "flatten"]
FrameDecoder = Literal["auto", "pyav", "opencv"]
FrameStrategy = Literal["smart", "fixed"]
Effort = Literal["low", "high"]
Kind = Literal["video", "image"]


class PictureFormat(StrEnum):
    """A format of renditions, with all that depends on it: a new format is one member. Its name is Pillow's name."""

    # What each step costs in time and bytes: docs/formats.md.
    WEBP = "webp", "webp", "image/webp", True, {"method": 2}, {"method": 4}
    JPEG = "jpeg", "jpg", "image/jpeg", False, {"optimize": False}, {"optimize": True, "progressive": True}
    AVIF = "avif", "avif", "image/avif", True, {"speed": 10}, {"speed": 8}

    extension: str
    """Of a file's name, without the dot."""
    media_type: str
    keeps_alpha: bool
    options_by_effort: dict[Effort, dict[str, Any]]
    """For Pillow's encoder, beside the quality."""

    def __new__(  # noqa: PLR0913 - a row of the table above
        cls, name: str, extension: str, media_type: str, keeps_alpha: bool, low: dict[str, Any], high: dict[str, Any]
    ) -> Self:
        """Make the member, whose value is `name`."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.extension, member.media_type = extension, media_type
        member.keeps_alpha, member.options_by_effort = keeps_alpha, {"low": low, "high": high}
        return member


class Source(Protocol):
    """Random access to the bytes of one unchanging object. Called from several threads, but not at the same time."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on, fewer only at the end. Whatever it raises reaches the caller unchanged."""


@dataclass(frozen=True)
class RenditionSpec:
    """A box in pixels, and how the picture meets it; nothing is ever upscaled.

    `fit`: the whole picture inside the box, its aspect kept. `fill`: the middle of the picture with the box's aspect,
    as large as the box, or as the picture allows. A `format` and a `quality` of its own count before those of all.
    """

    name: str
    width: int
    height: int
    mode: RenditionMode = "fit"
    format: PictureFormat | None = None
    quality: int | None = None


STANDARD_RENDITIONS: Final = (
    RenditionSpec("small", 150, 112),
    RenditionSpec("medium", 320, 240),
    RenditionSpec("large", 640, 480),
)


@dataclass(frozen=True)
class ThumbnailSpec:
    """The wish for one source, and its limits. `effort` is the encoders': more time for fewer bytes.

    `frame_time_s` is the uploader's own choice, clamped to the duration. `background` is RRGGBB, in hexadecimal.
    """

    renditions: tuple[RenditionSpec, ...] = STANDARD_RENDITIONS
    format: PictureFormat = PictureFormat.WEBP
    quality: int = 80
    effort: Effort = "low"
    max_rendition_bytes: int = MAX_RENDITION_BYTES
    background: str = "ffffff"
    alpha: AlphaMode = "keep"
    frame_time_s: float | None = None
    decoder: FrameDecoder = "auto"
    strategy: FrameStrategy = "smart"
    max_source_bytes: int = MAX_SOURCE_BYTES
    max_pixels: int = MAX_PIXELS
    max_frames: int = MAX_FRAMES
    max_reads: int = MAX_READS
    max_bytes_read: int = MAX_BYTES_READ

    def format_of(self, wanted: RenditionSpec) -> PictureFormat:
        """Return the format of a rendition: its own, else that of all."""
        return self.format if wanted.format is None else wanted.format

    def quality_of(self, wanted: RenditionSpec) -> int:
        """Return the quality of a rendition: its own, else that of all."""
        return self.quality if wanted.quality is None else wanted.quality


@dataclass(frozen=True)
class Rendition:
    """One encoded picture; width and height in pixels as encoded."""

    name: str
    width: int
    height: int
    format: PictureFormat
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Frame:
    """Which frame was taken: its time in seconds (None for a photograph), and how it was found."""

    time_s: float | None
    method: str
    score: float | None = None
    candidates: int = 1


@dataclass(frozen=True)
class SourceFacts:
    """The facts of a source. Pixels before rotation; rotation in degrees clockwise that was applied."""

    kind: Kind
    width: int
    height: int
    duration_s: float | None
    codec: str
    format: str
    rotation: int


@dataclass(frozen=True)
class DecodedFrame:
    """An upright picture with square pixels, in mode RGB or RGBA or in planes, scaled down to what the largest rendition needs."""

    image: "Image.Image | YuvPicture"
    frame: Frame
    facts: SourceFacts
    degraded: bool = False
    reason: DegradedReason = DegradedReason.DAMAGED
    """Why, where it is degraded."""


@dataclass(frozen=True)
class ThumbnailSet:
    """The result for one source: every rendition of the spec, in its order. Timings in milliseconds."""

    renditions: tuple[Rendition, ...]
    frame: Frame
    source: SourceFacts
    degraded_reason: DegradedReason | None
    bytes_read: int
    read_ms: float
    decode_ms: float
    render_ms: float
    placeholder: str | None = None

    @property
    def degraded(self) -> bool:
        """Return whether there is a reason to look at it."""
        return self.degraded_reason is not None
