"""Every upload has three colours of its own: makes files of them, and finds them in what was stored. Shares no code with the product."""

import base64
import binascii
import io
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from tests.system.platform import clip_of

Colour = tuple[int, int, int]
Colours = tuple[Colour, Colour, Colour]

PHOTO_SIZE: Final = (240, 180)
CLIP_SIZE: Final = (192, 108)
TOLERANCE: Final = 30
"""So far may a channel (0 to 255) of a thumbnail's field be from that of its source; other uploads differ by 68 and more."""
AVERAGE_TOLERANCE: Final = 40
"""Likewise for the average colour of a placeholder, which has six bits for each of its three parts."""

_LEVELS: Final = (24, 92, 160, 228)
# No grey: a field that is grey all over looks like the filling of a damaged file.
_PALETTE: Final[tuple[Colour, ...]] = tuple(
    (red, green, blue) for red, green, blue in product(_LEVELS, _LEVELS, _LEVELS) if not red == green == blue
)
_OTHERS: Final = len(_PALETTE) - 1
_CODES: Final = len(_PALETTE) * _OTHERS * _OTHERS
_STEP: Final = 77_773
"""Has no divisor in common with _CODES, so that neighbours in number are no neighbours in colour."""


@dataclass(frozen=True)
class Measured:
    """What was found in a stored picture: pixels, the format's name in lower case, and the colour of each third."""

    width: int
    height: int
    format: str
    colours: Colours


def colours_of(number: int) -> Colours:
    """The fields from left to right; no two of the first 208,860 numbers have the same."""
    code, left = divmod(number * _STEP % _CODES, len(_PALETTE))
    right, middle = divmod(code, _OTHERS)
    second = _other_than(left, middle)
    return _PALETTE[left], _PALETTE[second], _PALETTE[_other_than(second, right)]


def _other_than(index: int, choice: int) -> int:
    return choice if choice < index else choice + 1


def a_photo_of(colours: Colours) -> bytes:
    """A JPEG."""
    out = io.BytesIO()
    _fields(colours, PHOTO_SIZE).save(out, "JPEG", quality=90)
    return out.getvalue()


def a_clip_of(colours: Colours) -> bytes:
    """An MP4 of a second."""
    return clip_of(_fields(colours, CLIP_SIZE))


def _fields(colours: Colours, size: tuple[int, int]) -> Image.Image:
    small = Image.fromarray(np.array([colours], dtype=np.uint8))
    return small.resize(size, Image.Resampling.NEAREST)


def measure(content: bytes) -> Measured | None:
    """None when it cannot be read."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=np.float64)
            name = (picture.format or "").lower()
    except (UnidentifiedImageError, OSError, ValueError):
        return None
    height, width = pixels.shape[:2]
    thirds = [pixels[height // 4 : -height // 4, width * n // 12 : width * (n + 2) // 12] for n in (1, 5, 9)]
    left, middle, right = (_colour(third.mean(axis=(0, 1))) for third in thirds)
    return Measured(width, height, name, (left, middle, right))


def _colour(channels: np.ndarray) -> Colour:
    red, green, blue = (round(float(channel)) for channel in channels)
    return red, green, blue


def distance(found: Colours, wanted: Colours) -> int:
    """The largest difference of a channel."""
    return max(abs(a - b) for one, other in zip(found, wanted, strict=True) for a, b in zip(one, other, strict=True))


def placeholder_distance(placeholder: str | None, wanted: Colours) -> float:
    """How far the average colour of a ThumbHash in base64 is from that of the source; 256 when it cannot be read.

    Written from the description of ThumbHash: its first three bytes hold the averages of lightness and of two differences.
    """
    try:
        content = base64.b64decode(placeholder or "", validate=True)
    except (binascii.Error, ValueError):
        return 256.0
    if not 5 <= len(content) <= 40:
        return 256.0
    header = int.from_bytes(content[:3], "little")
    light, p, q = (header & 63) / 63, (header >> 6 & 63) / 31.5 - 1, (header >> 12 & 63) / 31.5 - 1
    blue = light - 2 / 3 * p
    red = (3 * light - blue + q) / 2
    averages = (red, red - q, blue)
    wanted_averages = [sum(channel) / 3 for channel in zip(*wanted, strict=True)]
    return max(abs(255 * a - b) for a, b in zip(averages, wanted_averages, strict=True))
