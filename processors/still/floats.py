"""Pictures of floats and of 32 bits, whose range no header says: as colours where they look like some, else stretched as maps and
measurements are.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_USUAL: Final = (1.0, 255.0, 65535.0)
"""White, as programs write it."""
USUAL_OF_NUMBERS: Final = (255.0, 65535.0, 2.0**31 - 1, 2.0**32 - 1)
"""The same of whole numbers."""
_DARKEST: Final = 1 / 8
"""Of white, the least that the brightest value must have: a darker picture is none, but numbers of some other kind."""
_MARKER: Final = 16
"""A value so many times as large as all others stands for missing ones: -9999, 9999, -3.4e38."""
_SAMPLED_SIDE: Final = 1024
_IGNORED_PERCENT: Final = 0.1
"""At either end of what is stretched: hot pixels."""


def codes_of_floats(values: NDArray[Any], usual: tuple[float, ...] = _USUAL) -> NDArray[np.uint8]:
    """Return eight bits of numbers of any shape: 0 to one of the `usual` whites as they are, all else from its least to its largest.

    Missing values, NaN and infinity are black.
    """
    low, high, marker = _range(values, usual)
    is_there = np.isfinite(values) & (np.abs(values) < marker)
    with np.errstate(over="ignore", invalid="ignore"):
        codes = (values.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.where(is_there, np.rint(np.clip(codes, 0, 255)), 0).astype(np.uint8)


def _range(values: NDArray[Any], usual: tuple[float, ...]) -> tuple[float, float, float]:
    """Return what becomes black, what becomes white, and the magnitude from which values stand for missing ones."""
    sample = values[:: -(-values.shape[0] // _SAMPLED_SIDE), :: -(-values.shape[1] // _SAMPLED_SIDE)]
    there = sample[np.isfinite(sample)].astype(np.float64)
    magnitudes = np.abs(there)
    largest = float(magnitudes.max(initial=0.0))
    next_largest = float(magnitudes[magnitudes < largest].max(initial=0.0))
    marker = float("inf")
    if 0 < next_largest * _MARKER < largest:
        marker, there = largest, there[magnitudes < largest]
    least, most = float(there.min(initial=largest)), float(there.max(initial=-largest))
    white = next((limit for limit in usual if most <= limit * 1.001), most)
    if least >= 0 and most >= white * _DARKEST and white in usual:
        return 0.0, white, marker
    if there.size:
        least, most = (float(end) for end in np.percentile(there, (_IGNORED_PERCENT, 100 - _IGNORED_PERCENT)))
    return (least, most, marker) if least < most else (0.0, max(1.0, most), marker)
