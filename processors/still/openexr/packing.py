"""The chunks of an OpenEXR file, unpacked: every compression but Pixar's and DreamWorks'.

Source: OpenEXR's ImfZip, ImfRle, ImfPizCompressor, ImfHuf, ImfWav and ImfB44Compressor.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

import av
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from processors.readers import DamagedMediaError, reading
from processors.still.openexr import header as exr

Plane = NDArray[Any]
"""Rows x columns of a channel's numbers, as they are stored."""

_TYPES: Final = {exr.UINT: "<u4", exr.HALF: "<f2", exr.FLOAT: "<f4"}
_DAMAGED: Final = "A part of the picture is damaged."
_FLAT: Final = 0xFC
"""Third byte of a block of B44 in which all pixels are alike: it has three."""
_BLOCK: Final = 14
_HALF_RANGE: Final = 1 << 16


@dataclass(frozen=True)
class Block:
    """Which rows a chunk has, and how many numbers of each channel lie in one of them."""

    channels: tuple[exr.Channel, ...]
    widths: tuple[int, ...]
    rows: range

    def rows_of(self, channel: exr.Channel) -> int:
        """Return the number of rows in which the channel has numbers."""
        return sum(not row % channel.y_step for row in self.rows)

    @property
    def size_bytes(self) -> int:
        """Return how many bytes all numbers have."""
        sizes = zip(self.channels, self.widths, strict=True)
        return sum(exr.BYTES[one.kind] * width * self.rows_of(one) for one, width in sizes)


def unpack(packed: bytes, block: Block, compression: int) -> list[Plane]:
    """Return the planes of a chunk, in the order of the channels. Raises DamagedMediaError."""
    if len(packed) >= block.size_bytes:
        return _from_lines(packed[: block.size_bytes], block)
    if compression == exr.PIZ:
        return _from_piz(packed, block)
    if compression in (exr.B44, exr.B44A):
        return _from_b44(packed, block)
    return _from_lines(unpack_bytes(packed, block.size_bytes, compression), block)


def unpack_bytes(packed: bytes, size: int, compression: int) -> bytes:
    """Return `size` bytes that ZIP or RLE has packed; those of which there are so many are not packed. Raises DamagedMediaError."""
    if len(packed) >= size or compression == exr.NONE:
        return _exactly(packed[:size], size)
    if compression == exr.RLE:
        return _in_order(_run_lengths(packed, size))
    try:
        return _in_order(_exactly(zlib.decompressobj().decompress(packed, size), size))
    except zlib.error as exc:
        raise DamagedMediaError(_DAMAGED) from exc


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise DamagedMediaError(_DAMAGED)
    return data


def _run_lengths(packed: bytes, size: int) -> bytes:
    out, at = bytearray(), 0
    while at < len(packed) and len(out) < size:
        count = packed[at] - 256 if packed[at] > 127 else packed[at]
        out += packed[at + 1 : at + 1 - count] if count < 0 else packed[at + 1 : at + 2] * (count + 1)
        at += 1 - count if count < 0 else 2
    return _exactly(bytes(out), size)


def _in_order(data: bytes) -> bytes:
    """Undo what is done before ZIP and RLE: bytes in two halves, and each as its difference to the one before."""
    steps = np.frombuffer(data, np.uint8).astype(np.int64)
    steps[1:] -= 128
    values = np.cumsum(steps).astype(np.uint8)
    half = (len(values) + 1) // 2
    ordered = np.empty_like(values)
    ordered[::2], ordered[1::2] = values[:half], values[half:]
    return ordered.tobytes()


def _from_lines(data: bytes, block: Block) -> list[Plane]:
    """Row by row, of each row one channel after the other."""
    _exactly(data, block.size_bytes)
    found: list[list[Plane]] = [[] for _ in block.channels]
    at = 0
    for row in block.rows:
        for channel, width, lines in zip(block.channels, block.widths, found, strict=True):
            if not row % channel.y_step:
                lines.append(np.frombuffer(data, _TYPES[channel.kind], width, at))
                at += exr.BYTES[channel.kind] * width
    empty = [np.empty((0, width), _TYPES[one.kind]) for one, width in zip(block.channels, block.widths, strict=True)]
    return [np.stack(lines) if lines else none for lines, none in zip(found, empty, strict=True)]


def _from_piz(packed: bytes, block: Block) -> list[Plane]:
    """Huffman's code, by FFmpeg; then wavelets over the channels' numbers of two bytes, counted by which of them occur."""
    least, most = struct.unpack_from("<HH", packed.ljust(4, b"\0"))
    begin = 4 + (1 + most - least if least <= most else 0)
    bits = np.zeros(_HALF_RANGE // 8, np.uint8)
    if most < len(bits):
        bits[least : most + 1] = np.frombuffer(_exactly(packed[4:begin], begin - 4), np.uint8)
    is_used = np.unpackbits(bits, bitorder="little").astype(bool)
    is_used[0] = True
    values = np.flatnonzero(is_used).astype(np.uint16)
    table = np.zeros(_HALF_RANGE, np.uint16)
    table[: len(values)] = values
    if len(packed) < begin + 4 + int.from_bytes(packed[begin : begin + 4], "little"):
        raise DamagedMediaError(_DAMAGED)
    counted = _by_ffmpeg(packed[begin:], block.size_bytes // 2).astype(np.int32)
    found, at = [], 0
    for channel, width in zip(block.channels, block.widths, strict=True):
        height, parts = block.rows_of(channel), exr.BYTES[channel.kind] // 2
        plane = counted[at : at + height * width * parts].reshape(height, width, parts)
        at += plane.size
        for part in range(parts):
            _undo_wavelets(plane[..., part], is_short=len(values) - 1 < 1 << 14)
        found.append(table[plane & 0xFFFF].reshape(height, width * parts).view(_TYPES[channel.kind]))
    return found


def _by_ffmpeg(coded: bytes, count: int) -> NDArray[np.uint16]:
    """Return `count` numbers in Huffman's code: FFmpeg takes them for the only row of a grey picture in which all numbers occur.

    One row has no wavelets. Data as long as its pixels is not packed, so the header claims a few more pixels.
    """
    packed = b"\0\0\xff\x1f" + b"\xff" * (_HALF_RANGE // 8) + coded
    wanted, count = count, max(count, len(packed) // 2 + 1)
    window = struct.pack("<4i", 0, 0, count - 1, 0)
    attributes = (
        (b"channels", b"chlist", b"Y\0" + struct.pack("<IIii", exr.HALF, 0, 1, 1) + b"\0"),
        (b"compression", b"compression", bytes([exr.PIZ])),
        (b"dataWindow", b"box2i", window),
        (b"displayWindow", b"box2i", window),
        (b"lineOrder", b"lineOrder", b"\0"),
        (b"pixelAspectRatio", b"float", struct.pack("<f", 1)),
        (b"screenWindowCenter", b"v2f", bytes(8)),
        (b"screenWindowWidth", b"float", struct.pack("<f", 1)),
    )
    head = exr.MAGIC + struct.pack("<I", 2)
    for name, kind, value in attributes:
        head += name + b"\0" + kind + b"\0" + struct.pack("<I", len(value)) + value
    head += b"\0"
    content = head + struct.pack("<QiI", len(head) + 8, 0, len(packed)) + packed
    context = VideoCodecContext.create("exr", "r")
    context.thread_count = 1  # threads would not be caged
    try:
        with reading("picture"):
            frames = context.decode(av.Packet(content)) or context.decode(None)
            frame = frames[0]
    except FFmpegError as exc:
        raise DamagedMediaError(_DAMAGED) from exc
    if (frame.width, frame.height, frame.format.name) != (count, 1, "grayf16le") or frame.is_corrupt:
        raise DamagedMediaError(_DAMAGED)
    return np.frombuffer(memoryview(frame.planes[0]), np.uint16, wanted).copy()


def _undo_wavelets(plane: NDArray[np.int32], *, is_short: bool) -> None:
    """Undo them in place, from the coarsest to the finest, each over pairs of columns and of rows."""
    height, width = plane.shape
    step = 1
    while step * 2 <= min(height, width):
        step *= 2
    undo = _undo_short if is_short else _undo_long
    while step > 1:
        half = step // 2
        across, down = width // step * step, height // step * step
        one, two = plane[:down:step, :across:step], plane[:down:step, half:across:step]
        three, four = plane[half:down:step, :across:step], plane[half:down:step, half:across:step]
        left, below = undo(one, three)
        right, corner = undo(two, four)
        one[...], two[...] = undo(left, right)
        three[...], four[...] = undo(below, corner)
        if width & half:
            one, three = plane[:down:step, across], plane[half:down:step, across]
            one[...], three[...] = undo(one, three)
        if height & half:
            one, two = plane[down, :across:step], plane[down, half:across:step]
            one[...], two[...] = undo(one, two)
        step = half


def _undo_short(low: Plane, high: Plane) -> tuple[Plane, Plane]:
    """Undo numbers below 2 to the 14th, as signed ones of 16 bits."""
    low, high = low.astype(np.int16).astype(np.int32), high.astype(np.int16).astype(np.int32)
    one = low + (high & 1) + (high >> 1)
    return one & 0xFFFF, (one - high) & 0xFFFF


def _undo_long(low: Plane, high: Plane) -> tuple[Plane, Plane]:
    """Undo all others, which wrap at 2 to the 16th."""
    other = (low - (high >> 1)) & 0xFFFF
    return (high + other - 0x8000) & 0xFFFF, other


def _from_b44(packed: bytes, block: Block) -> list[Plane]:
    """Squares of four by four halves in fourteen bytes, or in three where all are alike."""
    found, at = [], 0
    for channel, width in zip(block.channels, block.widths, strict=True):
        height = block.rows_of(channel)
        if channel.kind != exr.HALF:
            size = height * width * exr.BYTES[channel.kind]
            data = _exactly(packed[at : at + size], size)
            found.append(np.frombuffer(data, _TYPES[channel.kind]).reshape(height, width))
            at += size
            continue
        across, down = -(-width // 4), -(-height // 4)
        squares = np.zeros((across * down, _BLOCK), np.uint8)
        for number in range(across * down):
            length = 3 if packed[at + 2 : at + 3] >= bytes([_FLAT]) else _BLOCK
            squares[number, :length] = np.frombuffer(_exactly(packed[at : at + length], length), np.uint8)
            at += length
        halves = _unpack_squares(squares).reshape(down, across, 4, 4).transpose(0, 2, 1, 3)
        plane = halves.reshape(down * 4, across * 4)[:height, :width].view(np.float16)
        found.append(_logarithm(plane) if channel.is_linear else plane)
    return found


def _unpack_squares(squares: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return n x 4 x 4: the first number as it is; others by their difference to the one above, those of the first row to the left."""
    wide = squares.astype(np.int64)
    is_flat = wide[:, 2] >= _FLAT
    shift = wide[:, 2] >> 2
    bits = np.unpackbits(squares[:, 2:], axis=1)[:, 6:]
    steps = (bits[:, : 15 * 6].reshape(-1, 15, 6) @ (1 << np.arange(5, -1, -1))).astype(np.int64)
    steps = (steps << np.minimum(shift, 16)[:, None]) - (0x20 << np.minimum(shift, 16))[:, None]
    steps[is_flat] = 0
    codes = np.empty((len(wide), 4, 4), np.int64)
    first = wide[:, 0] << 8 | wide[:, 1]
    down, right = steps[:, :3], steps[:, 3:]
    codes[:, 0, 0] = first
    for row in range(3):
        codes[:, row + 1, 0] = codes[:, row, 0] + down[:, row]
    for column in range(3):
        codes[:, :, column + 1] = codes[:, :, column] + right[:, 4 * column : 4 * column + 4]
    codes &= 0xFFFF
    return np.where(codes & 0x8000, codes & 0x7FFF, ~codes & 0xFFFF).astype(np.uint16)


def _logarithm(plane: Plane) -> Plane:
    """Return the numbers of which an eighth stands in the exponent of what was packed."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = 8 * np.log(plane.astype(np.float32))
    return np.where(np.isfinite(values), values, 0).astype(np.float16)
