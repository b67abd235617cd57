"""QuickDraw pictures (PICT) of the old Macintosh: those that hold pixels, by FFmpeg. Drawings of lines and texts are not read."""

import struct
from typing import Final

from processors.limits import LEAST_SHOWN, MIB
from processors.source_file import SourceFile
from processors.still.ffmpeg import decode_by_ffmpeg
from processors.still.finish import DAMAGED, WHOLE, StoredPicture, blank_share, finish
from processors.still.pillow import unsupported
from processors.types import DecodedFrame, ThumbnailSpec

_VERSION_AT: Final = 512 + 10
"""Behind 512 bytes of any content, the size, and the frame."""
_SECOND: Final = b"\0\x11\x02\xff\x0c\0"
_ASPECT_DIFFERS: Final = 0.05
_MOST_BYTES: Final = 64 * MIB


def is_pict(file: SourceFile) -> bool:
    """Return whether the file is a PICT of version 2, or the first one with a frame that makes sense."""
    file.seek(_VERSION_AT - 8)
    head = file.read(8 + len(_SECOND))
    if len(head) < 8 + len(_SECOND):
        return False
    top, left, bottom, right = _frame(head[:8])
    is_first = head[8:10] == b"\x11\x01" and top < bottom and left < right
    return head[8:] == _SECOND or is_first


def decode_pict(file: SourceFile, spec: ThumbnailSpec) -> DecodedFrame:
    """Return the picture, opaque: its fourth channel is no transparency. Of one in several parts FFmpeg decodes the first: degraded.

    Raises PermanentError media.unsupported.
    """
    file.seek(0)
    file.expect_whole()
    content = file.read() if file.size <= _MOST_BYTES else b""
    decoded = decode_by_ffmpeg(content, spec.max_pixels, "qdraw") if content else None
    if decoded is None:
        raise unsupported("a QuickDraw picture (PICT) of a rare kind")
    image = decoded[0].convert("RGB")
    is_cut = blank_share(image) > LEAST_SHOWN and image.getpixel((0, image.height - 1)) == (0, 0, 0)
    top, left, bottom, right = _frame(content[_VERSION_AT - 8 : _VERSION_AT])
    is_part = abs((right - left) * image.height / max(1, (bottom - top) * image.width) - 1) > _ASPECT_DIFFERS
    return finish(StoredPicture(image, "pict", DAMAGED if is_cut or is_part else WHOLE), spec)


def _frame(four: bytes) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right."""
    return struct.unpack(">4h", four)
