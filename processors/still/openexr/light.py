"""The light of OpenEXR pictures: their own primaries, and colours that are multiplied with their alpha."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from processors.colour.linear_light import BT709, LUMA_709, into_gamut, to_bt709

Light = NDArray[np.float32]
"""Height x width x 3, or 4 with alpha."""
Primaries = tuple[float, ...]
"""x and y of red, green, blue and white, as in a file's `chromaticities`."""

_LEAST_ALPHA: Final = 1e-6
_LEAST_GREEN: Final = 0.01


def without_multiplied_alpha(light: Light) -> Light:
    """Return the colours themselves; where nothing is seen, black."""
    alpha = light[..., 3:]
    with np.errstate(over="ignore"):
        colours = light[..., :3] / np.maximum(alpha, _LEAST_ALPHA)
    return np.concatenate([np.where(alpha > 0, colours, 0), alpha], axis=2)


def luminance_weights(primaries: Primaries | None) -> tuple[float, float, float]:
    """Return what each colour gives to the luminance, by the file's primaries; BT.709's without."""
    if primaries is not None:
        red, green, blue, white = (np.array([x, y, 1 - x - y]) for x, y in np.reshape(primaries, (4, 2)))
        columns = np.stack([red, green, blue], axis=1)
        try:
            scaled = np.linalg.solve(columns, white / white[1])
        except (np.linalg.LinAlgError, ZeroDivisionError):
            scaled = np.zeros(3)
        weights = scaled * columns[1]
        if np.isfinite(weights).all() and weights[1] > _LEAST_GREEN:
            return float(weights[0]), float(weights[1]), float(weights[2])
    return float(LUMA_709[0]), float(LUMA_709[1]), float(LUMA_709[2])


def in_srgb(light: Light, primaries: Primaries) -> Light:
    """Return the light in sRGB's gamut, by the primaries and the white that the file names; as it is where they are none."""
    red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y = primaries
    given = (white_x, white_y, red_x, red_y, green_x, green_y, blue_x, blue_y)
    if np.allclose(given, BT709, atol=1e-3):
        return light
    try:
        matrix = to_bt709(given, keeps_white=False)  # as OpenEXR's own viewer does
    except ValueError:
        return light
    return np.concatenate([into_gamut(light[..., :3], matrix), light[..., 3:]], axis=2)
