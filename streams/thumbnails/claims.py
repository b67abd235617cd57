"""The facts of an uploaded file, compared with the claims of its event."""

from collections.abc import Mapping
from typing import Final

from processors.types import SourceFacts, ThumbnailSet
from schemas.events import Media, SourceInfo

SIZE: Final = "media.size_bytes"
CONTENT_TYPE: Final = "media.content_type"
_KINDS: Final = frozenset({"image", "video", "audio", "text", "font", "model"})
"""Types of others, as application/octet-stream, say nothing of a picture or a video."""
_PICTURES: Final[Mapping[str, str]] = {
    "jpeg": "jpeg",
    "jpg": "jpeg",
    "pjpeg": "jpeg",
    "png": "png",
    "x-png": "png",
    "webp": "webp",
    "gif": "gif",
}
"""The formats by their media types: only of those that nobody calls by another name."""
_FORMATS: Final[Mapping[str, str]] = {"mpo": "jpeg"} | {name: name for name in _PICTURES.values()}


def source_info(media: Media, size: int, made: ThumbnailSet) -> SourceInfo:
    """Return what is announced of the file of `size` bytes."""
    facts = made.source
    return SourceInfo(
        width=facts.width,
        height=facts.height,
        duration_s=facts.duration_s,
        codec=facts.codec,
        format=facts.format,
        rotation=facts.rotation,
        bytes_read=made.bytes_read,
        size_bytes=size,
        contradicts=wrong_claims(media, size, facts),
    )


def wrong_claims(media: Media, size: int, facts: SourceFacts) -> tuple[str, ...]:
    """Return the fields of the event that the file of `size` bytes contradicts; what the event leaves out is none of them."""
    wrong = [SIZE] if media.size_bytes is not None and media.size_bytes != size else []
    if media.content_type is not None and _is_another_type(media.content_type, facts):
        wrong.append(CONTENT_TYPE)
    return tuple(wrong)


def _is_another_type(content_type: str, facts: SourceFacts) -> bool:
    kind, _, name = content_type.partition(";")[0].strip().lower().partition("/")
    if kind in _KINDS and kind != facts.kind:
        return True
    said, found = _PICTURES.get(name), _FORMATS.get(facts.format)
    return kind == "image" and said is not None and found is not None and said != found
