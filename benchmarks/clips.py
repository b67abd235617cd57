"""Inputs that benchmarks make themselves: moving texture with noise, so that decoding is not free."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def moving_pictures(width: int, height: int, count: int) -> Iterator[NDArray[np.uint8]]:
    """Frames of a texture of 45 patches a height that glides by, under noise of four patterns: they fill any bit rate."""
    generator = np.random.default_rng(5)
    texture = generator.integers(0, 255, (45, 160, 3), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(texture).resize((width * 2, height), Image.Resampling.BICUBIC)).astype(np.int16)
    noises = generator.integers(-24, 24, (4, height, width, 1), dtype=np.int16)
    for number in range(count):
        start = number * 2 % width
        pixels = wide[:, start : start + width] + noises[number % 4]
        yield np.ascontiguousarray(pixels.clip(0, 255).astype(np.uint8))


def write_clip(
    path: Path, codec: str, size: tuple[int, int], count: int, options: dict[str, str], *, bit_rate: int = 0
) -> Path:
    """A clip of 25 frames a second; an MP4 has its index after the media, as FFmpeg writes it by default."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if bit_rate:
            stream.bit_rate = bit_rate
        for pixels in moving_pictures(*size, count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return path


def write_photograph(path: Path, **options: Any) -> Path:
    """12 megapixels, 4000 x 3000; the format by the name."""
    small = np.random.default_rng(3).integers(0, 255, (375, 500, 3), dtype=np.uint8)
    Image.fromarray(small).resize((4000, 3000), Image.Resampling.BICUBIC).save(path, **options)
    return path
