"""Tells what the decoded source was, and where the upload's event says otherwise."""

from collections.abc import Iterator
from typing import Final

from processors.types import SourceFacts
from schemas.events import Media, SourceInfo

_FORMATS: Final = {
    "image/jpeg": frozenset({"jpeg", "mpo"}),
    "image/jpg": frozenset({"jpeg", "mpo"}),
    "image/png": frozenset({"png"}),
    "image/gif": frozenset({"gif"}),
    "image/webp": frozenset({"webp"}),
    "image/bmp": frozenset({"bmp", "dib"}),
    "image/tiff": frozenset({"tiff"}),
}
"""What a picture of a content type is. Types that stand for several formats, or that programs mix up, are left out."""
_PICTURES: Final = frozenset().union(*_FORMATS.values())


def source_info(media: Media, facts: SourceFacts, *, size_bytes: int, bytes_read: int) -> SourceInfo:
    """Return the facts of an object of `size_bytes`, and which fields of `media` it contradicts."""
    return SourceInfo(
        width=facts.width,
        height=facts.height,
        duration_s=facts.duration_s,
        codec=facts.codec,
        format=facts.format,
        rotation=facts.rotation,
        bytes_read=bytes_read,
        size_bytes=size_bytes,
        contradicts=tuple(_contradictions(media, facts, size_bytes)),
    )


def _contradictions(media: Media, facts: SourceFacts, size_bytes: int) -> Iterator[str]:
    if media.size_bytes is not None and media.size_bytes != size_bytes:
        yield "size_bytes"
    claimed = (media.content_type or "").partition(";")[0].strip().lower()
    if claimed in _FORMATS:
        is_other = facts.kind != "image" or (facts.format in _PICTURES and facts.format not in _FORMATS[claimed])
    else:
        is_other = claimed.startswith("video/") and facts.kind == "image"
    if is_other:
        yield "content_type"
