"""Colours as amounts of light: gamuts turned into sRGB's, and light into sRGB's eight bits.

Light is an array of float32, height x width x 3; 1.0 is the white of an sRGB screen.
"""

from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

Light = NDArray[np.float32]
Codes = NDArray[np.uint8]
"""Height x width x 3, sRGB."""
Matrix = NDArray[np.float32]
Chromaticities = tuple[float, float, float, float, float, float, float, float]
"""x and y of white, red, green and blue, as in PNG's cHRM."""

NO_CHANGE: Final[Matrix] = np.eye(3, dtype=np.float32)
_D65: Final = (0.3127, 0.3290)
BT709: Final[Chromaticities] = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
BT2020: Final[Chromaticities] = (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
DISPLAY_P3: Final[Chromaticities] = (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
ADOBE_RGB: Final[Chromaticities] = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
LUMA_709: Final = np.array([0.2126, 0.7152, 0.0722], np.float32)
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_STEPS: Final = 16384
"""Of the table from light to codes: fine enough for its steepest part, where one step is less than a quarter of a code."""


def srgb_to_light(coded: NDArray[np.float64]) -> NDArray[np.float64]:
    """IEC 61966-2-1's curve, of values from 0 to 1."""
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def _light_to_srgb(light: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


SRGB_LIGHT: Final = srgb_to_light(np.arange(256) / 255).astype(np.float32)
_CODES: Final = np.rint(255 * _light_to_srgb(np.arange(_STEPS) / (_STEPS - 1))).astype(np.uint8)


def to_bt709(source: Chromaticities, *, keeps_white: bool = True) -> Matrix:
    """Return what turns light of `source`'s gamut into light of sRGB's. Raises ValueError for no gamut.

    White stays white, unless `keeps_white` is false: colours stay what they are then, and so does a white that is yellower.
    """
    try:
        adapted = _adapt_white(source, BT709) if keeps_white else np.eye(3)
        matrix = np.linalg.inv(_to_xyz(BT709)) @ adapted @ _to_xyz(source)
    except (np.linalg.LinAlgError, ZeroDivisionError) as exc:
        raise ValueError("these chromaticities are no gamut") from exc
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 100:
        raise ValueError("these chromaticities are no gamut")
    return cast(Matrix, matrix.astype(np.float32))


def into_gamut(light: Light, matrix: Matrix) -> Light:
    """Convert to sRGB's light: colours outside its gamut keep their hue and brightness, and lose what saturation they must."""
    turned = cast(Light, light @ matrix.T)
    # Channel by channel: numpy is ten times slower along an axis of three.
    lowest = np.minimum(np.minimum(turned[..., 0], turned[..., 1]), turned[..., 2])
    outside = lowest < 0
    if outside.any():
        far = turned[outside]
        grey = np.maximum(far @ LUMA_709, 0)[:, None]
        share = grey / np.maximum(grey - lowest[outside][:, None], 1e-9)
        turned[outside] = np.maximum(grey + share * (far - grey), 0)
    return turned


def to_codes(light: Light) -> Codes:
    """Convert to sRGB codes; what is brighter than white is white."""
    steps = np.minimum(light * (_STEPS - 1) + 0.5, _STEPS - 1).astype(np.uint16)
    return cast(Codes, _CODES[steps])


def _to_xyz(source: Chromaticities) -> NDArray[np.float64]:
    # Of a primary the direction alone counts: those of XYZ itself have no luminance to divide by.
    columns = np.stack([(x, y, 1 - x - y) for x, y in (source[2:4], source[4:6], source[6:8])], axis=1)
    return cast(NDArray[np.float64], columns * np.linalg.solve(columns, _xyz(source[0], source[1])))


def _adapt_white(source: Chromaticities, target: Chromaticities) -> NDArray[np.float64]:
    """Bradford's way, as ICC has it."""
    ours, theirs = (_BRADFORD @ _xyz(white[0], white[1]) for white in (source, target))
    return cast(NDArray[np.float64], np.linalg.inv(_BRADFORD) @ np.diag(theirs / ours) @ _BRADFORD)


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    return np.array([x / y, 1.0, (1 - x - y) / y])
