"""Windows' bitmaps that Pillow does not read, or not right: BMPs with the bits of each colour in places of their own, cursors."""

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_BITFIELDS: Final = (3, 6)
"""Compression: the second has a mask for alpha."""
_HEADER_BYTES: Final = 14
_ICON_HEADER_BYTES: Final = 6
_SMALLEST_INFO_BYTES: Final = 40
_WITH_ALPHA_BYTES: Final = 56


def decode_bitfields(content: bytes, max_pixels: int) -> tuple[Image.Image, float] | None:
    """Return the picture in mode RGB or RGBA, and which part of it is there; None where it is no such BMP."""
    if content[:2] != b"BM" or len(content) < _HEADER_BYTES + _SMALLEST_INFO_BYTES:
        return None
    pixels_at, info_bytes, width, height, _, bits, compression = struct.unpack_from("<LLllHHL", content, 10)
    is_bottom_up, height = height > 0, abs(height)
    if compression not in _BITFIELDS or bits not in (16, 32) or not 0 < width * height <= max_pixels or width <= 0:
        return None
    if len(content) < _HEADER_BYTES + _SMALLEST_INFO_BYTES + 16 or info_bytes < _SMALLEST_INFO_BYTES:
        return None
    masks = struct.unpack_from("<4L", content, _HEADER_BYTES + _SMALLEST_INFO_BYTES)
    has_alpha = info_bytes >= _WITH_ALPHA_BYTES or compression == _BITFIELDS[1]
    line = -(-width * bits // 32) * 4
    data = content[pixels_at : pixels_at + line * height]
    rows = np.zeros(line * height, np.uint8)
    rows[: len(data)] = np.frombuffer(data, np.uint8)
    words = rows.view(f"<u{bits // 8}").reshape(height, -1)[:, :width].astype(np.uint32)
    channels = [_channel(words, mask) for mask in masks[:3]]
    if has_alpha and masks[3]:
        channels.append(_channel(words, masks[3]))
    image = Image.fromarray(np.dstack(channels)[:: -1 if is_bottom_up else 1])
    return image, len(data) // line / height


def _channel(words: NDArray[np.uint32], mask: int) -> NDArray[np.uint8]:
    """Return the bits of a mask, from its lowest one on, as 0 to 255."""
    if mask == 0:
        return np.zeros(words.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    top = mask >> shift
    values = (words & np.uint32(mask)) >> np.uint32(shift)
    return np.asarray(values.astype(np.uint64) * 255 // np.uint64(top), dtype=np.uint8)


def cursor_as_icon(content: bytes) -> bytes:
    """Return a cursor file as an icon file, whose mask Pillow reads as well.

    Where an icon's directory says how many bits a pixel has, a cursor's has the place that points; each bitmap says it again.
    """
    icon = bytearray(content)
    icon[2] = 1
    for entry in range(
        _ICON_HEADER_BYTES, _ICON_HEADER_BYTES + 16 * min(int.from_bytes(content[4:6], "little"), 255), 16
    ):
        at = int.from_bytes(content[entry + 12 : entry + 16], "little")
        is_bitmap = content[at : at + 4] == _SMALLEST_INFO_BYTES.to_bytes(4, "little")
        icon[entry + 4 : entry + 8] = b"\x01\0" + (content[at + 14 : at + 16] if is_bitmap else b"\x20\0")
    return bytes(icon)
