"""Windows' and OS/2's bitmaps that Pillow refuses: colours with the bits in places of their own, odd headers and palettes, two bits a
pixel, run lengths of 24 bits or cut ones, fax rows, arrays of bitmaps.
"""

import io
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.limits import MAX_PROFILE_BYTES
from processors.readers import DamagedMediaError, reading
from processors.source_file import SourceFile

MASKS_END: Final = 70
"""Bytes from the file's beginning."""
_HEADER_BYTES: Final = 14
_ARRAY: Final = b"BA"
_CORE_BYTES: Final = 12
"""Of OS/2's first header, whose sizes have two bytes and whose palette three a colour."""
_SMALLEST_INFO_BYTES: Final = 40
_WITH_ALPHA_BYTES: Final = 56
_OS2_BYTES: Final = 64
"""Of OS/2's second header, which has other things where Windows' have masks."""
_MOST_INFO_BYTES: Final = 256
_FIFTH_INFO_BYTES: Final = 124
_SPACE_PLACE, _PROFILE_PLACE = 70, 126
_EMBEDDED: Final = b"DEBM"
"""The space of colours, of a profile in the file: "MBED", with its low byte first."""
_NONE, _RLE8, _RLE4, _BITFIELDS, _RLE24, _ALPHA_BITFIELDS = 0, 1, 2, 3, 4, 6
_FAX: Final = 3
"""With one bit a pixel: as OS/2 has it."""
_USUAL_MASKS: Final = {16: (0x7C00, 0x3E0, 0x1F), 32: (0xFF0000, 0xFF00, 0xFF)}
_HIGH_BIT_FIRST, _LOW_BIT_FIRST = 1, 2
"""As TIFF's tag FillOrder has them."""
_LOW_BIT_MARK: Final = 8
"""Of the second byte, the lower half, where a row's mark (eleven zeros and a one) has its low bits first."""
_PLAIN_BITS: Final = (1, 2, 4, 8, 24)
_RUN_LENGTHS: Final = {(_RLE8, 8), (_RLE4, 4), (_RLE24, 24)}
_LARGEST_TABLE: Final = 0xFFFF
Bytes = NDArray[np.uint8]
Words = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class _Info:
    width: int
    height: int
    is_bottom_up: bool
    bits: int
    compression: int
    info_bytes: int
    pixels_at: int
    colours: int


def is_bmp(content: bytes) -> bool:
    """Return whether this module may know the bitmap."""
    return content[:2] in (b"BM", _ARRAY)


def has_alpha_mask(head: bytes) -> bool:
    """Return whether Windows' fourth or fifth header names bits for transparency: browsers heed it always, Pillow of few pixels.

    `head` is the file's first MASKS_END bytes.
    """
    info = _read_info(head, 0)
    return info is not None and info.bits in _USUAL_MASKS and _alpha_mask(head, info, 0) != 0


def profile_of(file: SourceFile) -> bytes | None:
    """Return the profile that Windows' fifth header has in the file; None where there is none. `file` keeps its position."""
    position = file.tell()
    try:
        file.seek(0)
        head = file.read(_HEADER_BYTES + _FIFTH_INFO_BYTES)
        if not head.startswith(b"BM") or len(head) < _HEADER_BYTES + _FIFTH_INFO_BYTES:
            return None
        at, length = struct.unpack_from("<LL", head, _PROFILE_PLACE)
        is_there = head[_SPACE_PLACE : _SPACE_PLACE + 4] == _EMBEDDED and head[_HEADER_BYTES] == _FIFTH_INFO_BYTES
        if not is_there or not 0 < length <= MAX_PROFILE_BYTES or _HEADER_BYTES + at + length > file.size:
            return None
        file.seek(_HEADER_BYTES + at)
        return file.read(length)
    finally:
        file.seek(position)


def decode_bmp(content: bytes, max_pixels: int) -> tuple[Image.Image, float] | None:
    """Return the picture in mode RGB or RGBA, and which part of it is there; None where it is no such bitmap.

    Missing pixels are transparent, as in browsers.
    """
    start = (
        _HEADER_BYTES if content[:2] == _ARRAY else 0
    )  # the first one of an array; its places count from the file's beginning
    info = _read_info(content, start)
    if info is None or not 0 < info.width * info.height <= max_pixels:
        return None
    if info.bits in _USUAL_MASKS and info.compression in (_NONE, _BITFIELDS, _ALPHA_BITFIELDS):
        pixels, shown = _masked(content, info, start)
    elif info.compression == _FAX and info.bits == 1:
        return _fax(content, info, start)
    elif (info.compression, info.bits) in _RUN_LENGTHS or (info.compression == _NONE and info.bits in _PLAIN_BITS):
        pixels, shown = _plain(content, info, start)
    else:
        return None
    return Image.fromarray(np.ascontiguousarray(pixels[:: -1 if info.is_bottom_up else 1])), shown


def _read_info(content: bytes, start: int) -> _Info | None:
    header = content[start : start + _HEADER_BYTES + _MOST_INFO_BYTES]
    if header[:2] != b"BM" or len(header) < _HEADER_BYTES + _CORE_BYTES:
        return None
    pixels_at, info_bytes = struct.unpack_from("<LL", header, 10)
    if info_bytes == _CORE_BYTES:
        width, height, _, bits = struct.unpack_from("<4H", header, 18)
        return _Info(width, height, True, bits, _NONE, info_bytes, pixels_at, 1 << min(bits, 8))
    if not _CORE_BYTES < info_bytes <= _MOST_INFO_BYTES or len(header) < _HEADER_BYTES + _SMALLEST_INFO_BYTES:
        return None
    width, height, _, bits, compression = struct.unpack_from("<llHHL", header, 18)
    colours = struct.unpack_from("<L", header, 46)[0] if info_bytes >= 36 else 0
    if info_bytes < 20:
        compression = _NONE
    if width <= 0 or not 0 < bits <= 32:
        return None
    is_bottom_up = height > 0
    return _Info(
        width, abs(height), is_bottom_up, bits, compression, info_bytes, pixels_at, colours or 1 << min(bits, 8)
    )


def _alpha_mask(content: bytes, info: _Info, start: int) -> int:
    has_mask = info.info_bytes >= _WITH_ALPHA_BYTES and info.info_bytes != _OS2_BYTES
    if not has_mask and info.compression != _ALPHA_BITFIELDS:
        return 0
    place = start + _HEADER_BYTES + _SMALLEST_INFO_BYTES + 12
    return int.from_bytes(content[place : place + 4], "little") & (1 << info.bits) - 1


def _masked(content: bytes, info: _Info, start: int) -> tuple[Bytes, float]:
    masks = _USUAL_MASKS[info.bits]
    if info.compression != _NONE:
        masks = struct.unpack_from(
            "<3L", content.ljust(start + MASKS_END, b"\0"), start + _HEADER_BYTES + _SMALLEST_INFO_BYTES
        )
    rows, there = _rows(content, info)
    words = rows.view(f"<u{info.bits // 8}")[:, : info.width]
    channels = [_channel(words, mask & (1 << info.bits) - 1) for mask in masks]
    alpha = _channel(words, _alpha_mask(content, info, start))
    if there == info.height and not alpha.any():  # of no use, so that it is not meant
        return np.dstack(channels), 1.0
    if not alpha.any():
        alpha = np.full(words.shape, 255, np.uint8)
    alpha[there:] = 0
    return np.dstack([*channels, alpha]), there / info.height


def _rows(content: bytes, info: _Info) -> tuple[Bytes, int]:
    """Return the bytes of all rows, in the order of the file, and how many rows are there."""
    line = -(-info.width * info.bits // 32) * 4
    data = content[info.pixels_at : info.pixels_at + line * info.height]
    rows = np.zeros(line * info.height, np.uint8)
    rows[: len(data)] = np.frombuffer(data, np.uint8)
    return rows.reshape(info.height, line), len(data) // line


def _channel(words: Words, mask: int) -> Bytes:
    """Return the bits of a mask, from its lowest one on, as 0 to 255."""
    if mask == 0:
        return np.zeros(words.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    top = mask >> shift
    values = (words & words.dtype.type(mask)) >> words.dtype.type(shift)
    if top == 255:
        return values.astype(np.uint8)
    if top <= _LARGEST_TABLE:
        return np.asarray((np.arange(top + 1) * 255 // top).astype(np.uint8)[values])
    return np.asarray(values.astype(np.uint64) * 255 // np.uint64(top), dtype=np.uint8)


def _plain(content: bytes, info: _Info, start: int) -> tuple[Bytes, float]:
    """By palette, or with three bytes a pixel; packed or not."""
    if info.compression != _NONE:
        values, is_written = _run_lengths(content[info.pixels_at :], info)
        there = is_written.any(axis=1)
    else:
        rows, count = _rows(content, info)
        values = _unpacked(rows, info)
        there = np.arange(info.height) < count
        is_written = np.broadcast_to(there[:, None], (info.height, info.width))
    colours = values[..., ::-1] if info.bits == 24 else _palette(content, info, start)[values]
    shown = float(there.mean())
    if is_written.all():
        return colours, 1.0
    return np.dstack([colours, np.where(is_written, 255, 0).astype(np.uint8)]), shown


def _unpacked(rows: Bytes, info: _Info) -> Bytes:
    if info.bits == 24:
        return rows[:, : 3 * info.width].reshape(info.height, info.width, 3)
    if info.bits == 8:
        return rows[:, : info.width]
    per_byte = 8 // info.bits
    shifts = np.arange(8 - info.bits, -1, -info.bits, dtype=np.uint8)[:per_byte]
    values = rows[:, :, None] >> shifts & np.uint8((1 << info.bits) - 1)
    return values.reshape(info.height, -1)[:, : info.width]


def _palette(content: bytes, info: _Info, start: int) -> Bytes:
    """Return 256 colours, red first; black where the file has fewer."""
    entry = 3 if info.info_bytes == _CORE_BYTES else 4
    at = start + _HEADER_BYTES + info.info_bytes
    room = max(0, info.pixels_at - at) // entry
    data = content[at : at + entry * min(info.colours, 256, room)]
    colours = np.zeros((256, entry), np.uint8)
    whole = np.frombuffer(data[: len(data) // entry * entry], np.uint8).reshape(-1, entry)
    colours[: len(whole)] = whole
    return colours[:, 2::-1]


def _run_lengths(data: bytes, info: _Info) -> tuple[Bytes, NDArray[np.bool_]]:
    """Return numbers or colours, in the order of the file, and which pixels were written. The end may be missing."""
    step = 3 if info.bits == 24 else 1
    shape = (info.height, info.width, 3) if step == 3 else (info.height, info.width)
    values, is_written = np.zeros(shape, np.uint8), np.zeros((info.height, info.width), np.bool_)
    at, x, y = 0, 0, 0
    while at + 2 <= len(data) and y < info.height:
        count, code = data[at], data[at + 1]
        at += 2
        if count:
            run = np.frombuffer(data[at - 1 : at - 1 + step], np.uint8)
            if len(run) < step:
                break
            at += step - 1
            numbers = (
                _pair(code, count) if info.bits == 4 else np.tile(run, (count, 1)) if step == 3 else run.repeat(count)
            )
        elif code > 2:
            length = -(-code * info.bits // 8)
            packed = np.frombuffer(data[at : at + length], np.uint8)
            at += length + length % 2
            numbers = np.column_stack([packed >> 4, packed & 15]).reshape(-1)[:code] if info.bits == 4 else packed
            numbers = numbers[: len(numbers) // 3 * 3].reshape(-1, 3) if step == 3 else numbers
        elif code == 2 and at + 2 <= len(data):
            x, y, at = x + data[at], y + data[at + 1], at + 2
            continue
        elif code == 0:
            x, y = 0, y + 1
            continue
        else:
            break
        room = min(len(numbers), max(0, info.width - x))
        values[y, x : x + room], is_written[y, x : x + room] = numbers[:room], True
        x += len(numbers)
    return values, is_written


def _pair(code: int, count: int) -> Bytes:
    return np.resize(np.array([code >> 4, code & 15], np.uint8), count)


def _fax(content: bytes, info: _Info, start: int) -> tuple[Image.Image, float] | None:
    """By libtiff, as the one strip of a TIFF. Either bit of a byte may come first: which, the mark before the first row shows."""
    data = content[info.pixels_at :]
    fill_order = _LOW_BIT_FIRST if data[1:2] and data[1] & 0x0F == _LOW_BIT_MARK else _HIGH_BIT_FIRST
    tags = ((256, info.width), (257, info.height), (258, 1), (259, 3), (262, 1), (266, fill_order), (273, 122),
            (278, info.height), (279, len(data)))  # fmt: skip
    entries = b"".join(struct.pack("<HHLL", number, 4, 1, value) for number, value in tags)
    tiff = b"II*\0" + struct.pack("<LH", 8, len(tags)) + entries + bytes(4) + data
    try:
        with reading("picture"), Image.open(io.BytesIO(tiff), formats=("TIFF",)) as opened:
            rows = np.asarray(opened.convert("L")) // 255
    except DamagedMediaError:
        return None
    colours = _palette(content, info, start)[rows]
    return Image.fromarray(np.ascontiguousarray(colours[:: -1 if info.is_bottom_up else 1])), 1.0
