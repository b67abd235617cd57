"""Large WebP pictures: Pillow takes two whole pictures' memory to open one, libwebp scales it while it decodes.

A lossy picture takes a few rows of memory then, its transparency a byte for each pixel, and a lossless one four bytes.
"""

import struct
from typing import Final

from PIL import Image

from processors.colour.convert import PictureColours, to_srgb
from processors.limits import MAX_PROFILE_BYTES
from processors.orientation import clockwise, swaps_sides
from processors.output.geometry import ROUGH_GAP, needed_size, scale
from processors.readers import DamagedMediaError, reading
from processors.source_file import SourceFile
from processors.still.claims import check_held
from processors.still.decode import turn_of
from processors.still.webp_scaled import decode_scaled
from processors.types import DecodedFrame, Frame, SourceFacts, ThumbnailSpec

_MAX_CHUNKS: Final = 4096
_MAX_EXIF_BYTES: Final = 1024**2
_HELD_BYTES: Final = {b"VP8L": 4, b"ALPH": 2}
"""For each pixel, by the kind of chunk."""
_KEPT: Final = {b"ICCP": MAX_PROFILE_BYTES, b"EXIF": _MAX_EXIF_BYTES}


def decode_large_webp(file: SourceFile, size: tuple[int, int], spec: ThumbnailSpec) -> DecodedFrame:
    """Return the still picture of `size`, reduced and upright. Raises PermanentError media.too_many_pixels or media.corrupt."""
    held_bytes, kept = _chunks(file)
    check_held(size, file.size + held_bytes * size[0] * size[1], spec, "a WebP")
    turn = _turn(kept.get(b"EXIF", b""))
    target = needed_size(*size, spec.renditions, is_turned=swaps_sides(turn))
    width, height = (min(size[side], target[side] * 5 // 4 + 1) for side in (0, 1))
    file.seek(0)
    file.expect_whole()
    pixels = decode_scaled(file.read(), width, height, keeps_alpha=True)
    if pixels is None:
        raise DamagedMediaError("The picture's pixels are damaged or cut off.")
    colours = PictureColours(kept.get(b"ICCP") or None)
    image = to_srgb(scale(Image.fromarray(pixels), target, gap=ROUGH_GAP), colours)
    if turn is not None:
        image = image.transpose(turn)
    facts = SourceFacts("image", *size, None, "webp", "webp", clockwise(turn))
    return DecodedFrame(image, Frame(None, "image"), facts)


def _chunks(file: SourceFile) -> tuple[int, dict[bytes, bytes]]:
    """Return how many bytes the pixels take while they are decoded, for each, and the chunks that describe them."""
    held_bytes, kept, at = 0, {}, 12
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            break
        kind, length = head[:4], struct.unpack("<I", head[4:])[0]
        held_bytes += _HELD_BYTES.get(kind, 0)
        if length <= _KEPT.get(kind, -1):
            kept[kind] = file.read(length)
        at += 8 + length + length % 2
    return held_bytes, kept


def _turn(exif: bytes) -> Image.Transpose | None:
    tags = Image.Exif()
    try:
        with reading("picture"):
            tags.load(exif)
        return turn_of(tags)
    except DamagedMediaError:
        return None
