"""Renditions of several formats from one picture: each is what it would be if all were of its format."""

import asyncio
import io

import numpy as np
import pytest
from PIL import Image

from processors.output.render import render
from processors.output.renditions import parse_renditions
from processors.sandbox.pool import DecodeSlots
from processors.types import PictureFormat, Rendition, ThumbnailSpec
from service.demo.media import scene
from tests.doubles.clips import clip
from tests.doubles.sources import BytesSource, pixels_of
from tests.unit.processors.still.test_pictures import encoded

MIXED = "small:150x112:jpeg:84,medium:320x240,large:640x480:avif:60"
PHOTO = Image.fromarray(scene(800, 600, 0.5))


def pillow_format(rendition: Rendition) -> str | None:
    with Image.open(io.BytesIO(rendition.content)) as opened:
        return opened.format


@pytest.mark.parametrize(
    "content",
    [encoded(PHOTO, "JPEG"), clip([scene(320, 240, 0.4)] * 3), encoded(Image.new("LA", (300, 200), (90, 128)), "PNG")],
)
def test_a_slot_makes_each_rendition_in_its_own_format(content: bytes) -> None:
    async def run() -> tuple[Rendition, ...]:
        async with DecodeSlots(1, is_warm=False) as slots:
            spec = ThumbnailSpec(parse_renditions(MIXED))
            return (await slots.create_thumbnails(BytesSource(content), spec, kind=None)).renditions

    made = asyncio.run(run())
    assert [one.format for one in made] == [PictureFormat.JPEG, PictureFormat.WEBP, PictureFormat.AVIF]
    assert [pillow_format(one) for one in made] == ["JPEG", "WEBP", "AVIF"]


def test_a_rendition_beside_others_is_nearly_the_one_that_it_would_be_alone() -> None:
    mixed = render(
        PHOTO, ThumbnailSpec(parse_renditions("small:150x112:jpeg:84,medium:320x240:webp:70")), "image"
    ).renditions
    jpeg = render(
        PHOTO, ThumbnailSpec(parse_renditions("small:150x112"), format=PictureFormat.JPEG, quality=84), "image"
    )
    webp = render(PHOTO, ThumbnailSpec(parse_renditions("medium:320x240"), quality=70), "image")
    assert mixed[1] == webp.renditions[0]
    # Its colours went by the planes, which the JPEG alone does without.
    difference = np.abs(pixels_of(mixed[0]).astype(int) - pixels_of(jpeg.renditions[0]))
    assert difference.mean() < 2
    assert abs(len(mixed[0].content) / len(jpeg.renditions[0].content) - 1) < 0.05


def test_what_is_transparent_stays_so_in_the_formats_that_can_and_is_laid_on_the_background_in_those_that_cannot() -> (
    None
):
    picture = Image.new("RGBA", (400, 300), (0, 0, 255, 0))
    picture.paste((0, 160, 0, 255), (0, 0, 200, 300))
    spec = ThumbnailSpec(parse_renditions("a:200x150:jpeg,b:200x150:webp,c:200x150:avif"), background="ff0000")
    jpeg, *others = render(picture, spec, "image").renditions
    assert tuple(int(value) for value in pixels_of(jpeg)[75, 150]) == pytest.approx((255, 0, 0), abs=6)
    for other in others:
        alpha = pixels_of(other, "RGBA")[75, :, 3]
        assert (alpha[50], alpha[150]) == (255, 0)


def test_a_drawing_is_kept_exactly_where_the_format_can_and_the_others_are_as_ever() -> None:
    drawing = Image.new("RGB", (300, 300), "white")
    for place in range(0, 300, 20):
        drawing.paste("red", (place, 0, place + 1, 300))
    spec = ThumbnailSpec(parse_renditions("a:300x300:jpeg,b:300x300:webp"))
    jpeg, webp = render(drawing, spec, "image").renditions
    assert np.array_equal(pixels_of(webp), np.asarray(drawing))
    assert pillow_format(jpeg) == "JPEG"
    assert webp.content[12:16] == b"VP8L"


@pytest.mark.parametrize("picture_format", list(PictureFormat))
def test_more_effort_makes_fewer_bytes_of_the_same_picture(picture_format: PictureFormat) -> None:
    """JPEG: a baseline file, of which SOF0 is the frame, or a progressive one."""
    sizes = parse_renditions("large:640x480")
    low, high = (
        render(PHOTO, ThumbnailSpec(sizes, format=picture_format, effort=effort), "video").renditions[0]
        for effort in ("low", "high")
    )
    assert low.content != high.content
    assert len(high.content) < 1.02 * len(low.content)
    assert np.abs(pixels_of(low).astype(int) - pixels_of(high)).mean() < 3
    if picture_format is PictureFormat.JPEG:
        assert (b"\xff\xc0" in low.content, b"\xff\xc2" in high.content) == (True, True)
