"""GIFs whose first frame is smaller than the picture: what it leaves free is transparent in browsers, and of the first colour in Pillow."""

import io
import struct
from dataclasses import dataclass
from typing import Final

from PIL import Image

from processors.readers import DamagedMediaError, reading

CANVAS_HEAD_BYTES: Final = 4096
"""How far the first frame is looked for: two palettes, and a comment."""
_SIGNATURES: Final = (b"GIF87a", b"GIF89a")
_HEADER_BYTES: Final = 13
_FRAME, _EXTENSION, _CONTROL = 0x2C, 0x21, 0xF9
_HAS_PALETTE: Final = 128
_HAS_CLEAR_COLOUR: Final = 1
_MOST_COLOURS: Final = 256


@dataclass(frozen=True)
class _FirstFrame:
    """`control_at`: its graphic control, behind the length; None where it has none. `at`: the frame itself."""

    at: int
    control_at: int | None
    box: tuple[int, int, int, int]
    colours: int


def leaves_canvas_free(head: bytes) -> bool:
    """Return whether this is the beginning of a GIF that on_clear_canvas changes."""
    return _smaller_frame(head) is not None


def on_clear_canvas(content: bytes) -> bytes:
    """Return the GIF with a transparent colour that its first frame does not use; as it is where the frame uses all."""
    frame = _smaller_frame(content[:CANVAS_HEAD_BYTES])
    clear = None if frame is None else _unused_colour(content, frame)
    if frame is None or clear is None:
        return content
    if frame.control_at is None:
        control = bytes([_EXTENSION, _CONTROL, 4, _HAS_CLEAR_COLOUR, 0, 0, clear, 0])
        return content[: frame.at] + control + content[frame.at :]
    changed = bytearray(content)
    changed[frame.control_at] |= _HAS_CLEAR_COLOUR
    changed[frame.control_at + 3] = clear
    return bytes(changed)


def _smaller_frame(head: bytes) -> _FirstFrame | None:
    """Return the first frame, where it leaves something free and has no transparent colour."""
    if not head.startswith(_SIGNATURES) or len(head) < _HEADER_BYTES:
        return None
    width, height, flags = struct.unpack_from("<HHB", head, 6)
    colours = _palette_size(flags)
    at, control_at = _HEADER_BYTES + 3 * colours, None
    while at + 10 <= len(head) and head[at] == _EXTENSION:
        if head[at + 1] == _CONTROL:
            control_at = at + 3
        at += 2
        while at < len(head) and head[at]:
            at += head[at] + 1
        at += 1
    if at + 10 > len(head) or head[at] != _FRAME:
        return None
    left, top, across, down, flags = struct.unpack_from("<4HB", head, at + 1)
    covers_all = left == top == 0 and across >= width and down >= height
    if covers_all or (control_at is not None and head[control_at] & _HAS_CLEAR_COLOUR):
        return None
    return _FirstFrame(at, control_at, (left, top, left + across, top + down), _palette_size(flags) or colours)


def _palette_size(flags: int) -> int:
    return 2 << (flags & 7) if flags & _HAS_PALETTE else 0


def _unused_colour(content: bytes, frame: _FirstFrame) -> int | None:
    if 0 < frame.colours < _MOST_COLOURS:
        return frame.colours
    try:
        with reading("picture"), Image.open(io.BytesIO(content), formats=("GIF",)) as opened:
            used = opened.crop(frame.box).histogram()
    except DamagedMediaError:
        return None
    return next((number for number, count in enumerate(used) if count == 0), None)
