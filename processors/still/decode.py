"""The pixels of photographs: decoded straight to nearly the wanted size, by whichever library does it fastest (the rest is
Pillow's), and of any kind as one of the few kinds that can be scaled and converted: eight bits, straight alpha.
"""

from typing import Any, Final

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image, ImagePalette

from processors.orientation import EXIF_TURNS, Turn
from processors.readers import DamagedMediaError, reading
from processors.source_file import BytesInMemory, SourceFile
from processors.still import tiff_tags as tags
from processors.still.floats import USUAL_OF_NUMBERS, codes_of_floats
from processors.still.jpeg_end import has_end
from processors.still.webp_scaled import decode_scaled

Pixels = NDArray[np.uint8]
"""Height x width x 3, red first."""

_ORIENTATION_TAG: Final = 0x0112
_XMP: Final = ("xmp", "XML:com.adobe.xmp")
_SPARE: Final = 5 / 4
"""More than the target, so that the better filter of the last step has something to do."""
_MIN_FACTOR: Final = 2
_END_OF_PNG: Final = b"IEND"
_TAIL_BYTES: Final = 65536
"""How far from the end of the file the picture may end: some programs append their own data."""
_REDUCED: Final = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
_WITH_ALPHA: Final = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
_DEEP: Final = frozenset({"I", "F"})
_CLEAR_GREYS: Final = {"1": (1, 255), "L;2": (3, 85), "L;4": (15, 17), "L": (255, 1)}
"""By how Pillow unpacks a PNG's greys: the largest one, and what each is multiplied by. Of more bits than those the lowest count."""


def decode_reduced(opened: Image.Image, file: SourceFile, target: tuple[int, int]) -> Image.Image | None:
    """Return the opaque 8-bit RGB picture that Pillow has opened, whole, in its own colours, and at least 5/4 of `target`.

    It is not turned yet.

    None for all else: small pictures, other modes, several frames, and whatever is damaged, so that Pillow judges it.
    """
    factor = int(min(opened.width / target[0], opened.height / target[1]) / _SPARE)
    if factor < _MIN_FACTOR or opened.format not in ("JPEG", "PNG", "WEBP") or not _is_plain(opened):
        return None
    file.seek(0)
    file.expect_whole()
    data = file.read()
    if opened.format == "JPEG":
        pixels = _from_jpeg(data, factor)
    elif opened.format == "PNG":
        pixels = _from_png(data, opened.size, factor)
    else:
        pixels = decode_scaled(data, -(-opened.width // factor), -(-opened.height // factor))
    return None if pixels is None else Image.fromarray(pixels)


@reading("picture")
def _is_plain(opened: Image.Image) -> bool:
    return opened.mode == "RGB" and "transparency" not in opened.info and getattr(opened, "n_frames", 1) == 1


@reading("picture")
def exif_of(opened: Image.Image, file: SourceFile) -> Image.Exif:
    """Return the picture's tags, without decoding it: Pillow decodes a whole PNG to see whether there are any behind its pixels.

    XMP counts for nothing, as in browsers: Pillow would turn a picture by what an editor noted there of the original.
    """
    for name in _XMP:
        opened.info.pop(name, None)
    if opened.format != "PNG" or "exif" in opened.info or "Raw profile type exif" in opened.info:
        return opened.getexif()
    file.seek(max(0, file.size - _TAIL_BYTES))
    is_behind = b"eXIf" in file.read()
    return opened.getexif() if is_behind else Image.Exif()


@reading("picture")
def turn_of(exif: Image.Exif) -> Turn:
    """Return what makes the picture upright, by its tag, which Pillow reads only now. Raises DamagedMediaError."""
    orientation = exif.get(_ORIENTATION_TAG)
    return EXIF_TURNS.get(orientation) if isinstance(orientation, int) else None


def _from_jpeg(data: bytes, factor: int) -> Pixels | None:
    """By libjpeg's own scaling, which transforms only what it needs."""
    if not has_end(SourceFile(BytesInMemory(data)), len(data)):
        return None  # cut off: OpenCV would fill up with grey, and say nothing
    way = next(way for most, way in _REDUCED.items() if most <= factor)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), way | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _from_png(data: bytes, size: tuple[int, int], factor: int) -> Pixels | None:
    """By FFmpeg, whose filters are vectorized and whose frame is averaged without a copy."""
    if _END_OF_PNG not in data[-_TAIL_BYTES:]:
        return None
    context = VideoCodecContext.create("png", "r")
    context.thread_count = 1  # threads would not be caged
    try:
        with reading("picture"):
            frames: list[VideoFrame] = context.decode(av.Packet(data)) or context.decode(None)
    except (FFmpegError, DamagedMediaError):
        return None
    if not frames or frames[0].format.name != "rgb24" or (frames[0].width, frames[0].height) != size:
        return None
    if frames[0].is_corrupt:
        return None
    width, height = size
    plane = frames[0].planes[0]
    buffer = memoryview(plane)
    rows = np.frombuffer(buffer, np.uint8).reshape(-1, plane.line_size)[:height, : 3 * width]
    smaller = (-(-width // factor), -(-height // factor))
    averaged = cv2.resize(rows.reshape(height, width, 3), smaller, interpolation=cv2.INTER_AREA)
    return np.asarray(averaged, dtype=np.uint8)


def scale_clear_value(opened: Image.Image) -> None:
    """Name the one transparent grey or colour of a PNG as Pillow will have it, in eight bits; the file has it in those of its pixels."""
    clear, tile = opened.info.get("transparency"), getattr(opened, "tile", ())
    if not tile or not isinstance(clear, (int, tuple)):
        return
    if tile[0].args in _CLEAR_GREYS and isinstance(clear, int):
        most, step = _CLEAR_GREYS[tile[0].args]
        opened.info["transparency"] = (clear & most) * step
    elif tile[0].args == "RGB;16B" and isinstance(clear, tuple):
        opened.info["transparency"] = tuple(value >> 8 for value in clear)


def widen_palette(opened: Any) -> None:
    """Take a TIFF's palette for one of eight bits where no value needs more, as libtiff does: in 16 bits all of it would be black."""
    values = opened.tag_v2.get(tags.COLOUR_MAP, ())
    if values and max(values) < 256:
        opened.palette = ImagePalette.raw("RGB;L", bytes(values))


def plain_mode(image: Image.Image) -> Image.Image:
    """Mode RGB, RGBA, L, CMYK or LAB; the image itself where it is of such a mode already."""
    if image.mode.startswith("I;16") or image.mode in _DEEP:
        return _from_deep(image)
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    has_clear_colours = image.mode == "P" and image.palette is not None and image.palette.mode == "RGBA"
    if image.mode in _WITH_ALPHA or "transparency" in image.info or has_clear_colours:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("RGB", "L", "CMYK", "LAB") else image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, of floats, or of 32 bits. Pillow has a PGM's in 32, after it has scaled them to 16."""
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        grey, clear = (values >> 8).astype(np.uint8), image.info.get("transparency")
        if not isinstance(clear, int):
            return Image.fromarray(grey)
        return Image.fromarray(np.dstack([grey, grey, grey, np.where(values == clear, 0, 255).astype(np.uint8)]))
    if image.mode == "F":
        return Image.fromarray(codes_of_floats(np.asarray(image)))
    if image.format == "PPM":
        return Image.fromarray((np.clip(np.asarray(image), 0, 65535) >> 8).astype(np.uint8))
    return Image.fromarray(codes_of_floats(np.asarray(image), USUAL_OF_NUMBERS))
