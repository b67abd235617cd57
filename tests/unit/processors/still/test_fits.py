"""FITS: the pixels of what was written, of any depth; and what is no picture, cut or too large ends as one code."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from processors.types import ThumbnailSet
from schemas.errors import ErrorCode, PermanentError
from tests.doubles.corpus_rare import fits
from tests.doubles.sources import pixels_of
from tests.unit.processors.still.test_pictures import code_of, make

RAMP = np.tile(np.linspace(0, 1, 160), (120, 1)) * np.linspace(1, 0.5, 120)[:, None]
CODES = np.rint(RAMP * 255)


def assert_ramp(made: ThumbnailSet) -> None:
    """From black to white, its top brighter than its bottom."""
    assert (made.source.kind, made.source.codec, made.frame.method, made.degraded) == ("image", "fits", "image", False)
    shown: NDArray[np.int64] = pixels_of(made.renditions[2]).astype(np.int64)
    assert np.abs(shown - CODES[..., None]).mean() < 4
    assert np.abs(shown - CODES[..., None]).max() <= 12, "lossy WebP"


@pytest.mark.parametrize(
    ("values", "cards"),
    [
        (CODES.astype(np.uint8), ()),
        (np.rint(RAMP * 900).astype(np.int16), ()),
        (
            np.rint(RAMP * 65535 - 32768).astype(np.int16),
            ("BZERO   =                32768", "BSCALE  =                 1.0D0"),
        ),
        (np.rint(RAMP * 70000).astype(np.int32), ()),
        ((RAMP * 1e-9).astype(np.float32), ()),
        (RAMP - 5, ()),
    ],
    ids=["bytes", "sixteen bits", "sixteen bits without a sign", "thirty-two bits", "floats", "doubles"],
)
@pytest.mark.parametrize("extension", [False, True])
def test_it_is_shown_from_black_to_white_with_its_first_row_at_the_bottom(
    values: NDArray[Any], cards: tuple[str, ...], extension: bool
) -> None:
    assert_ramp(make(fits(values, *cards, extension=extension)))


def test_of_a_cube_the_first_plane_is_shown() -> None:
    assert_ramp(make(fits(np.stack([CODES, 255 - CODES, CODES, CODES]).astype(np.uint8))))


def test_what_stands_for_missing_values_is_black_and_darkens_nothing() -> None:
    values = np.rint(100 + RAMP * 900).astype(np.int16)
    values[:40, :40] = 1200
    shown = pixels_of(make(fits(values, "BLANK   =                 1200")).renditions[2]).astype(int)
    assert shown[:38, :38].max() < 8
    assert abs(shown[2, 150].mean() - CODES[2, 150]) < 12


def test_numbers_are_moved_as_the_header_says_and_a_dark_picture_stays_dark() -> None:
    """From 0 to 20,000 of 65,535, as whole numbers with a sign."""
    values = np.rint(RAMP * 20_000 - 32_768).astype(np.int16)
    shown = pixels_of(make(fits(values, "BZERO   =                32768")).renditions[2]).astype(int)
    assert abs(shown[1, 150].mean() - CODES[1, 150] * 20_000 / 65_535) < 6


def test_a_cut_one_shows_the_rows_that_came() -> None:
    content = fits(CODES.astype(np.uint8))
    made = make(content[: 2880 + 160 * 80])
    assert made.degraded
    shown = pixels_of(made.renditions[2]).astype(int)
    assert np.abs(shown[42:] - CODES[42:, :, None]).max() <= 6, "the lower two thirds, which come first"
    assert code_of(content[: 2880 + 160 * 4]) is ErrorCode.MEDIA_CORRUPT


def test_one_without_a_picture_is_called_by_its_name() -> None:
    table = fits(np.zeros((4, 4), np.uint8), extension=True).replace(b"'IMAGE   '", b"'BINTABLE'")
    for content in (table, table[:2880], fits(np.zeros(9, np.uint8))):
        with pytest.raises(PermanentError, match="a FITS file without a picture") as caught:
            make(content)
        assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED


@pytest.mark.parametrize("side", [20_000, 99_999_999_999])
def test_a_giant_is_refused_by_its_header(side: int) -> None:
    content = fits(np.zeros((4, 4), np.uint8)).replace(
        b"NAXIS1  =                    4", f"NAXIS1  = {side:>20}".encode()
    )
    giant = content.replace(b"NAXIS2  =                    4", f"NAXIS2  = {side:>20}".encode())
    assert code_of(giant) is ErrorCode.MEDIA_TOO_MANY_PIXELS


def test_numbers_of_no_known_kind_are_damage() -> None:
    content = fits(np.zeros((4, 4), np.uint8)).replace(b"                   8 / bits", b"                   7 / bits")
    assert code_of(content) is ErrorCode.MEDIA_CORRUPT
