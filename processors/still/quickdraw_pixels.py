"""The pixels in QuickDraw pictures: rows of bits, of numbers of a map or of colours, packed in four ways.

Source: Inside Macintosh: Imaging With QuickDraw, appendix A, and its chapter on Color QuickDraw (PixMap, ColorTable).
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from processors.readers import DamagedMediaError

Rect = tuple[int, int, int, int]
"""Top, left, bottom and right, the last two not included."""
_IS_PIXMAP: Final = 0x8000
_LONG_COUNTS: Final = 250
"""Bytes of a row from which its packed length takes two bytes."""
_SHORTEST_PACKED: Final = 8
_UNPACKED, _WITHOUT_PAD, _WORDS, _PLANES = 1, 2, 3, 4
_USUAL_PACKING: Final = {16: _WORDS, 32: _PLANES}
_BY_ORDER: Final = 0x8000
_SIDE: Final = 1 << 14
_LONGEST_PADDING: Final = 64


class OpcodeCursor:
    """A place in a picture's bytes, which moves on. All methods raise DamagedMediaError where the bytes end."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content: Final = content
        self.at = at

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        taken = self._content[self.at : self.at + count]
        if count < 0 or len(taken) < count:
            raise DamagedMediaError("The picture is cut off: its end is missing.")
        self.at += count
        return taken

    def number(self, count: int) -> int:
        """Return the next number of so many bytes."""
        return int.from_bytes(self.take(count))

    def rect(self) -> Rect:
        """Return the next rectangle."""
        return struct.unpack(">4h", self.take(8))


@dataclass(frozen=True)
class Pixels:
    """Height x width x 3, and where they belong."""

    colours: NDArray[np.uint8]
    place: Rect


@dataclass(frozen=True)
class _Map:
    bounds: Rect
    row_bytes: int
    bits: int
    planes: int
    packing: int

    @property
    def width(self) -> int:
        return self.bounds[3] - self.bounds[1]

    @property
    def height(self) -> int:
        return self.bounds[2] - self.bounds[0]


def read_pixels(cursor: OpcodeCursor, *, is_direct: bool, is_packed: bool, has_region: bool, max_pixels: int) -> Pixels:
    """Return what an operation draws; the cursor stands behind its code. Raises DamagedMediaError."""
    if is_direct:
        cursor.take(4)
    flags = cursor.number(2)
    pixel_map, colours = _read_map(cursor, flags, is_direct=is_direct)
    is_row = pixel_map.row_bytes <= 4 * pixel_map.width + _LONGEST_PADDING
    if not (0 < pixel_map.width <= _SIDE and 0 < pixel_map.height <= _SIDE and is_row):
        raise DamagedMediaError("The picture has no pixels.")
    if pixel_map.width * pixel_map.height > max_pixels:
        raise DamagedMediaError("The picture has too many pixels.")
    cursor.take(8)  # all of it is drawn
    place = cursor.rect()
    cursor.take(2)
    if has_region:
        cursor.take(cursor.number(2) - 2)
    if is_direct:
        return Pixels(_direct(cursor, pixel_map), place)
    rows = _rows(cursor, pixel_map, pixel_map.row_bytes, is_packed=is_packed)
    return Pixels(colours[_numbers(rows, pixel_map)], place)


def _read_map(cursor: OpcodeCursor, flags: int, *, is_direct: bool) -> tuple[_Map, NDArray[np.uint8]]:
    """Return the map, and the colours of its numbers."""
    bounds = cursor.rect()
    black_on_white = np.repeat(np.array([[255], [0]], np.uint8), 3, axis=1)
    if not (is_direct or flags & _IS_PIXMAP):
        return _Map(bounds, flags, 1, 1, _UNPACKED), black_on_white
    _, packing, _, _, _, _, bits, planes, _, _, _, _ = struct.unpack(">HHLLLHHHHLLL", cursor.take(36))
    packing = packing or _USUAL_PACKING.get(bits, _UNPACKED)
    pixel_map = _Map(bounds, flags & ~_IS_PIXMAP, bits, planes, packing)
    if is_direct:
        return pixel_map, black_on_white
    cursor.take(4)
    is_by_order = cursor.number(2) & _BY_ORDER
    count = cursor.number(2) + 1
    entries = np.frombuffer(cursor.take(8 * count), ">u2").reshape(count, 4)
    colours = np.zeros((1 << min(bits, 8), 3), np.uint8)
    numbers = np.arange(count) if is_by_order else entries[:, 0]
    is_there = numbers < len(colours)
    colours[numbers[is_there]] = entries[is_there, 1:] >> 8
    return pixel_map, colours


def _numbers(rows: NDArray[np.uint8], pixel_map: _Map) -> NDArray[np.uint8]:
    """Return the number of each pixel, of 1, 2, 4 or 8 bits."""
    if pixel_map.bits not in (1, 2, 4, 8):
        raise DamagedMediaError("The picture's pixels are of a rare depth.")
    bits = np.unpackbits(rows, axis=1).reshape(len(rows), -1, pixel_map.bits)
    numbers = np.packbits(bits, axis=2)[..., 0] >> (8 - pixel_map.bits)
    return _of_width(numbers, pixel_map)


def _direct(cursor: OpcodeCursor, pixel_map: _Map) -> NDArray[np.uint8]:
    width = pixel_map.width
    packing = _UNPACKED if pixel_map.row_bytes < _SHORTEST_PACKED else pixel_map.packing
    if pixel_map.bits == 16 and packing in (_UNPACKED, _WORDS):
        rows = _rows(cursor, pixel_map, pixel_map.row_bytes, is_packed=packing == _WORDS, unit=2)
        words = _of_width(rows[:, : rows.shape[1] // 2 * 2].copy().view(">u2"), pixel_map)
        fives = np.stack([words >> 10 & 31, words >> 5 & 31, words & 31], axis=2)
        return (fives * 255 // 31).astype(np.uint8)
    if pixel_map.bits == 32 and packing == _PLANES and pixel_map.planes in (3, 4):
        rows = _rows(cursor, pixel_map, pixel_map.planes * width, is_packed=True)
        return np.moveaxis(rows.reshape(len(rows), pixel_map.planes, width), 1, 2)[..., -3:]
    if pixel_map.bits == 32 and packing in (_UNPACKED, _WITHOUT_PAD):
        count = 3 if packing == _WITHOUT_PAD else 4
        rows = _rows(cursor, pixel_map, pixel_map.row_bytes * count // 4, is_packed=False)
        pixels = rows[:, : rows.shape[1] // count * count].reshape(len(rows), -1, count)
        return _of_width(pixels, pixel_map)[..., -3:]
    raise DamagedMediaError("The picture's pixels are of a rare depth.")


def _of_width(values: NDArray[Any], pixel_map: _Map) -> NDArray[Any]:
    if values.shape[1] < pixel_map.width:
        raise DamagedMediaError("The picture's rows are too short.")
    return values[:, : pixel_map.width]


def _rows(cursor: OpcodeCursor, pixel_map: _Map, size: int, *, is_packed: bool, unit: int = 1) -> NDArray[np.uint8]:
    """Return the rows, each of `size` bytes."""
    if not is_packed or pixel_map.row_bytes < _SHORTEST_PACKED:
        return np.frombuffer(cursor.take(size * pixel_map.height), np.uint8).reshape(pixel_map.height, size)
    count_bytes = 2 if pixel_map.row_bytes > _LONG_COUNTS else 1
    rows = (_unpacked(cursor.take(cursor.number(count_bytes)), size, unit) for _ in range(pixel_map.height))
    return np.frombuffer(b"".join(rows), np.uint8).reshape(pixel_map.height, size)


def _unpacked(packed: bytes, size: int, unit: int) -> bytes:
    """Return a row by Apple's PackBits, whose runs are of `unit` bytes; what is missing is 0."""
    made, at = bytearray(), 0
    while at < len(packed) and len(made) < size:
        count = packed[at]
        at += 1
        if count < 128:
            made += packed[at : at + (count + 1) * unit]
            at += (count + 1) * unit
        elif count > 128:
            made += packed[at : at + unit] * (257 - count)
            at += unit
    return bytes(made[:size].ljust(size, b"\0"))
