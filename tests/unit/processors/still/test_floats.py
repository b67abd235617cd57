"""TIFFs of floats of any range show what they hold; the ramp that was written is the judge."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.doubles.sources import pixels_of
from tests.unit.processors.still.test_pictures import make

RAMP = np.tile(np.linspace(0, 1, 160), (120, 1))
CODES = np.rint(RAMP * 255)


def tiff(values: NDArray[Any]) -> bytes:
    stored = values if values.ndim == 2 else np.ascontiguousarray(values[..., ::-1])
    is_written, content = cv2.imencode(".tiff", stored, [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    assert is_written
    return content.tobytes()


def shown(values: NDArray[Any]) -> NDArray[np.int64]:
    made = make(tiff(values))
    assert not made.degraded
    return pixels_of(made.renditions[2]).astype(np.int64)


@pytest.mark.parametrize("depth", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("least", "most"), [(0, 1), (0, 255), (0, 65535), (0, 4.1), (-1, 1), (100, 1100), (0, 0.03), (-11000, 8800)]
)
def test_grey_of_any_range_is_shown_from_black_to_white(least: float, most: float, depth: Any) -> None:
    pixels = shown((least + RAMP * (most - least)).astype(depth))
    assert np.abs(pixels - CODES[..., None]).max() <= 3


@pytest.mark.parametrize("depth", [np.int32, np.uint32])
@pytest.mark.parametrize("most", [20, 255, 3000, 65535, 300_000, 2**31 - 1])
def test_grey_of_32_bits_is_shown_from_black_to_white(most: int, depth: Any) -> None:
    """As ImageJ shows it; libvips cuts such numbers off at 255."""
    pixels = shown(np.rint(RAMP * most).astype(depth))
    assert np.abs(pixels - CODES[..., None]).max() <= (7 if most == 20 else 3), "twenty steps are coarse"


@pytest.mark.parametrize(("white", "dark"), [(255, 60), (65535, 20000)])
def test_a_dark_picture_of_32_bits_stays_dark(white: int, dark: int) -> None:
    pixels = shown(np.rint(RAMP * dark).astype(np.int32))
    assert np.abs(pixels - (CODES * dark / white)[..., None]).max() <= 3


def test_a_dark_pgm_of_16_bits_stays_dark() -> None:
    """Its header says what white is; Pillow has it in 32 bits."""
    values = np.rint(RAMP * 3000).astype(">u2")
    content = b"P5\n160 120\n65535\n" + values.tobytes()
    assert np.abs(pixels_of(make(content).renditions[2]).astype(int) - (CODES * 3000 / 65535)[..., None]).max() <= 3


@pytest.mark.parametrize(("white", "dark"), [(1, 0.3), (255, 60), (65535, 20000)])
def test_a_dark_picture_stays_dark(white: float, dark: float) -> None:
    pixels = shown((RAMP * dark).astype(np.float32))
    assert np.abs(pixels - (CODES * dark / white)[..., None]).max() <= 3


@pytest.mark.parametrize("missing", [9999.0, -9999.0, -3.4e38, float("nan"), float("inf")])
@pytest.mark.parametrize("depth", [np.float32, np.float64])
def test_what_stands_for_missing_values_does_not_darken_the_others(missing: float, depth: Any) -> None:
    values = (0.03 + RAMP * 0.4).astype(depth)
    values[:, 120:] = missing
    pixels = shown(values)
    assert 75 <= pixels[60, 110].mean() <= 81, "0.31 of 1"
    assert pixels[:, 130:].max() <= 6


def test_a_hot_pixel_does_not_darken_the_others() -> None:
    values = (RAMP * 900).astype(np.float32)
    values[5, 5] = 4000
    assert np.abs(shown(values)[60] - CODES[60][:, None]).max() <= 6


@pytest.mark.parametrize("value", [0.0, 0.5, -7.0])
def test_one_value_everywhere_is_no_error(value: float) -> None:
    pixels = shown(np.full((40, 40), value, np.float64))
    assert np.ptp(pixels) == 0
    assert pixels[0, 0, 0] == (128 if value == 0.5 else 0)


@pytest.mark.parametrize("most", [255, 65535])
@pytest.mark.parametrize("depth", [np.float32, np.float64])
def test_colours_beyond_one_are_no_light(most: float, depth: Any) -> None:
    colours = np.dstack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 0.25)])
    pixels = shown((colours * most).astype(depth))
    assert np.abs(pixels - colours * 255).mean() <= 4, "lossy"


def test_colours_up_to_one_are_light_and_highlights_are_white() -> None:
    values = np.dstack([RAMP * 0.5] * 3).astype(np.float32)
    values[:10, :10] = 30
    pixels = shown(values)
    assert np.abs(pixels[5, 5] - 255).max() <= 2
    assert 185 <= pixels[60, 159].mean() <= 191, "half of the light"
