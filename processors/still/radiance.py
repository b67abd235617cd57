"""Radiance pictures whose headers FFmpeg does not follow, by OpenCV."""

import re
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image

from processors.readers import DamagedMediaError, reading
from processors.still.ffmpeg import light_to_srgb

_HEADER_BYTES: Final = 4096
_SIZE: Final = re.compile(rb"\n\n-Y (\d{1,9}) \+X (\d{1,9})\n")


def decode_radiance(content: bytes, max_pixels: int) -> tuple[Image.Image, str] | None:
    """Return the picture in mode RGB, and the name of its codec; None where it is no such picture, or a damaged one."""
    size = _SIZE.search(content[:_HEADER_BYTES]) if content.startswith((b"#?RADIANCE", b"#?RGBE")) else None
    if size is None or not 0 < int(size[1]) * int(size[2]) <= max_pixels:
        return None
    try:
        with reading("picture"):
            found: Any = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except DamagedMediaError:
        return None
    if found is None or found.ndim != 3:
        return None
    return Image.fromarray(light_to_srgb(found[..., ::-1])), "hdr"
