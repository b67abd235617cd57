"""QuickDraw pictures: all that they hold of pixels, in its place; what is drawn in lines and texts is called missing."""

import numpy as np
import pytest

from processors.types import ThumbnailSet
from schemas.errors import ErrorCode, PermanentError
from tests.doubles import corpus_pict as pict
from tests.doubles.corpus_kinds import HEIGHT, WIDTH, photograph
from tests.doubles.sources import pixels_of
from tests.unit.processors.still.test_pictures import assert_upright, make

BANDS = [(0, top, WIDTH, min(top + 100, HEIGHT)) for top in range(0, HEIGHT, 100)]


def assert_scene(made: ThumbnailSet, *, degraded: bool = False) -> None:
    assert (made.source.codec, made.source.width, made.source.height) == ("pict", WIDTH, HEIGHT)
    assert (made.source.kind, made.degraded) == ("image", degraded)
    assert_upright(made)


@pytest.mark.parametrize(("bits", "packing"), [(16, 1), (16, 3), (32, 1), (32, 2), (32, 4)])
def test_colours_are_shown_however_they_are_packed(bits: int, packing: int) -> None:
    assert_scene(make(pict.picture(pict.colours(bits, packing))))


def test_numbers_of_a_map_are_shown() -> None:
    assert_scene(make(pict.picture(pict.numbers(8))))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_numbers_of_few_bits_are_shown(bits: int) -> None:
    made = make(pict.picture(pict.numbers(bits)))
    scene = np.asarray(photograph().quantize(1 << bits).convert("RGB")).astype(int)
    assert np.abs(pixels_of(made.renditions[2]) - scene).mean() < 12


def test_the_first_version_is_black_on_white() -> None:
    scene = np.asarray(pict.black_and_white())
    shown = pixels_of(make(pict.first_version(scene)).renditions[2])
    assert np.abs(shown.astype(int) - scene[..., None]).mean() < 6


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_what_quicktime_packed_is_shown_and_not_what_stands_for_it(form: str) -> None:
    assert_scene(make(pict.picture(pict.by_quicktime(form), pict.A_TEXT)))
    assert_scene(make(pict.picture(*(pict.by_quicktime(form, band) for band in BANDS))))


def test_parts_are_put_together() -> None:
    assert_scene(make(pict.picture(*(pict.numbers(8, band) for band in BANDS))))


def test_parts_at_another_resolution_keep_it() -> None:
    assert_scene(make(pict.picture(*(pict.colours(32, 4, band) for band in BANDS), dots=144)))


@pytest.mark.parametrize("drawn", [pict.A_LINE, pict.A_TEXT], ids=["a line", "a text"])
def test_what_is_drawn_beside_the_pixels_is_missing(drawn: bytes) -> None:
    assert_scene(make(pict.picture(pict.colours(32, 4), drawn)), degraded=True)


def test_of_a_cut_one_the_parts_that_came_are_shown() -> None:
    content = pict.picture(*(pict.numbers(8, band) for band in BANDS))
    made = make(content[:-5000])
    assert (made.frame.method, made.degraded, made.source.height) == ("image-damaged", True, HEIGHT)
    assert pixels_of(made.renditions[2])[-1, -1].min() > 250


@pytest.mark.parametrize(
    "content",
    [
        pict.picture(pict.A_LINE, pict.A_TEXT),
        pict.picture(pict.colours(32, 4)[:200]),
        pict.picture(*(pict.colours(32, 4, band) for band in BANDS), size=(0, 0)),
    ],
    ids=["no pixels", "cut pixels", "no frame"],
)
def test_one_without_pixels_is_not_read(content: bytes) -> None:
    with pytest.raises(PermanentError, match="QuickDraw") as caught:
        make(content)
    assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED


def test_damage_of_any_kind_ends_as_a_picture_or_as_an_error_of_ours() -> None:
    content = pict.picture(pict.numbers(4, BANDS[0]), pict.colours(16, 3, BANDS[1]), pict.by_quicktime("PNG", BANDS[2]))
    for at in range(512, 700, 3):
        for value in (0, 1, 0x7F, 0xFF):
            try:
                make(content[:at] + bytes((value,)) + content[at + 1 :])
            except PermanentError as error:
                assert error.code in (ErrorCode.MEDIA_CORRUPT, ErrorCode.MEDIA_UNSUPPORTED), at
