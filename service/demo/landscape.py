"""Paints landscapes for the demo's files: something to look at, made of nothing but numbers."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Colours = NDArray[np.float64]
"""Height x width x 3, sRGB from 0 to 1."""
Colour = tuple[int, int, int]

_RIDGES: Final = 5
_TREE: Final = 0.025
"""A tree's width, as a part of the picture's height."""


@dataclass(frozen=True)
class Look:
    """The light of a landscape; `sun` is its place as parts of the width and the height."""

    zenith: Colour
    horizon: Colour
    far: Colour
    near: Colour
    glow: Colour
    sun: tuple[float, float]


DAY: Final = Look((52, 116, 200), (205, 228, 242), (150, 180, 205), (30, 78, 46), (255, 248, 214), (0.68, 0.2))
DUSK: Final = Look((44, 36, 92), (252, 156, 92), (168, 98, 118), (26, 18, 44), (255, 226, 160), (0.36, 0.5))
NIGHT: Final = Look((8, 14, 44), (58, 88, 140), (44, 66, 110), (10, 16, 32), (236, 240, 226), (0.72, 0.24))
DESERT: Final = Look((74, 148, 216), (250, 226, 186), (232, 178, 120), (142, 72, 36), (255, 250, 225), (0.3, 0.22))
SNOW: Final = Look((84, 146, 214), (232, 240, 247), (172, 196, 222), (46, 74, 104), (255, 252, 240), (0.6, 0.24))


def paint(width: int, height: int, look: Look, seed: int) -> Colours:
    """Return the landscape; the same seed gives the same hills."""
    random = np.random.default_rng(seed)
    y = np.arange(height)[:, None]
    picture = _between(look.zenith, look.horizon, np.broadcast_to(y / (0.62 * height), (height, width)))
    _lay(picture, sun_of(width, height, look, softness=3.2) * 0.55, look.glow)
    _lay(picture, sun_of(width, height, look), look.glow)
    for number in range(_RIDGES):
        nearness = number / (_RIDGES - 1)
        top = height * (0.5 + 0.38 * nearness) - _hills(width, height, nearness, random)
        colour = tuple(np.array(look.far) * (1 - nearness) + np.array(look.near) * nearness)
        first = int(np.clip(top.min(), 0, height - 1))  # nothing of it is above
        below = y[first:] - top[None, :]
        _lay(picture[first:], np.clip(below, 0, 1), colour)
        if number < _RIDGES - 1:  # mist in the valleys sets each ridge apart from the next
            _lay(picture[first:], np.clip(below / (0.3 * height), 0, 1) * (1 - nearness) * 0.5, look.horizon)
    grain = random.normal(0, 0.008, (height, width, 1))
    return np.clip(picture + grain, 0, 1)


def sun_of(width: int, height: int, look: Look, softness: float = 0.0) -> NDArray[np.float64]:
    """Return how much of each pixel is the sun's: a disc, or a glow that is `softness` discs wide."""
    x, y = np.arange(width)[None, :], np.arange(height)[:, None]
    radius = 0.07 * height
    away = np.hypot(x - look.sun[0] * width, y - look.sun[1] * height)
    share: NDArray[np.float64] = np.exp(-away / (radius * softness)) if softness else np.clip(radius - away + 0.5, 0, 1)
    return share


def _hills(width: int, height: int, nearness: float, random: np.random.Generator) -> NDArray[np.float64]:
    """Return the height of a ridge above its base, along the width."""
    x = np.arange(width) / height
    waves = sum(
        np.sin(x * turns * np.pi + random.uniform(0, 2 * np.pi)) / turns for turns in (0.9, 2.3, 4.1, 9.7, 21.0)
    )
    trees = np.zeros(width)
    if nearness > 0.6:
        place = x / _TREE
        tall = random.uniform(0.2, 1, int(place[-1]) + 1)
        trees = (1 - np.abs(2 * (place % 1) - 1)) * tall[place.astype(int)] * 0.05
    return np.asarray(height * (0.06 * waves + trees * nearness))


def _between(first: Colour, second: Colour, share: NDArray[np.float64]) -> Colours:
    part = np.clip(share, 0, 1)[..., None]
    return (np.array(first) * (1 - part) + np.array(second) * part) / 255


def _lay(picture: Colours, share: NDArray[np.float64], colour: tuple[float, ...]) -> None:
    picture += share[..., None] * (np.array(colour) / 255 - picture)
