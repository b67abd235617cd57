"""Large PNGs, band by band. The file's rows are unpacked here; FFmpeg, whose filters are vectorized, makes pixels of them: each
band as a small PNG of its own, with the last row of the band before on top, for filters look at the row above.

Only rows from the top down come this way; png_passes.py has the interlaced ones.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import av
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from PIL import Image

from processors.readers import DamagedMediaError, reading
from processors.source_file import SourceFile
from processors.still.bands import BandPlan, Bands, as_opened

_SAMPLES: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""
_LOOKALIKES: Final = {1: 0, 2: 4, 3: 2, 4: 6}
"""By the bytes of a pixel, the colour type with as many in samples of eight bits: filters know nothing else of pixels. Those
with more have too much to unpack."""
_MAX_CHUNKS: Final = 65536
_ZLIB_HEAD_BYTES: Final = 2
_PIECE_BYTES: Final = 64 * 1024
"""Read at once."""
_UNPACKED_BYTES: Final = 1024**2
"""Unpacked at once."""
_STORED_BYTES: Final = 65535
"""Of a block that deflate holds as it is."""
DAMAGED: Final = "The picture's pixels are damaged or cut off."


class PngRows:
    """The still picture of a PNG that is opened: its header, and its rows as they come."""

    def __init__(self, file: SourceFile) -> None:
        """Read the header. Raises DamagedMediaError."""
        file.seek(0)
        head = file.read(29)
        if len(head) < 29 or head[12:16] != b"IHDR":
            raise DamagedMediaError("The picture's beginning is damaged.")
        width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", head[16:])
        self.height: Final[int] = height
        self.is_interlaced: Final = interlace != 0
        bits = depth * _SAMPLES.get(colour, 4)
        self._bits: Final[int] = bits
        self.row_bytes: Final[int] = self.bytes_of(width)
        self._step: Final = max(1, bits // 8)
        self._file: Final = file

    @property
    def unpacked_bytes(self) -> int:
        """Return how many bytes all rows have."""
        return (1 + self.row_bytes) * self.height

    def bytes_of(self, width: int) -> int:
        """Return how many bytes a row of `width` pixels has."""
        return (width * self._bits + 7) // 8

    def bands(self, opened: Image.Image, plan: BandPlan) -> Bands:
        """Yield the rows as pictures in the mode in which Pillow opens the file. Raises DamagedMediaError."""
        raw_mode = opened.tile[0].args  # type: ignore[attr-defined]  # of the class that PNGs are opened as
        above = bytes(self.row_bytes)
        unpacked = self.unpacked()
        for _, rows in plan.row_counts():
            filtered = unpacked.take(rows * (1 + self.row_bytes))
            there = len(filtered) // (1 + self.row_bytes)
            if there:
                values = self.unfiltered(filtered[: there * (1 + self.row_bytes)], there, above)
                above = values[-self.row_bytes :]
                with reading("picture"):
                    band = Image.frombuffer(opened.mode, (plan.width, there), values, "raw", raw_mode, 0, 1)
                as_opened(band, opened)
                yield band
            if there < rows:
                raise DamagedMediaError(DAMAGED)

    def _unpacked(self) -> Iterator[bytes]:
        """Yield what is packed in the chunks of the still picture, up to where it is damaged."""
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)  # whose checksum is not asked
        skipped = _ZLIB_HEAD_BYTES
        for piece in self._packed():
            waiting = piece[skipped:]
            skipped = max(0, skipped - len(piece))
            while waiting:
                try:
                    yield inflate.decompress(waiting, _UNPACKED_BYTES)
                except zlib.error:
                    return
                waiting = inflate.unconsumed_tail

    def _packed(self) -> Iterator[bytes]:
        self._file.seek(0)
        self._file.expect_whole()
        at, is_found = 8, False
        for _ in range(_MAX_CHUNKS):
            self._file.seek(at)
            head = self._file.read(8)
            if len(head) < 8 or (is_found and head[4:] != b"IDAT"):
                return
            length = int.from_bytes(head[:4])
            at += 12 + length
            if head[4:] == b"IDAT":
                is_found = True
                for start in range(0, length, _PIECE_BYTES):
                    yield self._file.read(min(_PIECE_BYTES, length - start))

    def unpacked(self) -> "Pieces":
        """Return the rows as they are filtered, each behind its mark."""
        return Pieces(self._unpacked())

    def unfiltered(self, filtered: bytes, rows: int, above: bytes) -> bytes:
        """Return the rows' bytes, without the filters' marks, below the row `above`. Raises DamagedMediaError."""
        width = -(-len(above) // self._step)
        content = _small_png((width, rows + 1, 8, _LOOKALIKES[self._step]), b"\0" + above + filtered)
        context = VideoCodecContext.create("png", "r")
        context.thread_count = 1  # threads would not be caged
        try:
            with reading("picture"):
                frames: list[VideoFrame] = context.decode(av.Packet(content)) or context.decode(None)
        except FFmpegError as exc:
            raise DamagedMediaError(DAMAGED) from exc
        if not frames or (frames[0].width, frames[0].height) != (width, rows + 1):
            raise DamagedMediaError(DAMAGED)
        plane = frames[0].planes[0]
        lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return lines[1 : rows + 1, : len(above)].tobytes()


class Pieces:
    """A stream of bytes that comes in pieces of any length."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces: Final = pieces
        self._waiting: Final = bytearray()

    def take(self, length: int) -> bytes:
        """Return the next `length` bytes; fewer at the end."""
        while len(self._waiting) < length and (piece := next(self._pieces, None)) is not None:
            self._waiting.extend(piece)
        taken = bytes(self._waiting[:length])
        del self._waiting[:length]
        return taken


def _small_png(header: tuple[int, int, int, int], rows: bytes) -> bytes:
    """Return a PNG of width, height, depth and colour type whose rows are stored without being packed; checksums are not asked."""
    blocks: list[bytes | memoryview] = []
    for start in range(0, len(rows), _STORED_BYTES):
        block = memoryview(rows)[start : start + _STORED_BYTES]
        is_last = start + _STORED_BYTES >= len(rows)
        blocks += [struct.pack("<BHH", is_last, len(block), len(block) ^ 0xFFFF), block]
    data = b"".join((b"\x78\x01", *blocks, struct.pack(">I", zlib.adler32(rows))))
    return b"".join(
        (
            *(b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0))),
            *(struct.pack(">I", len(data)), b"IDAT", data, bytes(4)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
