"""Makes small but real media with known pixels: for the demo, and for trying things by hand."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

RATE: Final = 15
Pixels = NDArray[np.uint8]

CORNERS: Final = {
    "top_left": (220, 40, 40),
    "top_right": (40, 170, 60),
    "bottom_left": (40, 80, 220),
    "bottom_right": (235, 200, 40),
}
"""The colours of an upright scene's corners: red, green, blue, yellow."""


@dataclass(frozen=True)
class DemoFile:
    """A file of the demo: what is special about it, and the index of the company that uploads it."""

    path: Path
    title: str
    expected: Literal["ready", "failed"]
    company: int


def write_meadow(path: Path) -> Path:
    """Write four seconds of the scene, as a video that every decoder can read."""
    return write_video(path, [scene(640, 360, index / 60) for index in range(60)])


def scene(width: int, height: int, progress: float) -> Pixels:
    """Return a sun over hills, the sun moving with `progress` from 0 to 1; a coloured patch in each corner."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for y in range(height):
        share = y / height
        draw.line([(0, y), (width, y)], fill=(int(90 + 120 * share), int(150 + 70 * share), 235))
    sun_x, sun_y, radius = int(width * (0.2 + 0.6 * progress)), int(height * 0.3), height // 10
    draw.ellipse([sun_x - radius, sun_y - radius, sun_x + radius, sun_y + radius], fill=(255, 225, 110))
    for shade, level, wave in ((70, 0.62, 3.0), (110, 0.75, 5.0)):
        ridge = [(x, int(height * (level + 0.06 * np.sin(wave * x / width * np.pi)))) for x in range(0, width + 1, 8)]
        draw.polygon([*ridge, (width, height), (0, height)], fill=(40, shade, 60))
    side = height // 8
    places = {
        "top_left": (0, 0),
        "top_right": (width - side, 0),
        "bottom_left": (0, height - side),
        "bottom_right": (width - side, height - side),
    }
    for name, (x, y) in places.items():
        draw.rectangle([x, y, x + side, y + side], fill=CORNERS[name])
    return np.asarray(image)


def write_video(path: Path, frames: list[Pixels], *, codec: str = "libx264", rate: int = RATE, **options: str) -> Path:
    """`frames` as a video at `rate` frames a second; the container by the file's name."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=Fraction(rate), options={"threads": "1", **options})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            stream.options = {"preset": "veryfast", "threads": "1", **options}
        else:
            stream.options = {"deadline": "realtime", "cpu-used": "8", "threads": "1", **options}
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")))
        container.mux(stream.encode())
    return path


def turn_by_matrix(path: Path, clockwise: int) -> Path:
    """Write a display matrix into an MP4 in place, as a phone does that is held upright."""
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[clockwise]
    matrix = struct.pack(">9i", cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30)
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd")
    # Version 0: 4 bytes of type, 4 of version and flags, 20 of times, id and duration, 8 reserved, 8 of layer and volume.
    start = header + 4 + 4 + 20 + 8 + 8
    data[start : start + 36] = matrix
    path.write_bytes(bytes(data))
    return path
