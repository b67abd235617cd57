"""PNGs that are cut, or damaged in their pixels or beside them, as PNGs that every reader takes: with the rows that are there.

Chunks that only describe the picture are kept where they are sound, and left out where they are not; those of animations are left
out, so that the still picture is shown. Checksums are not asked: what the pixels' own stream gives is shown.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import Image

from processors.readers import reading

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_MAX_CHUNKS: Final = 65536
_BITS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""By colour type, the depths that there are."""
_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced picture: first column and row, and the steps of both."""
_KEPT: Final = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"iCCP": None, b"tRNS": None}
"""Chunks that say what the pixels mean, and their lengths. A turn by eXIf is kept where its checksum is right."""
_GRIDS: Final = ((0, 0), (8, 8), (4, 8), (4, 4), (2, 4), (2, 2), (1, 2), (1, 1))
"""By the number of whole passes: how far the pixels lie apart that are there."""
_FEED_BYTES: Final = (65536, 1024, 16, 1)
"""At once, and then up to the very place of the damage: what a failing call has decompressed is lost."""
_MOST_FILTER: Final = 4


@dataclass(frozen=True)
class RepairedFile:
    """A file that a strict reader takes. `shown` is the share of its rows that is there, from the top on.

    `is_whole`: nothing of the picture itself was damaged.
    """

    content: bytes
    shown: float
    is_whole: bool


def repair_png(content: bytes, max_pixels: int) -> RepairedFile | None:
    """Return the PNG without what is damaged; None where it is no PNG, or nothing of its pixels is there."""
    if not content.startswith(_SIGNATURE[:4]):
        return None
    parts = _Parts()
    for kind, body, is_sound in _chunks(content):
        parts.add(kind, body, is_sound=is_sound)
    header, palette, described = parts.header, parts.palette, parts.described
    if len(header) != 13 or not parts.data:
        return None
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    is_known = depth in _BITS.get(colour, ()) and interlace in (0, 1) and 0 < width * height <= max_pixels
    if not is_known or (colour == 3 and not palette):
        return None
    rows = _Rows(width, height, depth * _SAMPLES[colour], is_interlaced=interlace == 1)
    found, is_sound = _inflate(b"".join(parts.data), rows.total_bytes)
    pixels = rows.complete(found)
    if pixels is None:
        return None
    made = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    chunks = [_SIGNATURE, _chunk(b"IHDR", made), *(part for part in described if part[4:8] != b"tRNS")]
    if palette:
        chunks.append(_chunk(b"PLTE", palette))
    chunks += [part for part in described if part[4:8] == b"tRNS"]
    chunks += [_chunk(b"IDAT", zlib.compress(pixels, 1)), _chunk(b"IEND", b"")]
    whole = b"".join(chunks)
    if interlace and rows.shown < 1:
        return _coarser(whole, rows.whole_passes, described)
    return RepairedFile(whole, rows.shown, is_sound and rows.shown == 1)


class _Parts:
    """The parts of a PNG, sound or not."""

    def __init__(self) -> None:
        self.header = self.palette = b""
        self.data: Final[list[bytes]] = []
        self.described: Final[list[bytes]] = []

    def add(self, kind: bytes, body: bytes, *, is_sound: bool) -> None:
        """Keep a chunk that is needed, and of those that only describe the picture the sound ones."""
        if kind == b"IHDR" and not self.header:
            self.header = body[:13]
        elif kind == b"PLTE" and not self.palette and not self.data:
            self.palette = body[: len(body) // 3 * 3][:768]
        elif kind == b"IDAT":
            self.data.append(body)
        elif not self.data and is_sound and kind in (*_KEPT, b"eXIf") and len(body) == (_KEPT.get(kind) or len(body)):
            self.described.append(_chunk(kind, body))


def _coarser(content: bytes, whole_passes: int, described: list[bytes]) -> RepairedFile | None:
    """Return the pixels of the passes that are there, as a smaller picture: between them there would be nothing."""
    if whole_passes == 0:
        return None
    across, down = _GRIDS[whole_passes]
    with reading("picture"), Image.open(io.BytesIO(content)) as opened:
        size = (-(-opened.width // across), -(-opened.height // down))
        places = (across, 0, (1 - across) / 2, 0, down, (1 - down) / 2)  # the first pixel of each cell, not its middle
        smaller = opened.transform(size, Image.Transform.AFFINE, places, Image.Resampling.NEAREST)
        smaller = smaller.resize((size[0] * across // down, size[1])) if across < down else smaller
        out = io.BytesIO()
        smaller.save(out, "PNG", transparency=opened.info.get("transparency"))
    made = out.getvalue()
    behind_header = len(_SIGNATURE) + 25
    meanings = b"".join(part for part in described if part[4:8] != b"tRNS")
    return RepairedFile(made[:behind_header] + meanings + made[behind_header:], 1.0, is_whole=False)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield each chunk's kind, what there is of its content, and whether its checksum is right."""
    at = len(_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if len(content) < at + 8:
            return
        length, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        body = content[at + 8 : at + 8 + length]
        checksum = content[at + 8 + length : at + 12 + length]
        if not kind.isalpha():
            return
        yield kind, body, zlib.crc32(kind + body) == int.from_bytes(checksum) and len(checksum) == 4
        at += 12 + length


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _inflate(data: bytes, most: int) -> tuple[bytes, bool]:
    """Return what comes out before the first damage, `most` bytes of it, and whether there was none."""
    stream = zlib.decompressobj()
    found, at = bytearray(), 0
    for step in _FEED_BYTES:
        while at < len(data) and len(found) < most and not stream.eof:
            before = stream.copy()
            try:
                found += stream.decompress(data[at : at + step], most - len(found))
            except zlib.error:
                stream = before
                break
            at += step
        else:
            return bytes(found), True
    return bytes(found), False


class _Rows:
    """How the pixels of a picture lie in its stream: in rows, each behind the number of its filter."""

    def __init__(self, width: int, height: int, bits: int, *, is_interlaced: bool) -> None:
        passes = _PASSES if is_interlaced else ((0, 0, 1, 1),)
        self._passes: Final = [
            (-(-(width - left) // across), -(-(height - top) // down)) for left, top, across, down in passes
        ]
        self._lines: Final = [
            (1 + (columns * bits + 7) // 8, count if columns > 0 else 0) for columns, count in self._passes
        ]
        self.total_bytes: Final = sum(length * max(0, count) for length, count in self._lines)
        self.shown = 0.0
        self.whole_passes = 0

    def complete(self, found: bytes) -> bytes | None:
        """Return the stream with its missing rows empty; None where not even one is there."""
        whole = self._sound_bytes(found)
        self.shown = whole / self.total_bytes
        if whole == 0:
            return None
        return found[:whole] + bytes(self.total_bytes - whole)

    def _sound_bytes(self, found: bytes) -> int:
        """Return where the last whole row ends that begins with the number of a filter."""
        at = 0
        for length, count in self._lines:
            for _ in range(max(0, count)):
                if at + length > len(found) or found[at] > _MOST_FILTER:
                    return at
                at += length
            self.whole_passes += 1
        return at
