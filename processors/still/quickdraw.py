"""QuickDraw pictures (PICT) of the old Macintosh: the pixels that they draw, and the pictures that QuickTime put into them.

Lines, shapes and texts are not drawn. Source: Inside Macintosh: Imaging With QuickDraw, appendix A; QuickTime's image description.
"""

import io
import struct
from collections.abc import Iterator
from typing import Final

from PIL import Image

from processors.limits import MIB
from processors.readers import DamagedMediaError, reading
from processors.source_file import SourceFile
from processors.still.finish import DAMAGED, WHOLE, StoredPicture, finish
from processors.still.pillow import unsupported
from processors.still.quickdraw_pixels import OpcodeCursor, Rect, read_pixels
from processors.types import DecodedFrame, ThumbnailSpec

_VERSION_AT: Final = 512 + 10
"""Behind 512 bytes of any content, the size, and the frame."""
_FIRST, _SECOND = b"\x11\x01", b"\0\x11\x02\xff\x0c\0"
_EXTENDED_AT, _EXTENDED, _OWN_FRAME_AT = _VERSION_AT + 6, b"\xff\xfe", _VERSION_AT + 18
_MOST_BYTES: Final = 64 * MIB
_MOST_OPERATIONS: Final = 200_000
_PIXELS: Final = {
    code: (code in (0x9A, 0x9B), code in (0x98, 0x99), code % 2 == 1)
    for code in (*range(0x90, 0x92), *range(0x98, 0x9C))
}
"""By operation: whether it draws colours, whether its rows are packed, and whether it has a region."""
_QUICKTIME, _END = 0x8200, 0xFF
_SIZES: Final[dict[int, int]] = {
    0x02: 8,
    0x03: 2,
    0x04: 1,
    0x05: 2,
    0x06: 4,
    0x07: 4,
    0x08: 2,
    0x09: 8,
    0x0A: 8,
    0x0B: 4,
    0x0C: 4,
    0x0D: 2,
    0x0E: 4,
    0x0F: 4,
    0x10: 8,
    0x11: 1,
    0x15: 2,
    0x16: 2,
    0x1A: 6,
    0x1B: 6,
    0x1D: 6,
    0x1F: 6,
    0x20: 8,
    0x21: 4,
    0x22: 6,
    0x23: 2,
    **{code: 8 for low in (0x30, 0x40, 0x50) for code in range(low, low + 8)},
    **dict.fromkeys(range(0x60, 0x68), 12),
    **dict.fromkeys(range(0x68, 0x70), 4),
    0xA0: 2,
}
"""Bytes of an operation's data; those of all below 0x100 that stand nowhere here have none."""
_LONG_AS_SAID: Final = (
    *range(0x24, 0x28),
    *range(0x2C, 0x30),
    *range(0x92, 0x98),
    *range(0x9C, 0xA0),
    *range(0xA2, 0xB0),
)
_TEXTS: Final = {0x28: 4, 0x29: 1, 0x2A: 1, 0x2B: 2}
"""Bytes before a text, which has its length before it."""
_REGIONS: Final = (0x01, *range(0x70, 0x78), *range(0x80, 0x88))
"""Say how long they are, these two bytes included."""
_DRAWN: Final = (*range(0x20, 0x24), *_TEXTS, *(low + kind for low in range(0x30, 0x90, 8) for kind in (0, 1, 4)))
"""Lines, texts, and shapes that are framed, painted or filled."""
_MATTE_AT, _MASK_AT, _DESCRIPTION_AT = 38, 64, 68
_MOST_LAYERS: Final = 2
"""All parts together may have so many pixels for each that the picture may have."""
_MOST_TIMES: Final = 8
"""As many pixels of a side there may be for a dot of the frame, which has 72 of an inch."""


def is_pict(file: SourceFile) -> bool:
    """Return whether the file is a PICT of version 2, or the first one with a frame that makes sense."""
    file.seek(_VERSION_AT - 8)
    head = file.read(8 + len(_SECOND))
    if len(head) < 8 + len(_SECOND):
        return False
    top, left, bottom, right = _frame(head[:8])
    return head[8:] == _SECOND or (head[8:10] == _FIRST and top < bottom and left < right)


def decode_pict(file: SourceFile, spec: ThumbnailSpec) -> DecodedFrame:
    """Return the picture, opaque; degraded where lines, shapes or texts are missing. Raises PermanentError media.unsupported."""
    file.seek(0)
    file.expect_whole()
    content = file.read() if file.size <= _MOST_BYTES else b""
    parts: list[tuple[Image.Image, Rect]] = []
    method = WHOLE
    try:
        for part in _parts(content, spec.max_pixels):
            if part is None:
                method = DAMAGED
            else:
                parts.append(part)
    except DamagedMediaError:
        method = DAMAGED
    image = _put_together(parts, _canvas(content), spec.max_pixels) if parts else None
    if image is None:
        raise unsupported("a QuickDraw picture (PICT) of a rare kind")
    return finish(StoredPicture(image, "pict", method), spec)


def _parts(content: bytes, max_pixels: int) -> Iterator[tuple[Image.Image, Rect] | None]:
    """Yield pixels and where they belong; None for what is not drawn. Raises DamagedMediaError where it cannot go on."""
    is_first = content[_VERSION_AT : _VERSION_AT + 2] == _FIRST
    cursor = OpcodeCursor(content, _VERSION_AT + (2 if is_first else 4))
    has_quicktime = False
    for _ in range(_MOST_OPERATIONS):
        code = cursor.number(1 if is_first else 2)
        if code == _END:
            return
        if code in _PIXELS:
            is_direct, is_packed, has_region = _PIXELS[code]
            pixels = read_pixels(
                cursor, is_direct=is_direct, is_packed=is_packed, has_region=has_region, max_pixels=max_pixels
            )
            max_pixels -= pixels.colours.shape[0] * pixels.colours.shape[1] // _MOST_LAYERS
            if not has_quicktime:
                yield Image.fromarray(pixels.colours), pixels.place
        elif code == _QUICKTIME:
            yield _by_quicktime(cursor.take(cursor.number(4)), max_pixels)
            has_quicktime = True  # what else is drawn is for those who have none
        else:
            if code in _DRAWN and not has_quicktime:
                yield None
            _skip(cursor, code)
        if not is_first and cursor.at % 2:
            cursor.take(1)


def _skip(cursor: OpcodeCursor, code: int) -> None:
    if code in _REGIONS:
        cursor.take(cursor.number(2) - 2)
    elif code in _LONG_AS_SAID:
        cursor.take(cursor.number(2))
    elif code in _TEXTS:
        cursor.take(_TEXTS[code])
        cursor.take(cursor.number(1))
    elif code == 0xA1:
        cursor.take(2)
        cursor.take(cursor.number(2))
    elif 0x12 <= code <= 0x14:
        raise DamagedMediaError("The picture has a pattern of pixels.")
    elif code < 0xD0:
        cursor.take(_SIZES.get(code, 0))
    elif code < 0x100 or code >= 0x8100:
        cursor.take(cursor.number(4))
    elif code < 0x8000:
        cursor.take(code >> 8 << 1)


@reading("picture")
def _by_quicktime(data: bytes, max_pixels: int) -> tuple[Image.Image, Rect]:
    """Return the picture that QuickTime packed: a JPEG, a PNG, or another file of its own."""
    if len(data) < _DESCRIPTION_AT + 4:
        raise DamagedMediaError("The picture is cut off: its end is missing.")
    across, down = (value >> 16 for value in struct.unpack_from(">2l", data, 2 + 6 * 4))
    matte, mask = (int.from_bytes(data[at : at + 4]) for at in (_MATTE_AT, _MASK_AT))
    start = _DESCRIPTION_AT + matte + mask
    start += int.from_bytes(data[start : start + 4])
    with Image.open(io.BytesIO(data[start:]), formats=("JPEG", "PNG", "TIFF", "GIF", "BMP", "SGI", "TGA")) as opened:
        if opened.width * opened.height > max_pixels:
            raise DamagedMediaError("The picture has too many pixels.")
        image = opened.convert("RGB")
    return image, (down, across, down + image.height, across + image.width)


def _put_together(parts: list[tuple[Image.Image, Rect]], frame: Rect, max_pixels: int) -> Image.Image | None:
    """Return the parts in their places, as fine as the finest of them; None where the frame is empty or too large."""
    placed = [(image, place) for image, place in parts if place[2] > place[0] and place[3] > place[1]]
    if len(placed) == 1 or not placed:
        return placed[0][0] if placed else None
    times = min(_MOST_TIMES, max(1.0, *(image.width / (place[3] - place[1]) for image, place in placed)))
    top, left, bottom, right = (round(times * side) for side in frame)
    if not (top < bottom and left < right and (bottom - top) * (right - left) <= max_pixels):
        return None
    canvas = Image.new("RGB", (right - left, bottom - top), "white")
    for image, place in placed:
        sides = [round(times * side) for side in place]
        size = (min(sides[3] - sides[1], canvas.width * 2), min(sides[2] - sides[0], canvas.height * 2))
        canvas.paste(image if image.size == size else image.resize(size), (sides[1] - left, sides[0] - top))
    return canvas


def _canvas(content: bytes) -> Rect:
    """Return the rectangle in whose dots all places are: the header's own, where there is one, has the resolution of the pixels."""
    own = content[_OWN_FRAME_AT : _OWN_FRAME_AT + 8]
    if content[_EXTENDED_AT : _EXTENDED_AT + 2] == _EXTENDED and len(own) == 8 and any(own):
        return _frame(own)
    return _frame(content[_VERSION_AT - 8 : _VERSION_AT])


def _frame(four: bytes) -> Rect:
    return struct.unpack(">4h", four)
