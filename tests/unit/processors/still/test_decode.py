"""Photographs decoded straight to a smaller size look as if they had been decoded whole and scaled with care."""

import io
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from processors.source_file import SourceFile
from processors.still import decode as picture_decode
from processors.still.decode import decode_reduced
from processors.still.ladder import decode_still
from processors.still.webp_scaled import decode_scaled
from processors.types import DecodedFrame, ThumbnailSpec
from processors.video.pyav import take_deep
from tests.doubles.decoded import shown_by
from tests.doubles.sources import BytesSource
from tests.unit.processors.sandbox.test_pool import make, with_slots
from tests.unit.processors.still.test_pictures import encoded

FORMATS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95, "subsampling": 0}, "PNG": {}, "WEBP": {"quality": 95}}
WIDTH, HEIGHT = 2400, 1800


@cache
def rings() -> Image.Image:
    """Wide rings under fine grain: a scaler that leaves out pixels keeps the grain, one that averages does not."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1.2 : 1.2 : WIDTH * 1j]
    wave = np.sin((x**2 + y**2) * 40)
    colours = np.dstack([128 + 70 * wave, 128 + 60 * wave + 40 * y, 128 - 70 * wave])
    colours += np.random.default_rng(1).normal(0, 30, (HEIGHT, WIDTH, 1))
    return Image.fromarray(colours.clip(0, 255).astype(np.uint8))


@cache
def content(name: str) -> bytes:
    """The rings as a file."""
    return encoded(rings(), name, **FORMATS[name])


def decibels(one: Image.Image, other: Image.Image) -> float:
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


def reduced(data: bytes, target: tuple[int, int] = (640, 480)) -> Image.Image | None:
    file = SourceFile(BytesSource(data))
    with Image.open(file) as opened:  # type: ignore[arg-type]  # it is a readable file, as Pillow needs
        return decode_reduced(opened, file, target)


def taken_from(data: bytes) -> DecodedFrame:
    return decode_still(SourceFile(BytesSource(data)), ThumbnailSpec(), take_deep)


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_shows_that_is_not_in_the_picture(name: str) -> None:
    assert reduced(content(name)) is not None, "the fast way is taken"
    taken = shown_by(taken_from(content(name)))
    assert taken.size == (640, 480)
    assert decibels(taken, rings().resize((640, 480), Image.Resampling.LANCZOS)) > 30
    averaged = cv2.resize(np.asarray(rings()), (640, 480), interpolation=cv2.INTER_AREA)
    assert decibels(taken, Image.fromarray(averaged)) > 30
    leaving_out = rings().resize((640, 480), Image.Resampling.NEAREST)
    assert decibels(leaving_out, Image.fromarray(averaged)) < 20, "the grain would differ"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_kept(name: str, orientation: int) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    corner = Image.new("RGB", (1600, 1200), "white")
    corner.paste("red", (0, 0, 800, 600))  # the top left quarter, as stored
    taken = shown_by(taken_from(encoded(corner, name, exif=tags)))
    assert taken.size == ((640, 480) if orientation < 5 else (360, 480))
    columns, rows = (taken.width // 4, 3 * taken.width // 4), (taken.height // 4, 3 * taken.height // 4)
    red = [(x, y) for x in (0, 1) for y in (0, 1) if is_red(taken.getpixel((columns[x], rows[y])))]
    at = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}
    assert red == [at[orientation]]


def is_red(pixel: object) -> bool:
    assert isinstance(pixel, tuple)
    return bool(pixel[0] > 200 and pixel[1] < 60)


def test_tags_behind_the_pixels_of_a_png_are_found() -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    plain, tagged = encoded(rings(), "PNG"), encoded(rings().resize((8, 8)), "PNG", exif=tags)
    start = tagged.index(b"eXIf") - 4
    chunk = tagged[start : start + 12 + int.from_bytes(tagged[start : start + 4], "big")]
    moved = plain[:-12] + chunk + plain[-12:]
    assert taken_from(moved).facts.rotation == 90


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_is_cut_off_is_left_to_the_slower_readers(name: str) -> None:
    half = content(name)[: len(content(name)) // 2]
    if name != "WEBP":  # Pillow itself does not open half a WebP
        assert reduced(half) is None
    taken = taken_from(half)
    assert (taken.degraded, taken.frame.method) == (True, "image-damaged")


def test_what_is_small_transparent_grey_or_moving_is_left_to_pillow() -> None:
    for picture_format in ("PNG", "WEBP"):
        assert reduced(encoded(rings().convert("RGBA"), picture_format)) is None or picture_format == "WEBP"
        see_through = rings().convert("RGBA")
        see_through.putalpha(100)
        assert reduced(encoded(see_through, picture_format)) is None
    assert reduced(encoded(rings().convert("L"), "JPEG")) is None
    assert reduced(encoded(rings().convert("CMYK"), "JPEG")) is None
    assert reduced(encoded(rings().resize((700, 525)), "JPEG")) is None
    frames = [rings().resize((1600, 1200)), rings().rotate(90).resize((1600, 1200))]
    assert reduced(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])) is None
    assert decode_scaled(encoded(see_through, "WEBP"), 64, 48) is None
    assert decode_scaled(b"RIFF....WEBP", 64, 48) is None


def test_sixteen_bits_a_channel_are_left_to_pillow() -> None:
    deep = cv2.imencode(".png", np.full((1200, 1600, 3), 300 * 257 // 2, np.uint16))[1].tobytes()
    assert reduced(deep) is None


@pytest.mark.parametrize("name", FORMATS)
def test_the_fast_ways_work_in_the_cage(name: str) -> None:
    found = with_slots(lambda slots: make(slots, BytesSource(content(name))))
    assert found.source.codec == name.lower()
    with Image.open(io.BytesIO(found.renditions[2].content)) as opened:
        assert decibels(opened.convert("RGB"), rings().resize((640, 480), Image.Resampling.LANCZOS)) > 25


def test_without_its_library_a_webp_is_decoded_by_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_decode, "decode_scaled", lambda *_: None)
    taken = shown_by(taken_from(content("WEBP")))
    assert decibels(taken, rings().resize((640, 480), Image.Resampling.LANCZOS)) > 30
