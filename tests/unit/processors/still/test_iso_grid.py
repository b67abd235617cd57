"""AVIF and HEIC pictures of more pixels than are held at a time: as libavif and libheif show them whole, without holding them."""

import io
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image

from processors.sandbox.pool import DecodeSlots
from processors.types import ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode
from tests.doubles.iso_pictures import coded, in_tiles, tiled
from tests.doubles.sources import BytesSource, colour_at, pixels_of
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_large import (
    BOX,
    HEIGHT,
    LIMIT,
    MEMORY_MB,
    WIDTH,
    expected,
    picture,
    see_through,
    shown,
    taken_from,
    turned,
)
from tests.unit.processors.still.test_pictures import code_of, encoded, make

FAST: dict[str, dict[str, Any]] = {"AVIF": {"speed": 10, "quality": 90}, "HEIF": {"quality": 90}}
TILE = 128


@pytest.fixture(autouse=True)
def heic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Teach Pillow to read and write HEIC, for one test."""
    Image.init()
    for name in ("OPEN", "SAVE", "SAVE_ALL", "EXTENSION", "MIME"):
        monkeypatch.setattr(Image, name, dict(getattr(Image, name)))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


TIMES = 4


@cache
def part() -> Image.Image:
    """Three rows of two tiles; the last column is cut. It ends as it begins."""
    half = picture().resize((240, 3 * TILE // 2), Image.Resampling.BOX)
    whole = Image.new("RGB", (half.width, 3 * TILE))
    whole.paste(half)
    whole.paste(half.transpose(Image.Transpose.FLIP_TOP_BOTTOM), (0, half.height))
    return whole


@cache
def tall() -> Image.Image:
    """A small picture, of which a row of tiles is a small part."""
    whole = Image.new("RGB", (part().width, TIMES * part().height))
    for number in range(TIMES):
        whole.paste(part(), (0, number * part().height))
    return whole


@cache
def in_small_tiles(kind: str, quarters: int = 0) -> bytes:
    properties = [(b"irot", bytes([quarters]))] if quarters else []
    return in_tiles(part(), kind, tile=TILE, times=TIMES, properties=properties, **FAST[kind])


def as_a_whole(content: bytes) -> Image.Image:
    """By libavif or libheif, turned as the file says."""
    with Image.open(io.BytesIO(content)) as opened:
        return opened.convert("RGB")


def assert_alike(made: ThumbnailSet, wanted: NDArray[np.float64]) -> None:
    assert shown(made).shape == wanted.shape
    difference = np.abs(shown(made) - wanted)
    assert difference.mean() < 3
    assert difference.mean(axis=(1, 2)).max() < 6, "every row is in its place"
    assert difference.mean(axis=(0, 2)).max() < 6


@pytest.mark.parametrize("kind", FAST)
def test_one_of_tiles_looks_as_it_does_as_a_whole(kind: str) -> None:
    content = in_small_tiles(kind)
    made = taken_from(content, max_pixels=tall().width * tall().height - 1)
    assert (made.source.width, made.source.height, made.source.codec) == (*tall().size, kind.lower())
    assert_alike(made, expected(as_a_whole(content)))


@pytest.mark.parametrize("kind", FAST)
def test_one_of_one_frame_does_so_too(kind: str) -> None:
    even = picture().resize((640, 440), Image.Resampling.BOX)
    content = encoded(even, kind, **FAST[kind])
    made = taken_from(content, max_pixels=640 * 440 - 1)
    assert (made.source.width, made.source.height, made.source.codec) == (*even.size, kind.lower())
    assert_alike(made, expected(as_a_whole(content)))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_one_that_is_turned_comes_out_upright(quarters: int) -> None:
    """libheif turns a HEIC itself, and Pillow says of an AVIF that it has a turn in its tags."""
    heic = in_small_tiles("HEIF", quarters)
    upright = tall().rotate(90 * quarters, expand=True)
    assert as_a_whole(heic).size == upright.size, "libheif's own"
    made = taken_from(heic, max_pixels=tall().width * tall().height - 1)
    assert_alike(made, expected(as_a_whole(heic)))
    avif = encoded(picture(), "AVIF", exif=turned({1: 8, 2: 3, 3: 6}[quarters]), **FAST["AVIF"])
    assert_alike(taken_from(avif), expected(picture().rotate(90 * quarters, expand=True)))


def test_its_transparency_is_kept() -> None:
    content = encoded(see_through(), "AVIF", **FAST["AVIF"])
    found = shown(taken_from(content), "RGBA")
    assert np.abs(found[..., 3] - expected(see_through().getchannel("A"))).mean() < 2


def test_an_avif_that_uses_a_tile_twice_is_shown_as_browsers_show_it() -> None:
    """libavif refuses it; libheif and Chromium do not."""
    red, blue = (coded(Image.new("RGB", (80, 80), name), "AVIF", speed=10) for name in ("red", "blue"))
    content = tiled([red, blue, blue, red], "AVIF", columns=2, tile=(80, 80), size=(150, 130), shared=True)
    with pytest.raises((OSError, ValueError, RuntimeError)):
        as_a_whole(content)
    made = make(content)
    assert (made.source.width, made.source.height, made.degraded) == (150, 130, False)
    pixels = pixels_of(made.renditions[2])
    for x, y, colour in ((0.2, 0.2, "red"), (0.8, 0.2, "blue"), (0.2, 0.8, "blue"), (0.8, 0.8, "red")):
        wanted = {"red": (254, 0, 0), "blue": (0, 0, 254)}[colour]
        assert colour_at(pixels, x, y) == pytest.approx(wanted, abs=8)


def test_one_with_a_crop_or_of_large_tiles_is_refused_as_before() -> None:
    frame = coded(picture(), "AVIF", **FAST["AVIF"])
    two = tiled([frame, frame], "AVIF", columns=2, tile=picture().size, size=(2 * WIDTH, HEIGHT))
    assert code_of(two, max_pixels=LIMIT) is ErrorCode.MEDIA_TOO_MANY_PIXELS
    cropped = encoded(picture().resize((319, 239)), "HEIF", **FAST["HEIF"])
    assert b"clap" in cropped, "it is of odd sizes"
    assert code_of(cropped, max_pixels=319 * 239 - 1) is ErrorCode.MEDIA_TOO_MANY_PIXELS


def test_more_than_three_times_the_limit_is_refused() -> None:
    content = encoded(picture(), "AVIF", **FAST["AVIF"])
    assert code_of(content, max_pixels=WIDTH * HEIGHT // 3 - 1) is ErrorCode.MEDIA_TOO_MANY_PIXELS


@pytest.mark.parametrize("kind", FAST)
def test_of_one_with_a_damaged_tile_the_rows_above_it_are_shown(kind: str) -> None:
    """The second of twelve rows is damaged."""
    whole = in_small_tiles(kind)
    middle = whole.index(b"mdat") + (len(whole) - whole.index(b"mdat")) // 2
    content = whole[:middle] + b"\xff" * (len(whole) - middle)
    made = make(content, renditions=(BOX,), quality=100, max_pixels=tall().width * tall().height - 1)
    assert (made.frame.method, made.degraded) == ("image-damaged", True)
    found = shown(made, "RGBA")
    assert (found[12:, :, 3] == 0).all()
    assert np.abs(found[:8, :, :3] - expected(tall())[:8]).mean() < 3


@pytest.mark.parametrize("kind", FAST)
def test_a_photograph_of_200_megapixels_is_made_in_a_cage_that_its_pixels_would_not_fit_into(kind: str) -> None:
    """The left half red, the right half blue: two tiles, again and again."""
    tile, columns, rows = 1024, 16, 12
    red, blue = (coded(Image.new("RGB", (tile, tile), name), kind, **FAST[kind]) for name in ("red", "blue"))
    size = (columns * tile, rows * tile)
    content = tiled(([red] * 8 + [blue] * 8) * rows, kind, columns=columns, tile=(tile, tile), size=size)

    async def body(slots: DecodeSlots) -> ThumbnailSet:
        return await slots.create_thumbnails(BytesSource(content), ThumbnailSpec(), kind=None)

    found = with_slots(body, heic=True, memory_mb=MEMORY_MB + 160, timeout_s=120)
    assert (found.source.width, found.source.height) == size
    pixels = pixels_of(found.renditions[2])
    assert colour_at(pixels, 0.25, 0.5) == pytest.approx((254, 0, 0), abs=8)
    assert colour_at(pixels, 0.75, 0.5) == pytest.approx((0, 0, 254), abs=8)
