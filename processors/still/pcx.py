"""PCX of four planes: red, green, blue, and transparency."""

import io
import struct
from typing import Final

import numpy as np
from PIL import Image

from processors.readers import reading

_HEAD: Final = struct.Struct("<BBBB4H52xBBH60x")
_MAGIC: Final = 10
_PLANES: Final = 4
_BITS: Final = 8
_LONGEST_ROW: Final = 0xFFFF


def decode_planes(content: bytes, max_pixels: int) -> Image.Image | None:
    """Return the picture in mode RGBA; None for all other files, and where it is larger. Raises DamagedMediaError.

    Its rows of four planes are those of a grey picture four times as wide.
    """
    if len(content) < _HEAD.size:
        return None
    magic, version, encoding, bits, left, top, right, bottom, _, planes, stride = _HEAD.unpack_from(content)
    width, height = right + 1 - left, bottom + 1 - top
    if (magic, bits, planes) != (_MAGIC, _BITS, _PLANES) or min(width, height) < 1 or width > stride:
        return None
    row = _PLANES * stride
    if row > _LONGEST_ROW or row * height > max_pixels * _PLANES:
        return None
    head = _HEAD.pack(magic, version, encoding, bits, 0, 0, row - 1, height - 1, 0, 1, row)
    with reading("picture"), Image.open(io.BytesIO(head + content[_HEAD.size :]), formats=("PCX",)) as opened:
        values = np.asarray(opened).reshape(height, _PLANES, stride)
    return Image.fromarray(np.ascontiguousarray(values[:, :, :width].transpose(0, 2, 1)))
