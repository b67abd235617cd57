"""The files of a campaign's uploads: small ones, so that the faults and not the decoding are the work."""

import struct
import zlib
from typing import Final

from tests.campaign.chaos.pictures import a_clip_of, a_photo_of
from tests.campaign.chaos.uploads import Case, PlannedUpload

_SIDE: Final = 60_000


def content_of(planned: PlannedUpload) -> bytes | None:
    """A picture or clip of the upload's own colours; a broken file, a bomb, or None where the file never comes."""
    match planned.error_code:
        case "media.corrupt":
            return b"\xff\xd8\xff\xe0" + bytes(300 + planned.number % 4)
        case "media.too_many_pixels":
            return _bomb(_SIDE + planned.number % 4)
    if planned.case in (Case.MISSING, Case.POISON):
        return None
    return a_clip_of(planned.colours) if planned.kind == "video" else a_photo_of(planned.colours)


def _bomb(side: int) -> bytes:
    """A PNG of a hundred bytes that says it has side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks
