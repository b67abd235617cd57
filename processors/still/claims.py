"""The claims of a picture's headers, read before any decoder sees it: its size and its number of frames.

Only formats whose library would read, allocate or count first are looked at; of the others Pillow reads the size alone.
"""

import struct
from collections.abc import Iterator
from typing import Final

from processors.iso_boxes import walk_boxes
from processors.limits import HELD_BYTES, MAX_GIF_WALK_BYTES, MIB, TIMES_IN_PARTS, UNPACKED_BYTES
from processors.readers import DamagedMediaError
from processors.sniff import is_heic
from processors.source_file import SourceFile
from processors.still.iso_items import IsoItem, IsoItems
from processors.types import ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError

_MAX_CHUNKS: Final = 4096
"""Of a PNG before its pixels, of a WebP beside its frames: no picture has so many."""
_ANIMATED: Final = 2
"""Of the flags of a WebP."""
_GIF_BUFFER_BYTES: Final = 256 * 1024
_LONGEST_AVIF: Final = 1 << 15
_LARGEST_AVIF: Final = 1 << 28
"""Of a side, and in pixels: what libavif opens."""
_LOOKED_INTO: Final = frozenset({b"meta", b"iprp", b"ipco", b"moov", b"trak"})


def check_claims(file: SourceFile, spec: ThumbnailSpec) -> None:
    """Raise PermanentError media.too_many_pixels or media.too_many_frames; damaged files are left to the decoder."""
    file.seek(0)
    head = file.read(32)
    if head[:4] == b"RIFF":
        is_film = head[12:16] == b"VP8X" and bool(head[20] & _ANIMATED)
        (check_pixels if is_film else check_size)(*webp_size(head), spec)
    if spec.max_frames:
        _check_frames(head, file, spec)
    if head[4:8] == b"ftyp":
        _check_items(head, file, spec)


def _check_items(head: bytes, file: SourceFile, spec: ThumbnailSpec) -> None:
    """Only the picture itself may be large, which is then decoded in parts: not one of its tiles, and nothing that is cropped."""
    sizes = list(_iso_sizes(file))
    if not any(is_large(size, spec) for size in sizes):
        return
    try:
        items = IsoItems(file)
        shown = items.by_number.get(items.primary, IsoItem())
    except DamagedMediaError:
        shown = IsoItem()
    is_decoded_in_parts = b"clap" not in shown.properties and (
        is_heic(head) or (max(shown.size) <= _LONGEST_AVIF and shown.size[0] * shown.size[1] <= _LARGEST_AVIF)
    )
    for size in sizes:
        (check_size if is_decoded_in_parts and size == shown.size else check_pixels)(*size, spec)


def check_pixels(width: int, height: int, spec: ThumbnailSpec) -> None:
    """Raise PermanentError media.too_many_pixels for too many pixels."""
    if width * height > spec.max_pixels:
        raise PermanentError(
            ErrorCode.MEDIA_TOO_MANY_PIXELS,
            f"The picture has {width}x{height} pixels; at most {spec.max_pixels} are decoded.",
        )


def is_large(size: tuple[int, int], spec: ThumbnailSpec) -> bool:
    """Return whether a picture has more pixels than are held at a time."""
    return size[0] * size[1] > spec.max_pixels


def too_large(size: tuple[int, int], spec: ThumbnailSpec, kind: str) -> PermanentError:
    """Return the error for a large picture of a kind that is decoded as a whole, or not at all."""
    return PermanentError(
        ErrorCode.MEDIA_TOO_MANY_PIXELS,
        f"The picture has {size[0]}x{size[1]} pixels; at most {spec.max_pixels} of {kind} are decoded.",
    )


def check_size(width: int, height: int, spec: ThumbnailSpec) -> None:
    """Raise PermanentError media.too_many_pixels for more pixels than any reader gets through in time."""
    most = TIMES_IN_PARTS * spec.max_pixels
    if width * height > most:
        raise PermanentError(
            ErrorCode.MEDIA_TOO_MANY_PIXELS,
            f"The picture has {width}x{height} pixels; at most {most} are decoded, and {spec.max_pixels} at a time.",
        )


def check_held(size: tuple[int, int], held_bytes: int, spec: ThumbnailSpec, kind: str) -> None:
    """Raise PermanentError media.too_many_pixels where decoding would hold more than is allowed."""
    _check_bytes(size, held_bytes, HELD_BYTES * spec.max_pixels, f"{kind} takes {{}} MiB of memory; {{}} are allowed")


def check_unpacked(size: tuple[int, int], unpacked_bytes: int, spec: ThumbnailSpec, kind: str) -> None:
    """Raise PermanentError media.too_many_pixels where more would be unpacked than there is time for."""
    most = UNPACKED_BYTES * spec.max_pixels
    _check_bytes(size, unpacked_bytes, most, f"{kind} has {{}} MiB of them unpacked; {{}} are allowed")


def _check_bytes(size: tuple[int, int], found: int, most: int, text: str) -> None:
    if found > most:
        said = text.format(-(-found // MIB), most // MIB)
        raise PermanentError(ErrorCode.MEDIA_TOO_MANY_PIXELS, f"The picture has {size[0]}x{size[1]} pixels: {said}.")


def _check_frames(head: bytes, file: SourceFile, spec: ThumbnailSpec) -> None:
    count = 1
    if head.startswith(b"GIF8"):
        count = _count_gif_frames(file, spec.max_frames)
    elif head.startswith(b"\x89PNG"):
        count = _apng_frames(file)
    elif head[:4] == b"RIFF":
        count = _count_webp_frames(file, spec.max_frames)
    if count > spec.max_frames:
        raise PermanentError(
            ErrorCode.MEDIA_TOO_MANY_FRAMES, f"The animated picture has more than {spec.max_frames} frames."
        )


def _count_gif_frames(file: SourceFile, limit: int) -> int:
    """Frames of a GIF, by the lengths of its blocks; counting stops above `limit`, and where the file is damaged."""
    walk = _GifWalk(file)
    count = 0
    try:
        walk.skip(10)
        walk.skip(2 + _palette_bytes(walk.byte()))
        while count <= limit and walk.position < MAX_GIF_WALK_BYTES:
            kind = walk.byte()
            if kind == 0x2C:  # a frame: its place, its palette, its code size, its pixels
                count += 1
                walk.skip(8)
                walk.skip(_palette_bytes(walk.byte()) + 1)
            elif kind == 0x21:
                walk.skip(1)
            else:
                break  # the end, or nonsense
            walk.skip_blocks()
    except EOFError:
        pass
    return count


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


class _GifWalk:
    """A GIF's bytes in order, some looked at, most skipped."""

    def __init__(self, file: SourceFile) -> None:
        file.seek(0)
        self._file: Final = file
        self._buffer = b""
        self._at = 0
        self._before = 0

    @property
    def position(self) -> int:
        """Return the position in bytes from the beginning."""
        return self._before + self._at

    def byte(self) -> int:
        """Return the next byte. Raises EOFError."""
        while self._at >= len(self._buffer):
            self._fill()
        self._at += 1
        return self._buffer[self._at - 1]

    def skip(self, count: int) -> None:
        """Pass by `count` bytes; the end shows at the next byte()."""
        self._at += count

    def skip_blocks(self) -> None:
        """Pass by the blocks of at most 255 bytes up to and with the empty one. Raises EOFError."""
        while length := self.byte():
            self._at += length

    def _fill(self) -> None:
        self._at -= len(self._buffer)
        self._before += len(self._buffer)
        self._buffer = self._file.read(_GIF_BUFFER_BYTES)
        if not self._buffer:
            raise EOFError


def _apng_frames(file: SourceFile) -> int:
    """Return the number in the chunk acTL, which stands before the pixels; 1 without it."""
    at = 8
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        chunk = file.read(12)
        if len(chunk) < 12 or chunk[4:8] == b"IDAT":
            break
        if chunk[4:8] == b"acTL":
            return int.from_bytes(chunk[8:12], "big")
        at += 12 + int.from_bytes(chunk[:4], "big")
    return 1


def webp_size(head: bytes) -> tuple[int, int]:
    """Width and height of the whole picture, by the first chunk of any of the three kinds; 0 where it is damaged."""
    data = head[20:]
    if head[12:16] == b"VP8X" and len(data) >= 10:
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if head[12:16] == b"VP8 " and len(data) >= 10:
        width, height = struct.unpack_from("<HH", data, 6)
        return width & 0x3FFF, height & 0x3FFF
    if head[12:16] == b"VP8L" and len(data) >= 5:
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return 0, 0


def _count_webp_frames(file: SourceFile, limit: int) -> int:
    """Chunks of frames, by their sizes; counting stops above `limit`."""
    file.seek(0)
    if file.read(21)[12:16] != b"VP8X":
        return 1
    file.seek(0)
    file.expect_whole()  # the decoder reads all of it afterwards
    at, count = 12, 0
    for _ in range(limit + _MAX_CHUNKS):
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8 or count > limit:
            break
        count += chunk[:4] == b"ANMF"
        length = int.from_bytes(chunk[4:], "little")
        at += 8 + length + length % 2
    return count


def _iso_sizes(file: SourceFile) -> Iterator[tuple[int, int]]:
    """Yield every size that an AVIF or HEIC file claims: of its pictures and their parts (ispe), and of its films (tkhd)."""
    for box in walk_boxes(file, _LOOKED_INTO):
        if box.kind == b"ispe":
            body = box.read(file, 12)
            if len(body) == 12:
                yield struct.unpack_from(">II", body, 4)
        elif box.kind == b"tkhd":
            body = box.read(file, 96)
            at = 88 if body[:1] == b"\1" else 76  # the second version's times have eight bytes each
            if len(body) >= at + 8:
                width, height = struct.unpack_from(">II", body, at)
                yield width >> 16, height >> 16
