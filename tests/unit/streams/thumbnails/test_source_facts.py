"""The event says what the object was, and where the upload's event had said otherwise."""

import pytest

from processors.types import Kind, SourceFacts
from schemas.events import Media, MediaKind
from streams.thumbnails.source_facts import source_info


def contradicted(kind: Kind, found: str, content_type: str | None, size_bytes: int | None) -> tuple[str, ...]:
    media = Media(
        kind=MediaKind.IMAGE, id=1, ar_content_id=1, key="acme/a", content_type=content_type, size_bytes=size_bytes
    )
    facts = SourceFacts(kind=kind, width=4, height=3, duration_s=None, codec=found, format=found, rotation=0)
    told = source_info(media, facts, size_bytes=100, bytes_read=50)
    assert (told.size_bytes, told.bytes_read) == (100, 50)
    return told.contradicts


@pytest.mark.parametrize(
    ("kind", "found", "content_type", "size_bytes"),
    [
        ("image", "png", "image/png", 100),
        ("image", "png", None, None),
        ("image", "mpo", "image/jpeg", 100),
        ("image", "jpeg", "IMAGE/JPEG; charset=binary", 100),
        ("image", "webp", "application/octet-stream", None),
        ("image", "heif", "image/heic", None),
        ("image", "raw", "image/tiff", None),
        ("video", "mov", "video/webm", None),
        ("video", "mov", "image/heic", None),
    ],
)
def test_what_fits_or_says_nothing_contradicts_nothing(
    kind: Kind, found: str, content_type: str | None, size_bytes: int | None
) -> None:
    assert contradicted(kind, found, content_type, size_bytes) == ()


@pytest.mark.parametrize(
    ("kind", "found", "content_type", "size_bytes", "fields"),
    [
        ("image", "jpeg", "image/png", 100, ("content_type",)),
        ("image", "png", "image/png", 99, ("size_bytes",)),
        ("image", "png", "video/mp4", 0, ("size_bytes", "content_type")),
        ("video", "mov", "image/png", None, ("content_type",)),
    ],
)
def test_each_contradiction_is_named_by_its_field(
    kind: Kind, found: str, content_type: str, size_bytes: int | None, fields: tuple[str, ...]
) -> None:
    assert contradicted(kind, found, content_type, size_bytes) == fields
