"""Pictures of kinds, and of depths, that Pillow does not decode and FFmpeg does."""

from typing import Any, Final, cast

import av
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from PIL import Image

from processors.colour.linear_light import to_codes
from processors.readers import DamagedMediaError, reading
from processors.sniff import HEAD_BYTES, is_targa
from processors.still.openexr.header import MAGIC, read_chromaticities
from processors.still.openexr.light import in_srgb, without_multiplied_alpha

_CODECS: Final[tuple[tuple[bytes, str], ...]] = (
    *((b"8BPS", "psd"), (b"DDS ", "dds"), (b"II*\0", "tiff"), (b"MM\0*", "tiff"), (b"\n", "pcx")),
    *((b"/* XPM */", "xpm"), (b"P7", "pam"), (b"PF", "pfm"), (b"Pf", "pfm")),
    *((b"PH", "phm"), (b"Ph", "phm")),
    *((b"\0\0\0\x0cjP  ", "jpeg2000"), (b"\xff\x4f\xff\x51", "jpeg2000")),
    *((b"\x76\x2f\x31\x01", "exr"), (b"#?R", "hdr")),
)
"""By the first bytes."""
_NAMES: Final = {"mjpeg": "jpeg", "targa": "tga"}
"""Of codecs that Pillow calls otherwise."""
_XWD_VERSION: Final = b"\0\0\0\x07"
_BRIGHTEST: Final = 65504.0
"""The largest number that a half has."""
_WITH_ALPHA: Final = 4


def decode_by_ffmpeg(
    content: bytes, max_pixels: int, codec: str | None = None, *, is_strict: bool = False
) -> tuple[Image.Image, str] | None:
    """Return the picture in mode RGB or RGBA, floats as sRGB of eight bits, and its codec; None where FFmpeg has none, or a damaged one.

    `codec` is FFmpeg's name of it, where the first bytes do not tell. `is_strict`: nothing may be wrong with it; of a damaged JPEG
    FFmpeg makes a picture in wrong colours otherwise, and does not mark it.
    """
    name = codec or next((name for head, name in _CODECS if content.startswith(head)), None)
    if name is None and is_targa(content[:HEAD_BYTES]):
        name = "targa"
    if name is None and content[4:8] == _XWD_VERSION:
        name = "xwd"
    if name is None:
        return None
    context = cast(VideoCodecContext, VideoCodecContext.create(name, "r"))
    context.thread_count = 1  # threads would not be caged
    context.options = {"max_pixels": str(max_pixels), **({"err_detect": "explode"} if is_strict else {})}
    try:
        with reading("picture"):
            frames: list[VideoFrame] = context.decode(av.Packet(content)) or context.decode(None)
            is_sound = frames and not frames[0].is_corrupt and not _are_planes_swapped(frames[0], name)
            return (_as_image(frames[0], content), _NAMES.get(name, name)) if is_sound else None
    except (FFmpegError, DamagedMediaError):
        return None


def _are_planes_swapped(frame: VideoFrame, codec: str) -> bool:
    """Return whether FFmpeg calls a JPEG's planes green, blue and red where they are red, green and blue: those of twelve bits."""
    return codec == "mjpeg" and frame.format.name in ("gbrp16le", "gbrap16le")


def _as_image(frame: VideoFrame, content: bytes) -> Image.Image:
    name = frame.format.name
    has_alpha = content[4:8] != _XWD_VERSION and any(  # its fourth byte pads
        mark in name for mark in ("rgba", "bgra", "argb", "abgr", "gbrap", "ya", "pal8")
    )
    if "f16" in name or "f32" in name:
        if name.startswith("gray"):  # whose change into colours would stretch the values
            grey = frame.reformat(format="grayf32le", threads=1).to_ndarray()
            return Image.fromarray(light_to_srgb(np.repeat(grey[..., None], 3, axis=2)))
        planar = "gbrapf32le" if has_alpha else "gbrpf32le"
        light = frame.reformat(format=planar, threads=1).to_ndarray()
        return Image.fromarray(light_to_srgb(_of_openexr(light, content) if content.startswith(MAGIC) else light))
    return Image.fromarray(frame.reformat(format="rgba" if has_alpha else "rgb24", threads=1).to_ndarray())


def _of_openexr(found: NDArray[Any], content: bytes) -> NDArray[np.float32]:
    """Return what OpenEXR means by its numbers, and FFmpeg hands out as they are: other primaries, and multiplied colours."""
    primaries = read_chromaticities(content)
    light = np.nan_to_num(found, nan=0.0, posinf=_BRIGHTEST, neginf=0.0)
    straight = without_multiplied_alpha(light) if light.shape[2] == _WITH_ALPHA else light
    return straight if primaries is None else in_srgb(straight, primaries)


def light_to_srgb(light: NDArray[Any]) -> NDArray[np.uint8]:
    """Return height x width x 3 or 4 codes of linear values from 0 to 1; what is brighter is white. Alpha is linear in both."""
    values = np.clip(np.nan_to_num(light, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0).astype(np.float32)
    codes = np.empty(values.shape, np.uint8)
    codes[..., :3] = to_codes(values[..., :3])
    codes[..., 3:] = np.rint(values[..., 3:] * 255)
    return codes
