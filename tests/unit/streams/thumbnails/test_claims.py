"""What the event says of its file against what the file is."""

import pytest

from processors.types import Kind, SourceFacts
from schemas.events import Media, MediaKind
from streams.thumbnails.claims import wrong_claims

SIZE = 1000


def claims(size: int | None, content_type: str | None, kind: Kind, form: str) -> tuple[str, ...]:
    media = Media(kind=MediaKind.IMAGE, id=1, ar_content_id=1, key="a/b", size_bytes=size, content_type=content_type)
    return wrong_claims(media, SIZE, SourceFacts(kind, 4, 3, None, "c", form, 0))


@pytest.mark.parametrize(
    ("content_type", "kind", "form"),
    [
        (None, "image", "png"),
        ("image/png", "image", "png"),
        ("IMAGE/JPG; charset=binary", "image", "jpeg"),
        ("image/jpeg", "image", "mpo"),
        ("image/heic", "image", "heif"),
        ("image/vnd.whatever", "image", "png"),
        ("application/octet-stream", "video", "mov"),
        ("video/quicktime", "video", "mov"),
        ("", "video", "mov"),
        ("nonsense", "image", "png"),
    ],
)
def test_what_may_be_right_is_not_told(content_type: str | None, kind: Kind, form: str) -> None:
    assert claims(SIZE, content_type, kind, form) == ()
    assert claims(None, content_type, kind, form) == ()


@pytest.mark.parametrize(
    ("content_type", "kind", "form"),
    [
        ("image/jpeg", "image", "png"),
        ("image/png", "image", "mpo"),
        ("image/jpeg", "video", "mov"),
        ("video/mp4", "image", "jpeg"),
        ("text/html", "image", "svg"),
        ("audio/mp4", "video", "mov"),
    ],
)
def test_another_type_and_another_size_are_told(content_type: str, kind: Kind, form: str) -> None:
    assert claims(SIZE, content_type, kind, form) == ("media.content_type",)
    assert claims(SIZE - 1, content_type, kind, form) == ("media.size_bytes", "media.content_type")
