"""X bitmaps in the way in which Pillow reads them: it shows the dots as white on black, and everyone else as black on white;
and it knows bytes, the numbers of version 11, where version 10 has words of sixteen bits.

Source: Xlib's XReadBitmapFile. A row of words ends at a whole one; the byte that a narrow last word has too many is no pixel.
"""

import re
from typing import Final

import numpy as np

from processors.limits import MIB
from processors.still.pillow import unsupported

_IS_BITMAP: Final = re.compile(rb"\s{0,16}(/\*[^*]{0,40}\*/\s*)?#define\s", re.ASCII)
_SIDES: Final = tuple(
    re.compile(rb"#define\s+\w{0,64}" + side + rb"\s+(\d{1,5})\b", re.ASCII) for side in (b"width", b"height")
)
_ARRAY: Final = re.compile(rb"\b(char|short)\s+\w{0,64}\s*\[[^\]]{0,16}\]\s*=\s*\{", re.ASCII)
_NUMBER: Final = re.compile(rb"0[xX]([0-9a-fA-F]{1,4})\b")
_HEAD_BYTES: Final = 4096
"""Holds the names and the type, behind comments."""
_MOST_BYTES: Final = 16 * MIB
"""Of text: 26 million pixels."""


def is_x_bitmap(head: bytes) -> bool:
    """Return whether the file begins as X bitmaps do, of either version."""
    return _IS_BITMAP.match(head) is not None


def as_pillow_reads(content: bytes) -> bytes:
    """Return the bitmap with its bits turned over, in bytes; as it is where it is damaged. Raises PermanentError media.unsupported."""
    sides = [side.search(content, 0, _HEAD_BYTES) for side in _SIDES]
    array = _ARRAY.search(content, 0, _HEAD_BYTES)
    if array is None or None in sides:
        return content
    if len(content) > _MOST_BYTES:
        raise unsupported(f"an X bitmap of more than {_MOST_BYTES // MIB} MiB of text")
    width, height = (int(side[1]) for side in sides if side is not None)
    numbers = np.fromiter((int(found[1], 16) for found in _NUMBER.finditer(content, array.end())), np.uint16)
    if array[1] == b"short":
        row_words = max(1, (width + 15) // 16)
        words = numbers[: len(numbers) // row_words * row_words].astype("<u2").view(np.uint8)
        pixels = words.reshape(-1, 2 * row_words)[:, : (width + 7) // 8]
    else:
        pixels = numbers.astype(np.uint8)
    data = (~pixels).tobytes().hex(",").replace(",", ",0x")
    return f"#define x_width {width}\n#define x_height {height}\nstatic char x_bits[] = {{\n0x{data}}};\n".encode()
