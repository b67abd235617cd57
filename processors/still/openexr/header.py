"""The headers of an OpenEXR file, and the chunks of its first part. Source: Technical Introduction to OpenEXR, and OpenEXR File Layout."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

from processors.readers import DamagedMediaError

MAGIC: Final = b"\x76\x2f\x31\x01"
Window = tuple[int, int, int, int]
"""Left, top, right and bottom, the last two included."""
UINT, HALF, FLOAT = 0, 1, 2
BYTES: Final = {UINT: 4, HALF: 2, FLOAT: 4}
NONE, RLE, ZIPS, ZIP, PIZ, _PXR24, B44, B44A = range(8)
_ROWS: Final = {NONE: 1, RLE: 1, ZIPS: 1, ZIP: 16, PIZ: 32, B44: 32, B44A: 32}
"""Of one chunk, by the compressions that are read here."""
_TILED, _DEEP, _PARTS = 0x200, 0x800, 0x1000
_MOST_ATTRIBUTES: Final = 4096
_MOST_CHANNELS: Final = 1024
_MOST_NAME: Final = 255
_MOST_PARTS: Final = 100
_FARTHEST: Final = 1 << 24
"""From the middle of the plane that the windows lie in."""


_ONE_CHANNEL: Final = b"channels\0chlist\0\x13\0\0\0"
"""The attribute of a single channel whose name has one letter."""
_HEADER_BYTES: Final = 4096


def with_luminance(content: bytes) -> bytes:
    """Return a picture of one colour alone as one of luminance, which FFmpeg reads; all else as it is."""
    at = content.find(_ONE_CHANNEL, 8, _HEADER_BYTES) + len(_ONE_CHANNEL)
    is_one_colour = (
        content.startswith(MAGIC) and at >= 8 + len(_ONE_CHANNEL) and content[at : at + 1] in (b"R", b"G", b"B")
    )
    return content[:at] + b"Y" + content[at + 1 :] if is_one_colour else content


@dataclass(frozen=True)
class Channel:
    """One number of each pixel whose place is a multiple of both steps. `is_linear`: B44 packs its exponential."""

    name: bytes
    kind: int
    is_linear: bool
    x_step: int
    y_step: int


@dataclass(frozen=True)
class Part:
    """The header's facts about the first picture. `rows` are those of a chunk; `chunks` the places of all, from the top down."""

    channels: tuple[Channel, ...]
    compression: int
    data: Window
    display: Window
    chromaticities: tuple[float, ...] | None
    is_deep: bool
    is_one_of_many: bool
    chunks: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Return the number of rows of a chunk."""
        return _ROWS[self.compression]


class Cursor:
    """A place in the file's bytes that moves on as they are read. All methods raise DamagedMediaError where the file ends."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content: Final = content
        self._at = at

    def take(self, length: int) -> bytes:
        """Return the next `length` bytes."""
        taken = self._content[self._at : self._at + length] if self._at >= 0 else b""
        if length < 0 or len(taken) < length:
            raise DamagedMediaError("The picture is cut off: its end is missing.")
        self._at += length
        return taken

    def numbers(self, form: str) -> tuple[int, ...]:
        """Return numbers by a format of `struct`, the least significant byte first."""
        form = f"<{form}"
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def text(self) -> bytes:
        """Return a name up to the zero behind it."""
        end = self._content.find(b"\0", self._at, self._at + _MOST_NAME + 1)
        if end < 0:
            raise DamagedMediaError("The picture's beginning is damaged: a name has no end.")
        taken = self._content[self._at : end]
        self._at = end + 1
        return taken

    def moved_to(self, at: int) -> Self:
        """Return a cursor at another place of the same bytes."""
        return type(self)(self._content, at)


def read_first_part(content: bytes) -> Part | None:
    """Return the first part; None where it is tiled, or packed in a way that is not read here. Raises DamagedMediaError."""
    cursor = Cursor(content, len(MAGIC))
    (flags,) = cursor.numbers("I")
    attributes = dict(_read_attributes(cursor))
    if flags & _PARTS:
        for _ in range(_MOST_PARTS):
            if not dict(_read_attributes(cursor)):
                break
    packing = attributes.get(b"compression", b"\xff")
    compression = packing[0] if packing else 0xFF
    kind = attributes.get(b"type", b"")
    is_tiled = b"tiled" in kind if flags & (_PARTS | _DEEP) else bool(flags & _TILED)
    if is_tiled or compression not in _ROWS:
        return None
    data, display = (_window(attributes, name) for name in (b"dataWindow", b"displayWindow"))
    count = -(-(data[3] - data[1] + 1) // _ROWS[compression])
    if count > len(content) // 8:
        raise DamagedMediaError("The picture's beginning is damaged: it has more rows than the file has bytes.")
    channels = tuple(_read_channels(Cursor(attributes.get(b"channels", b""), 0)))
    return Part(
        channels=channels,
        compression=compression,
        data=data,
        display=display,
        chromaticities=_chromaticities(attributes),
        is_deep=kind.startswith(b"deep"),
        is_one_of_many=bool(flags & _PARTS),
        chunks=cursor.numbers(f"{count}Q"),
    )


def read_chromaticities(content: bytes) -> tuple[float, ...] | None:
    """Return x and y of red, green, blue and white; None where the header names none, or is damaged."""
    try:
        return _chromaticities(dict(_read_attributes(Cursor(content, len(MAGIC) + 4))))
    except DamagedMediaError:
        return None


def _chromaticities(attributes: dict[bytes, bytes]) -> tuple[float, ...] | None:
    value = attributes.get(b"chromaticities", b"")
    return struct.unpack("<8f", value) if len(value) == 32 else None


def _read_attributes(cursor: Cursor) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(_MOST_ATTRIBUTES):
        name = cursor.text()
        if not name:
            return
        cursor.text()  # its type
        (length,) = cursor.numbers("I")
        yield name, cursor.take(length)
    raise DamagedMediaError("The picture's beginning is damaged: its header has no end.")


def _read_channels(cursor: Cursor) -> Iterator[Channel]:
    for _ in range(_MOST_CHANNELS):
        name = cursor.text()
        if not name:
            return
        kind, linear, x_step, y_step = cursor.numbers("IB3xii")
        if kind not in BYTES or not (1 <= x_step <= 16 and 1 <= y_step <= 16):
            raise DamagedMediaError("The picture's beginning is damaged: a channel is of no known kind.")
        yield Channel(name, kind, bool(linear), x_step, y_step)
    raise DamagedMediaError("The picture's beginning is damaged: its channels have no end.")


def _window(attributes: dict[bytes, bytes], name: bytes) -> Window:
    left, top, right, bottom = Cursor(attributes.get(name, b""), 0).numbers("4i")
    if left > right or top > bottom or max(map(abs, (left, top, right, bottom))) > _FARTHEST:
        raise DamagedMediaError("The picture's beginning is damaged: its window is none.")
    return left, top, right, bottom
