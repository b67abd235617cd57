"""QuickDraw pictures of the demo's scene, after Inside Macintosh: Imaging With QuickDraw, appendix A."""

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.doubles.corpus_kinds import HEIGHT, WIDTH, photograph, saved

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, as Pillow has it."""
WHOLE: Final[Box] = (0, 0, WIDTH, HEIGHT)
END: Final = b"\0\xff"
A_LINE: Final = struct.pack(">H4h", 0x20, 0, 0, HEIGHT, WIDTH)
A_TEXT: Final = b"\0\x28\0\x0a\0\x0a\x05a map"


def picture(*operations: bytes, size: tuple[int, int] = (WIDTH, HEIGHT), dots: int = 72) -> bytes:
    """A picture of version 2; of more dots an inch than 72 its header has a frame of its own."""
    frame = struct.pack(">4h", 0, 0, size[1] * 72 // dots, size[0] * 72 // dots)
    own = b"\xff\xff\xff\xff" + bytes(20)
    if dots != 72:
        own = struct.pack(">HHLL4hL", 0xFFFE, 0, dots << 16, dots << 16, 0, 0, size[1], size[0], 0)
    even = b"".join(operation + bytes(len(operation) % 2) for operation in (*operations, END))
    return bytes(512) + bytes(2) + frame + b"\0\x11\x02\xff\x0c\0" + own + b"\0\x01\0\x0a" + frame + even


def first_version(values: NDArray[np.uint8]) -> bytes:
    """Black and white, height x width: codes of one byte, and nothing is evened."""
    height, width = values.shape
    box = struct.pack(">4h", 0, 0, height, width)
    rows = np.packbits(values == 0, axis=1)
    data = struct.pack(">H", rows.shape[1]) + box * 3 + b"\0\0" + rows.tobytes()
    return bytes(512) + bytes(2) + box + b"\x11\x01\x01\0\x0a" + box + b"\x90" + data + b"\xff"


def colours(bits: int, packing: int, box: Box = WHOLE) -> bytes:
    """DirectBitsRect: the pixels of `box` in their place."""
    values = np.asarray(photograph().crop(box))
    height, width = values.shape[:2]
    place = struct.pack(">4h", box[1], box[0], box[3], box[2])
    if bits == 16:
        fives = values.astype(np.uint16) >> 3
        rows = (fives[..., 0] << 10 | fives[..., 1] << 5 | fives[..., 2]).astype(">u2").view(np.uint8)
    elif packing == 4:
        rows = np.moveaxis(values, 2, 1)
    else:
        pad = np.zeros((height, width, 4 - (packing == 2) - 3), np.uint8)
        rows = np.dstack([pad, values])
    rows = np.ascontiguousarray(rows).reshape(height, -1)
    stride = bits // 8 * width
    unit = bits // 8 if packing == 3 else 1
    data = rows.tobytes() if packing < 3 else b"".join(packed(row.tobytes(), stride, unit) for row in rows)
    return (
        b"\0\x9a" + bytes(3) + b"\xff" + _pixel_map(stride, (width, height), bits, packing) + place * 2 + b"\0\0" + data
    )


def numbers(bits: int, box: Box = WHOLE) -> bytes:
    """PackBitsRect: numbers of a map of colours."""
    part = photograph().crop(box).quantize(1 << bits)
    assert part.palette is not None
    palette = part.palette.getdata()[1]
    place = struct.pack(">4h", box[1], box[0], box[3], box[2])
    values = np.unpackbits(np.asarray(part)[..., None], axis=2)[..., 8 - bits :]
    rows = np.packbits(values.reshape(part.height, -1), axis=1)
    entries = b"".join(
        struct.pack(">4H", at, *(257 * value for value in palette[3 * at : 3 * at + 3]))
        for at in range(len(palette) // 3)
    )
    table = struct.pack(">LHH", 0, 0, len(palette) // 3 - 1) + entries
    data = b"".join(packed(row.tobytes(), rows.shape[1], 1) for row in rows)
    return b"\0\x98" + _pixel_map(rows.shape[1], part.size, bits, 0) + table + place * 2 + b"\0\0" + data


def by_quicktime(form: str, box: Box = WHOLE) -> bytes:
    """A file of another kind behind its description."""
    content = saved(photograph().crop(box), form)
    matrix = struct.pack(">9l", 1 << 16, 0, 0, 0, 1 << 16, 0, box[0] << 16, box[1] << 16, 1 << 30)
    head = b"\0\0" + matrix + bytes(4 + 8 + 2 + 8 + 4 + 4)
    description = struct.pack(">L4s", 86, form.lower().ljust(4).encode()) + bytes(78)
    data = head + description + content
    return b"\x82\0" + struct.pack(">L", len(data)) + data


def packed(row: bytes, stride: int, unit: int) -> bytes:
    """Behind its length a row in PackBits, whose runs have `unit` bytes: one of what comes twice first, then as it is."""
    made, at = b"", 0
    if row[:unit] == row[unit : 2 * unit]:
        made, at = bytes((255,)) + row[:unit], 2 * unit
    pieces = (row[start : start + 100 * unit] for start in range(at, len(row), 100 * unit))
    made += b"".join(bytes((len(piece) // unit - 1,)) + piece for piece in pieces)
    return struct.pack(">H" if stride > 250 else ">B", len(made)) + made


def _pixel_map(stride: int, size: tuple[int, int], bits: int, packing: int) -> bytes:
    planes, kind = (1, 0) if bits < 16 else (3, 16)
    return struct.pack(
        ">H4hHHLLLHHHHLLL",
        *(0x8000 | stride, 0, 0, size[1], size[0], 0, packing, 0, 72 << 16, 72 << 16),
        *(kind, bits, planes, 5 if bits == 16 else 8, 0, 0, 0),
    )


def black_and_white() -> Image.Image:
    """The scene's brightest parts."""
    return photograph().convert("L").point(lambda value: 255 * (value > 120))
