"""ThumbHash: a placeholder of about 25 bytes, shown while the thumbnail loads. Algorithm: Evan Wallace, thumbhash (MIT)."""

import base64
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_SIDE: Final = 100
"""Pixels: a larger picture is scaled down first."""
Channel = NDArray[np.float64]


def thumbhash(image: Image.Image) -> str:
    """Return the hash of a picture of mode RGB or RGBA, as base64."""
    small = image.copy()
    small.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(small, dtype=np.float64) / 255
    height, width = pixels.shape[:2]
    alpha = pixels[:, :, 3] if small.mode == "RGBA" else None
    has_alpha = alpha is not None and bool(alpha.sum() < width * height)
    colour = pixels if alpha is None else _over_average(pixels[:, :, :3], alpha)
    red, green, blue = (np.ascontiguousarray(colour[:, :, index]) for index in range(3))
    limit, longest = (5 if has_alpha else 7), max(width, height)
    luma_x, luma_y = (max(1, _round(limit * side / longest)) for side in (width, height))
    luma = _encode((red + green + blue) / 3, max(3, luma_x), max(3, luma_y))
    yellow_blue = _encode((red + green) / 2 - blue, 3, 3)
    red_green = _encode(red - green, 3, 3)
    channels = [luma, yellow_blue, red_green]
    is_landscape = width > height
    head24 = (
        _round(63 * luma[0])
        | _round(31.5 + 31.5 * yellow_blue[0]) << 6
        | _round(31.5 + 31.5 * red_green[0]) << 12
        | _round(31 * luma[2]) << 18
        | has_alpha << 23
    )
    head16 = (
        (luma_y if is_landscape else luma_x)
        | _round(63 * yellow_blue[2]) << 3
        | _round(63 * red_green[2]) << 9
        | is_landscape << 15
    )
    out = bytearray(head24.to_bytes(3, "little") + head16.to_bytes(2, "little"))
    if has_alpha and alpha is not None:
        opacity = _encode(alpha, 5, 5)
        out.append(_round(15 * opacity[0]) | _round(15 * opacity[2]) << 4)
        channels.append(opacity)
    nibbles = [_round(15 * factor) for _, factors, _ in channels for factor in factors]
    nibbles += [0] * (len(nibbles) % 2)
    out += bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))
    return base64.b64encode(bytes(out)).decode()


def _over_average(colour: NDArray[np.float64], alpha: Channel) -> NDArray[np.float64]:
    """Transparent parts take the average of the visible ones, so that they do not show in the hash."""
    weight = float(alpha.sum())
    average = (colour * alpha[:, :, None]).sum(axis=(0, 1)) / weight if weight else np.zeros(3)
    blended: NDArray[np.float64] = average * (1 - alpha[:, :, None]) + colour * alpha[:, :, None]
    return blended


def _encode(channel: Channel, count_x: int, count_y: int) -> tuple[float, list[float], float]:
    """Cosine transform of the lowest frequencies: the constant part, the others scaled to 0..1, and their scale."""
    height, width = channel.shape
    constant, factors = 0.0, []
    waves_x = [np.cos(np.pi / width * x * (np.arange(width) + 0.5)) for x in range(count_x)]
    for y in range(count_y):
        columns = np.cos(np.pi / height * y * (np.arange(height) + 0.5)) @ channel
        x = 0
        while x * count_y < count_x * (count_y - y):
            factor = float(columns @ waves_x[x]) / (width * height)
            if x or y:
                factors.append(factor)
            else:
                constant = factor
            x += 1
    scale = max((abs(factor) for factor in factors), default=0.0)
    scaled = [0.5 + 0.5 / scale * factor for factor in factors] if scale else factors
    return constant, scaled, scale


def _round(value: float) -> int:
    return int(value + 0.5)
