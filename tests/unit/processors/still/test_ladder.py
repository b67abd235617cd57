"""Damaged pictures: what is there is shown and called degraded; what is spoilt beside the pixels does not matter."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from processors.sandbox.pool import DecodeSlots
from processors.types import ThumbnailSet
from schemas.errors import ErrorCode
from tests.doubles import corpus_damaged as damaged
from tests.doubles.corpus_kinds import saved
from tests.doubles.sources import BytesSource, pixels_of
from tests.unit.processors.sandbox.test_pool import make as make_caged
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import code_of, make


def difference(made: ThumbnailSet, whole: ThumbnailSet, first: float = 0.0, last: float = 1.0) -> float:
    """The mean difference of the rows between two shares of the height, of the largest rendition."""
    one, other = pixels_of(made.renditions[2]).astype(int), pixels_of(whole.renditions[2])
    assert one.shape == other.shape
    rows = slice(round(first * len(one)), round(last * len(one)))
    return float(np.abs(one[rows] - other[rows]).mean())


def alpha_of(made: ThumbnailSet) -> Any:
    return pixels_of(made.renditions[2], "RGBA")[..., 3]


def assert_damaged(made: ThumbnailSet) -> None:
    assert (made.degraded, made.frame.method, made.source.kind) == (True, "image-damaged", "image")


# PNG


@pytest.mark.parametrize("name", damaged.SPOILT_BESIDE_THE_PIXELS)
def test_what_only_describes_a_png_may_be_spoilt(name: str) -> None:
    made = make(damaged.with_chunk(*damaged.SPOILT_BESIDE_THE_PIXELS[name]))
    assert not made.degraded
    assert difference(made, make(damaged.sound("PNG"))) < 1
    assert (made.frame.method, made.source.codec) == ("image", "png")


def test_checksums_that_are_wrong_do_not_matter_where_the_pixels_are_right() -> None:
    made = make(damaged.with_wrong_checksums())
    assert not made.degraded
    assert difference(made, make(damaged.sound("PNG"))) < 1


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (32, 24)])
def test_the_checksum_of_the_pixels_own_stream_does_not_matter(size: tuple[int, int]) -> None:
    content = saved(damaged.grainy().resize(size), "PNG")
    parts = [list(part) for part in damaged.chunks(content)]
    data = b"".join(body for kind, body in parts if kind == b"IDAT")
    spoilt = [(kind, body) for kind, body in parts if kind not in (b"IDAT", b"IEND")]
    spoilt += [(b"IDAT", data[:-4] + bytes(4)), (b"IEND", b"")]
    made = make(content[:8] + b"".join(damaged.chunk(kind, body) for kind, body in spoilt))
    assert not made.degraded
    assert difference(made, make(content)) == 0


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "I;16"])
def test_a_png_that_is_cut_shows_its_rows_and_nothing_below(mode: str, share: float) -> None:
    content = saved(damaged.grainy("L").convert("I;16") if mode == "I;16" else damaged.grainy(mode), "PNG")
    made, whole = make(content[: int(len(content) * share)]), make(content)
    assert_damaged(made)
    assert (made.source.width, made.source.height) == (damaged.WIDTH, damaged.HEIGHT)
    assert difference(made, whole, 0, share - 0.1) < 6
    alpha = alpha_of(made)
    assert alpha[: round((share - 0.1) * len(alpha))].min() == 255
    assert alpha[round((share + 0.1) * len(alpha)) :].max(initial=0) == 0


def test_a_png_with_damage_in_its_pixels_shows_the_rows_before() -> None:
    content = bytearray(damaged.sound("PNG"))
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    made = make(bytes(content))
    assert_damaged(made)
    assert difference(made, make(damaged.sound("PNG")), 0, 0.4) < 6


@pytest.mark.parametrize(("share", "size"), [(0.98, (320, 120)), (0.4, (160, 120)), (0.2, (80, 60))])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_an_interlaced_png_that_is_cut_is_shown_as_coarse_as_it_is(
    mode: str, share: float, size: tuple[int, int]
) -> None:
    content = damaged.interlaced_png(mode)
    made, whole = make(content[: int(len(content) * share)]), make(content)
    assert_damaged(made)
    assert made.source.width == size[0] // (2 if size[0] > 2 * size[1] else 1)
    large = made.renditions[2]
    assert large.width / large.height == pytest.approx(4 / 3, rel=0.05)
    shown, smaller = pixels_of(large).astype(int), pixels_of(whole.renditions[2])
    step = len(smaller) // len(shown)
    assert np.abs(shown.mean(axis=(0, 1)) - smaller[::step, ::step].mean(axis=(0, 1))).max() < 8


@pytest.mark.parametrize("end", [8, 33, 60])
def test_a_png_without_pixels_is_refused(end: int) -> None:
    assert code_of(damaged.sound("PNG")[:end]) is ErrorCode.MEDIA_CORRUPT


# JPEG: test_jpeg_end.py has those that are cut


def test_a_jpeg_with_a_marker_where_pixels_are_shows_the_rest() -> None:
    content = bytearray(damaged.sound("JPEG", quality=90))
    content[len(content) // 2 : len(content) // 2 + 4] = b"\xff\xc8\0\x02"
    made = make(bytes(content))
    assert_damaged(made)
    assert difference(made, make(damaged.sound("JPEG", quality=90)), 0, 0.4) < 6


# The others


@pytest.mark.parametrize("number", [0, 5, 14])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_a_tiff_with_a_spoilt_strip_shows_the_others(compression: str, number: int) -> None:
    made = make(damaged.with_a_spoilt_strip(number, compression))
    whole = make(damaged.tiff_of_strips(compression))
    assert_damaged(made)
    first, last = number * 16 / damaged.HEIGHT, (number + 1) * 16 / damaged.HEIGHT
    assert difference(made, whole, 0, first - 0.01) < 8 if number else True
    assert difference(made, whole, last + 0.01, 1) < 8 if number < 14 else True


@pytest.mark.parametrize("share", [0.4, 0.8])
@pytest.mark.parametrize("picture_format", ["GIF", "WEBP", "BMP", "TGA", "PCX", "SGI", "TIFF", "PPM", "DIB"])
def test_one_of_another_kind_that_is_cut_shows_what_there_is(picture_format: str, share: float) -> None:
    options: dict[str, dict[str, Any]] = {"WEBP": {"quality": 90}, "GIF": {"interlace": False}}
    content = damaged.sound(picture_format, **options.get(picture_format, {}))
    made = make(content[: int(len(content) * share)])
    assert_damaged(made)
    whole = make(content)
    is_from_below = picture_format in ("BMP", "TGA", "DIB")
    first, last = (1 - share + 0.1, 1.0) if is_from_below else (0.0, share - 0.15)
    assert picture_format == "SGI" or difference(made, whole, first, last) < 8, "of SGI whole channels are missing"


@pytest.mark.parametrize("share", [0.2, 0.4, 0.8])
def test_an_interlaced_gif_that_is_cut_is_shown_as_coarse_as_it_is(share: float) -> None:
    content = damaged.sound("GIF")
    made = make(content[: int(len(content) * share)])
    assert_damaged(made)
    assert difference(made, make(content)) < 20


@pytest.mark.parametrize("picture_format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TGA", "QOI", "TIFF", "PPM"])
def test_one_of_which_nothing_but_the_header_is_there_is_refused(picture_format: str) -> None:
    content = damaged.sound(picture_format)
    assert code_of(
        content[: 70 if picture_format in ("BMP", "TGA", "QOI", "PPM") else 800 if picture_format == "GIF" else 200]
    ) in (
        ErrorCode.MEDIA_CORRUPT,
        ErrorCode.MEDIA_UNSUPPORTED,
    )


# AVIF


@pytest.mark.parametrize(
    "made_by", [damaged.with_two_associations, damaged.without_size_of_alpha, damaged.with_alpha_of_nothing]
)
def test_avifs_with_alpha_in_boxes_that_browsers_take_are_ready(made_by: Any) -> None:
    made = make(made_by())
    assert (made.degraded, made.source.codec) == (False, "avif")
    alpha = alpha_of(made)
    assert alpha[:, : alpha.shape[1] * 2 // 5].max() < 10
    assert alpha[:, alpha.shape[1] * 3 // 5 :].min() > 245
    right = pixels_of(made.renditions[2])[:, alpha.shape[1] * 3 // 5 :].astype(int)
    assert np.abs(right - pixels_of(make(damaged.sound("PNG")).renditions[2])[:, alpha.shape[1] * 3 // 5 :]).mean() < 16


def test_tags_of_an_avif_that_are_none_do_not_matter() -> None:
    made = make(damaged.with_spoilt_tags())
    assert not made.degraded
    assert difference(made, make(damaged.sound("AVIF", quality=90))) < 2


def test_all_of_it_works_in_the_cage() -> None:
    png, webp = damaged.sound("PNG"), damaged.sound("WEBP")
    contents = [
        png[: len(png) // 2],
        webp[: len(webp) // 2],
        damaged.with_a_spoilt_strip(3),
        damaged.with_two_associations(),
    ]

    async def body(slots: DecodeSlots) -> list[str]:
        return [(await make_caged(slots, BytesSource(content))).frame.method for content in contents]

    assert with_slots(body) == ["image-damaged"] * 3 + ["image"]


def test_a_gif_that_is_cut_in_its_only_block_shows_the_rows_before() -> None:
    content = damaged.gif_cut_in_its_only_block()
    made = make(content)
    assert_damaged(made)
    whole = saved(damaged.grainy().resize((14, 12)).quantize(16), "GIF", optimize=False)
    assert whole.startswith(content[:-40])
    assert difference(made, make(whole), 0, 0.5) < 6


def test_an_old_tiff_around_a_jpeg_is_the_jpeg() -> None:
    made, jpeg = make(damaged.old_jpeg_tiff()), make(damaged.grey_jpeg())
    assert (made.source.codec, made.degraded) == ("tiff", False)
    assert difference(made, jpeg) < 1


def test_the_turn_of_an_old_tiff_is_made() -> None:
    made = make(damaged.old_jpeg_tiff(orientation=6))
    upright = make(saved(damaged.grainy("L").transpose(Image.Transpose.ROTATE_270), "PNG"))
    assert difference(made, upright) < 6


@pytest.mark.parametrize("made_by", [damaged.avif_with_a_brand_of_gain_maps, damaged.avif_with_a_group])
def test_an_avif_that_names_what_libavif_refuses_is_shown_without(made_by: Any) -> None:
    """Gain maps, and layers of pyramids: Chromium passes over them."""
    made = make(made_by())
    assert (made.source.codec, made.degraded) == ("avif", False)
    assert difference(made, make(damaged.sound("PNG"))) < 6


def test_a_turn_of_an_avif_is_made_even_where_it_is_not_essential() -> None:
    content = damaged.avif_whose_turn_may_be_passed_over()
    assert content != damaged.turned_avif()
    made = make(content)
    assert not made.degraded
    assert difference(made, make(damaged.turned_avif())) == 0
    assert difference(made, make(damaged.sound("PNG"))) < 6
