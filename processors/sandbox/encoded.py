"""Is an encoded picture what its sender says? Every byte of its container is accounted for, and no pixel is decoded.

The sender is a decoder that may have been taken over by a file: what it calls a thumbnail is stored as one, under a company's
own address, and opened by browsers. Only the plainest forms of each format pass, those that our encoders write: no metadata,
no animation, no text, and nothing after the end.

Sources: RFC 9649 (WebP), ITU-T T.81 annex B (JPEG), ISO/IEC 23008-12 and the AV1 image file format (AVIF).
"""

import re
import struct
from collections.abc import Callable, Iterator
from typing import Final

from processors.types import PictureFormat

_CHUNK: Final = struct.Struct("<4sI")
_ALPHA_FLAG: Final = 0x10
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7]", re.DOTALL)
"""In entropy-coded data: a marker; FF 00 is a stuffed byte, and D0 to D7 are restarts."""
_SOI, _EOI, _SOS, _APP0 = b"\xff\xd8", b"\xff\xd9", 0xDA, 0xE0
_TABLES: Final = frozenset({0xC4, 0xDB, 0xDD})
"""Huffman, quantization, restart interval."""
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive."""
_JFIF_SIZES: Final = range(14, 17)
_META_CHILDREN: Final = frozenset({b"hdlr", b"pitm", b"iloc", b"iinf", b"iprp", b"iref", b"idat", b"dinf", b"grpl"})


class NotAPictureError(Exception):
    """The bytes are not one plain picture of the format and size."""


def check_picture(content: bytes, picture_format: PictureFormat, width: int, height: int) -> None:
    """Raise NotAPictureError unless `content` is one picture of that format, `width` x `height` pixels, and nothing else."""
    try:
        found = _SIZES[picture_format](content)
    except (struct.error, IndexError) as exc:
        raise NotAPictureError("it is cut") from exc
    if found != (width, height):
        raise NotAPictureError(f"it has {found[0]}x{found[1]} pixels, not {width}x{height}")


def _webp_size(content: bytes) -> tuple[int, int]:
    chunks = list(_webp_chunks(content))
    kinds = [kind for kind, _ in chunks]
    if kinds == [b"VP8 "]:
        return _vp8_size(chunks[0][1])
    if kinds == [b"VP8L"]:
        return _vp8l_size(chunks[0][1])
    if kinds not in ([b"VP8X", b"ALPH", b"VP8 "], [b"VP8X", b"VP8 "], [b"VP8X", b"VP8L"]):
        raise NotAPictureError("it has other parts than one WebP picture")
    head, picture = chunks[0][1], chunks[-1][1]
    if len(head) != 10 or head[0] & ~_ALPHA_FLAG or any(head[1:4]):
        raise NotAPictureError("its header promises more than a WebP picture")
    canvas = int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1
    if canvas != (_vp8_size(picture) if kinds[-1] == b"VP8 " else _vp8l_size(picture)):
        raise NotAPictureError("its header and its picture differ in size")
    return canvas


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    riff, length = _CHUNK.unpack_from(content)
    if riff != b"RIFF" or content[8:12] != b"WEBP" or length + 8 != len(content):
        raise NotAPictureError("it is not one WebP file")
    at = 12
    while at < len(content):
        kind, length = _CHUNK.unpack_from(content, at)
        end = at + 8 + length
        if end > len(content) or (length % 2 and content[end : end + 1] != b"\0"):
            raise NotAPictureError("a part of it is cut")
        yield kind, content[at + 8 : end]
        at = end + length % 2


def _vp8_size(data: bytes) -> tuple[int, int]:
    """Return the size in a key frame's head: RFC 6386, 9.1."""
    is_inter, start = data[0] & 1, data[3:6]
    if is_inter or start != b"\x9d\x01\x2a":
        raise NotAPictureError("its VP8 data is not a key frame")
    width, height = struct.unpack_from("<HH", data, 6)
    return width & 0x3FFF, height & 0x3FFF


def _vp8l_size(data: bytes) -> tuple[int, int]:
    bits = int.from_bytes(data[1:5], "little")
    if data[0] != 0x2F or bits >> 29:
        raise NotAPictureError("its VP8L data has another signature")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _jpeg_size(content: bytes) -> tuple[int, int]:
    if content[:2] != _SOI or content[-2:] != _EOI:
        raise NotAPictureError("it is not one JPEG file")
    at, size, scans = 2, (0, 0), 0
    while content[at : at + 2] != _EOI:
        mark, marker, length = struct.unpack_from(">BBH", content, at)
        data = content[at + 4 : at + 2 + length]
        at += 2 + length
        if mark != 0xFF or length < 2 or at > len(content):
            raise NotAPictureError("a part of it is cut")
        if marker in _FRAMES and size == (0, 0):
            height, width = struct.unpack_from(">HH", data, 1)
            size = width, height
        elif marker == _SOS and size != (0, 0):
            following = _MARKER.search(content, at)
            if following is None:
                raise NotAPictureError("it has no end")
            at, scans = following.start(), scans + 1
        elif not (marker in _TABLES or (marker == _APP0 and data[:5] == b"JFIF\0" and length in _JFIF_SIZES)):
            raise NotAPictureError("it has other parts than one JPEG picture")
    if at + 2 != len(content) or not scans:
        raise NotAPictureError("it has something after its end, or no pixels")
    return size


def _avif_size(content: bytes) -> tuple[int, int]:
    boxes = list(_boxes(content, 0, len(content)))
    if [kind for kind, _, _ in boxes] not in ([b"ftyp", b"meta", b"mdat"], [b"ftyp", b"meta", b"free", b"mdat"]):
        raise NotAPictureError("it has other parts than one AVIF picture")
    (_, start, _), (_, meta, meta_end) = boxes[:2]
    if content[start : start + 4] != b"avif":
        raise NotAPictureError("it is not an AVIF picture")
    children = list(_boxes(content, meta + 4, meta_end))
    if not {kind for kind, _, _ in children} <= _META_CHILDREN:
        raise NotAPictureError("its description has other parts than those of a picture")
    sizes: set[tuple[int, int]] = set()
    for kind, begin, end in children:
        if kind == b"iinf":
            _check_items(content, begin, end)
        if kind == b"iprp":
            sizes |= _extents(content, begin, end)
    if len(sizes) != 1:
        raise NotAPictureError("it has no size, or several")
    return sizes.pop()


def _check_items(content: bytes, start: int, end: int) -> None:
    """Raise NotAPictureError for an item that is not a coded AV1 picture, such as EXIF or XMP."""
    (version,) = struct.unpack_from(">B", content, start)
    for _, begin, _ in _boxes(content, start + (6 if version == 0 else 8), end):
        (infe,) = struct.unpack_from(">B", content, begin)
        at = begin + 4 + (2 if infe == 2 else 4) + 2
        if content[at : at + 4] != b"av01":
            raise NotAPictureError("it holds something that is no picture")


def _extents(content: bytes, start: int, end: int) -> set[tuple[int, int]]:
    for kind, begin, stop in _boxes(content, start, end):
        if kind == b"ipco":
            return {
                struct.unpack_from(">II", content, at + 4)
                for name, at, _ in _boxes(content, begin, stop)
                if name == b"ispe"
            }
    return set()


def _boxes(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield each box's kind, and where its content begins and ends; together they fill the room from `start` to `end`."""
    while start < end:
        length, kind = struct.unpack_from(">I4s", content, start)
        if length < 8 or start + length > end:
            raise NotAPictureError("a part of it is cut")
        yield kind, start + 8, start + length
        start += length


_SIZES: Final[dict[PictureFormat, Callable[[bytes], tuple[int, int]]]] = {
    PictureFormat.WEBP: _webp_size,
    PictureFormat.JPEG: _jpeg_size,
    PictureFormat.AVIF: _avif_size,
}
"""Each raises NotAPictureError, struct.error or IndexError for anything else."""
