"""Photoshop documents that were saved without their composite show the preview beside the layers, and never the filling in its place."""

import struct

import numpy as np
import pytest
from PIL import Image

from schemas.errors import ErrorCode, PermanentError
from tests.doubles.corpus_kinds import HEIGHT, WIDTH, photograph, saved
from tests.doubles.sources import pixels_of
from tests.unit.processors.still.test_pictures import make

PREVIEW = (48, 36)
FILLING = Image.new("RGB", (WIDTH, HEIGHT), "white")


def document(
    composite: Image.Image,
    preview: Image.Image | None,
    *,
    is_flagged: bool = True,
    layers: bool = True,
    version: int = 1,
) -> bytes:
    """A document of one empty layer; `is_flagged`: its version resource says that the composite is no picture of the layers."""
    resources = [(0x0421, struct.pack(">LB", 1, not is_flagged) + bytes(12))]
    if preview is not None:
        jpeg = saved(preview, "JPEG", quality=95)
        sizes = struct.pack(
            ">6L2H", 1, *preview.size, 3 * preview.width, 3 * preview.width * preview.height, len(jpeg), 24, 1
        )
        resources.append((0x040C, sizes + jpeg))
    packed = b"".join(
        struct.pack(">4sH4sL", b"8BIM", number, b"\3abc", len(data)) + data + bytes(len(data) % 2)
        for number, data in resources
    )
    long = ">L" if version == 1 else ">Q"
    info = struct.pack(">h4L", 1, 0, 0, 0, 0) if layers else b""
    section = struct.pack(long, len(info)) + info if layers else b""
    head = b"8BPS" + struct.pack(">H6xHLLHH", version, 3, HEIGHT, WIDTH, 8, 3)
    stored = np.asarray(composite.convert("RGB")).transpose(2, 0, 1).tobytes()
    return (
        head
        + bytes(4)
        + struct.pack(">L", len(packed))
        + packed
        + struct.pack(long, len(section))
        + section
        + b"\0\0"
        + stored
    )


def differs(content: bytes, scene: Image.Image) -> float:
    shown = Image.fromarray(pixels_of(make(content).renditions[2]))
    return float(
        np.abs(np.asarray(shown, int) - np.asarray(scene.resize(shown.size, Image.Resampling.BOX), int)).mean()
    )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("filling", ["white", "a text that it is missing"])
def test_the_preview_is_shown_where_there_is_no_composite(filling: str, version: int) -> None:
    composite = FILLING.copy()
    if filling != "white":
        composite.paste("black", (0, 30, WIDTH, 90))
    small = photograph().resize(PREVIEW, Image.Resampling.BOX)
    content = document(composite, small, version=version)
    made = make(content)
    assert (made.frame.method, made.degraded_reason, made.source.codec) == ("image-preview", "preview", "psd")
    assert (made.source.width, made.source.height) == (WIDTH, HEIGHT)
    assert differs(content, small) < 6


def test_a_preview_of_the_whole_size_is_as_good_as_the_picture() -> None:
    made = make(document(FILLING, photograph()))
    assert (made.frame.method, made.degraded) == ("image-preview", False)


@pytest.mark.parametrize(
    ("flags", "preview"),
    [
        ({"is_flagged": False}, Image.new("RGB", PREVIEW, "red")),
        ({"layers": False}, Image.new("RGB", PREVIEW, "red")),
        ({"layers": False}, None),
        ({}, photograph().resize(PREVIEW)),
    ],
)
def test_a_composite_that_is_there_is_shown(flags: dict[str, bool], preview: Image.Image | None) -> None:
    """Whatever the preview shows, unless the document says otherwise and has layers; and where the preview shows the same."""
    content = document(photograph(), preview, **flags)
    assert make(content).frame.method == "image"
    assert differs(content, photograph()) < 6


def test_without_a_preview_it_is_refused_by_its_name() -> None:
    with pytest.raises(PermanentError, match="a Photoshop document that was saved without its composite") as caught:
        make(document(FILLING, None))
    assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED
