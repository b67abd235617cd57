"""JPEGs that Pillow does not read as they are: without loss, and of twelve bits, as medical devices write them, which FFmpeg decodes;
and those with strange parts before their pixels, over which every browser steps.
"""

import io
from typing import Final

from PIL import Image

from processors.colour.convert import PictureColours
from processors.orientation import Turn
from processors.readers import DamagedMediaError, reading
from processors.source_file import BytesInMemory, SourceFile
from processors.still.colours import colours_of
from processors.still.decode import exif_of, turn_of
from processors.still.ffmpeg import decode_by_ffmpeg
from processors.still.finish import StoredPicture, finish
from processors.still.jpeg_end import as_if_of_eight_bits, is_lossless
from processors.types import DecodedFrame, ThumbnailSpec

_START: Final = b"\xff\xd8"
_SOS: Final = 0xDA
_APP1, _APP2, _ADOBE = 0xE1, 0xE2, 0xEE
_NEEDED: Final = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDC, 0xDD, _ADOBE})
"""Frames, tables, and what the colours are."""
_DESCRIBING: Final = frozenset({_APP1, _APP2})
"""Orientation and profile: kept where there is something in them."""
_LEAST_BYTES: Final = 16
_MAX_SEGMENTS: Final = 20_000


def without_strange_parts(content: bytes) -> bytes:
    """Return the JPEG with nothing but what decoders need before its pixels; as it is where its pixels do not come."""
    made, at = _START, 2
    for _ in range(_MAX_SEGMENTS):
        at = content.find(b"\xff", at)
        if at < 0:
            break
        while content[at + 1 : at + 2] == b"\xff":
            at += 1  # fill bytes
        if at + 4 > len(content):
            break
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        if marker == _SOS:
            return made + content[at:]
        if marker < min(_NEEDED) or length < 2:
            at += 2  # no marker of a segment: a byte of what does not belong here
            continue
        if marker in _NEEDED or (marker in _DESCRIBING and length >= _LEAST_BYTES):
            made += content[at : at + 2 + length]
        at += 2 + length
    return content


def decode_rare_jpeg(content: bytes, spec: ThumbnailSpec) -> DecodedFrame | None:
    """Return the picture, reduced and upright; None where FFmpeg has none, or a damaged one. Raises DamagedMediaError."""
    # of the lossless kind FFmpeg is strict with sound ones, too
    decoded = decode_by_ffmpeg(content, spec.max_pixels, "mjpeg", is_strict=not is_lossless(content))
    if decoded is None:
        return None
    image, codec = decoded
    colours, turn = _described(content)
    return finish(StoredPicture(image, codec, colours=colours, turn=turn), spec)


def _described(content: bytes) -> tuple[PictureColours, Turn]:
    """Return what profile and tags say; nothing where they are damaged, for they only describe the picture."""
    headers = as_if_of_eight_bits(content)
    try:
        with reading("picture"), Image.open(io.BytesIO(headers), formats=("JPEG",)) as opened:
            file = SourceFile(BytesInMemory(headers))
            exif = exif_of(opened, file)
            colours = colours_of(opened, exif, file)
            return colours, turn_of(exif)
    except DamagedMediaError:
        return PictureColours(), None
