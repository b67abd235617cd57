"""Whether two pictures of a few hundred pixels show the same: what benchmarks.real_pictures judges a rendition by.

Both are looked at as small as an icon, so that neither resampling nor compression counts, on black and on white, so that
transparency does. The mean tells other colours, the structure another drawing: turned, shifted, torn or blank.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SMALL: Final = 64
MEAN_DIFFERS: Final = 12.0
"""Mean difference of the values, 0 to 255, from which two pictures are unlike."""
STRUCTURE_DIFFERS: Final = 0.8
"""Structural similarity, 1 for the same, below which they are."""
_ASPECT_DIFFERS: Final = 0.03
_WINDOW: Final = 7
_NOISE: Final = 12.0
"""What two decoders' values differ by anyhow: in a flat picture that is no structure."""
Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """`mean` of the values, 255 for another shape, and the `structure` that both share, at most 1; the worse of two backgrounds."""

    mean: float
    structure: float

    @property
    def is_alike(self) -> bool:
        """Return whether a person would call them the same picture."""
        return self.mean <= MEAN_DIFFERS and self.structure >= STRUCTURE_DIFFERS


def compare(one: Path, other: Path) -> Difference:
    """Compare two pictures that Pillow reads, of whatever sizes."""
    with Image.open(one) as opened, Image.open(other) as second:
        pictures = [opened.convert("RGBA"), second.convert("RGBA")]
    size = (min(picture.width for picture in pictures), min(picture.height for picture in pictures))
    first, last = (picture.width / picture.height for picture in pictures)
    if min(size) >= 8 and abs(first / last - 1) > _ASPECT_DIFFERS + 2 / min(size):
        return Difference(255.0, 0.0)
    scale = min(1.0, SMALL / max(size))
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    found = []
    for background in (0, 255):
        ours, theirs = (_flattened(picture, small, background) for picture in pictures)
        found.append(Difference(float(np.abs(ours - theirs).mean()), _structure(ours, theirs)))
    return Difference(max(each.mean for each in found), min(each.structure for each in found))


def _flattened(picture: Image.Image, size: tuple[int, int], background: int) -> Pixels:
    ground = Image.new("RGBA", picture.size, (background, background, background, 255))
    opaque = Image.alpha_composite(ground, picture).convert("RGB")
    return np.asarray(opaque.resize(size, Image.Resampling.BOX), np.float32)


def _structure(one: Pixels, other: Pixels) -> float:
    """Return the mean structural similarity of their brightness, after Wang et al. 2004, without its term for the level of brightness."""
    x, y = one.mean(axis=2), other.mean(axis=2)
    if min(x.shape) < _WINDOW:
        return 1.0

    def blurred(values: Pixels) -> Pixels:
        return cv2.blur(values, (_WINDOW, _WINDOW)).astype(np.float32)

    mean_x, mean_y = blurred(x), blurred(y)
    var_x, var_y = blurred(x * x) - mean_x**2, blurred(y * y) - mean_y**2
    both = blurred(x * y) - mean_x * mean_y
    return float(((2 * both + _NOISE**2) / (var_x + var_y + _NOISE**2)).mean())
