"""How much a frame shows: a pure judgement of its luma, so that black, slates, fades and blur lose to ordinary scenes."""

from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]
"""Height x width, 0 to 255, about JUDGED_SIDE pixels on its longer side."""

JUDGED_SIDE: Final = 160
"""Small enough to cost a millisecond; what is blurred at this size is blurred in every thumbnail."""
GOOD: Final = 0.7
"""The search ends here. Ordinary scenes score 0.7 to 1, half faded or blurred ones 0.3 to 0.65."""
FAIR: Final = 0.35
"""Worth showing. Below it are black, slates, and what is hardly lit."""
NEARLY_NOTHING: Final = 0.1
"""Below it are one colour, and what has just begun to fade in: worth a search at some cost."""

_BLACK: Final = 24
"""A frame whose brightest twentieth is darker than this is as good as black."""
_FLAT_SPREAD: Final = 4.0
_FULL_SPREAD: Final = 50.0
"""Standard deviation of the luma of an evenly lit scene."""
_BIN: Final = 8
_PLAIN_SHARE: Final = 0.6
"""From this share of nearly one luma on, a frame counts as a slate or a title; all of it counts as nothing."""
_EDGES_PERCENTILE: Final = 98
_SHARP_EDGES: Final = 1.2
"""How sharply the sharpest fiftieth of a picture in focus bends (the Laplacian) over its spread: scenes, drawings, screens
and test cards have 1.5 to 7, and 0.1 to 1.1 when blurred. Their mean would take large flat areas for blur."""


@dataclass(frozen=True)
class Judgement:
    """A frame's score, and its histogram: the share of the pixels in each bin of luma, by which frames are compared."""

    score: float
    histogram: NDArray[np.float64] = field(repr=False)


def judge(luma: Luma) -> Judgement:
    """Return what there is to say of one frame by itself."""
    return Judgement(score_luma(luma), _histogram(luma) / luma.size)


def score_luma(luma: Luma) -> float:
    """Return a score from 0 (black, white or one colour) to 1: contrast, times how little is plain, times how sharp it is."""
    spread = float(luma.std())
    if spread < _FLAT_SPREAD or float(np.percentile(luma, 95)) < _BLACK:
        return 0.0
    contrast = min(1.0, spread / _FULL_SPREAD)
    busy = 1.0 - max(0.0, (_plain_share(luma) - _PLAIN_SHARE) / (1.0 - _PLAIN_SHARE))
    sharp = min(1.0, _edges(luma) / spread / _SHARP_EDGES) ** 2
    return round(contrast * (0.3 + 0.7 * busy) * (0.35 + 0.65 * sharp), 3)


def _plain_share(luma: Luma) -> float:
    """Share of the pixels in the fullest three neighbouring bins of the histogram."""
    return float(np.convolve(_histogram(luma), (1, 1, 1), "same").max()) / luma.size


def _histogram(luma: Luma) -> NDArray[np.int64]:
    return np.bincount((luma // _BIN).ravel(), minlength=256 // _BIN)


def _edges(luma: Luma) -> float:
    bends = np.abs(cv2.Laplacian(luma, cv2.CV_16S))
    return float(np.percentile(bends, _EDGES_PERCENTILE))
