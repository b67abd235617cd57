"""JPEGs that Pillow's libjpeg does not decode, and FFmpeg does: without loss, and of twelve bits, as medical devices write them."""

import io

from PIL import Image

from processors.colour.convert import PictureColours
from processors.orientation import Turn
from processors.readers import DamagedMediaError, reading
from processors.source_file import BytesInMemory, SourceFile
from processors.still.colours import colours_of
from processors.still.decode import turn_of
from processors.still.ffmpeg import decode_by_ffmpeg
from processors.still.finish import StoredPicture, finish
from processors.still.jpeg_end import as_if_of_eight_bits
from processors.types import DecodedFrame, ThumbnailSpec


def decode_rare_jpeg(content: bytes, spec: ThumbnailSpec) -> DecodedFrame | None:
    """Return the picture, reduced and upright; None where FFmpeg has none, or a damaged one. Raises DamagedMediaError."""
    decoded = decode_by_ffmpeg(content, spec.max_pixels, "mjpeg")
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
            exif = opened.getexif()
            colours = colours_of(opened, exif, SourceFile(BytesInMemory(headers)))
            return colours, turn_of(exif)
    except DamagedMediaError:
        return PictureColours(), None
