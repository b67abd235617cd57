"""Which moment of a video is shown: pure rules over times and pixels."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

EARLY_SHARE: Final = 0.1
EARLIEST_LIMIT_S: Final = 10.0
"""Titles and leaders are over by then, and nothing that a trailer would hide is shown."""
_SPREAD: Final = (0.25, 0.4, 0.55, 0.7, 0.85)
_BLACK_LUMA: Final = 24.0
_FLAT_SPREAD: Final = 4.0

Picture = NDArray[np.uint8]
"""Height x width x 3 (RGB) or 4 (RGBA)."""


def preferred_time_s(duration_s: float | None) -> float:
    """10 % into the video, at most 10 s; the beginning of one whose length is unknown."""
    return min(EARLY_SHARE * duration_s, EARLIEST_LIMIT_S) if duration_s else 0.0


def candidate_times_s(duration_s: float | None) -> tuple[float, ...]:
    """Moments to look at, the preferred one first; the others only when those before them show nothing."""
    if not duration_s:
        return (0.0, 1.0, 3.0, 8.0)
    return (preferred_time_s(duration_s), *(share * duration_s for share in _SPREAD), 0.0)


def clamp_time_s(wanted_s: float, duration_s: float | None) -> float:
    """The uploader's own moment, moved into the video."""
    return wanted_s if duration_s is None else max(0.0, min(wanted_s, duration_s - 0.05))


def score_picture(picture: Picture) -> float:
    """How much a frame shows, from 0 (black, white or one colour) to 1.

    The spread of the luma (BT.601 weights) against that of an evenly lit scene, and nothing for what is as good as
    black: title cards and fades come out low, ordinary scenes above 0.5.
    """
    luma = luma_of(picture)
    spread = float(luma.std())
    if float(np.percentile(luma, 95)) < _BLACK_LUMA or spread < _FLAT_SPREAD:
        return 0.0
    return round(min(1.0, spread / 60.0), 3)


def luma_of(picture: Picture) -> NDArray[np.float32]:
    """Luma of every 4th pixel each way, 0 to 255: enough to judge by."""
    sample = picture[::4, ::4, :3].astype(np.float32)
    luma: NDArray[np.float32] = sample @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return luma


def shows_something(score: float) -> bool:
    """Whether the search may end here."""
    return score > 0.0
