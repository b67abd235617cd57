"""A decoded frame as an upright sRGB picture of the wanted size: scaled and converted in one call where colours allow."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc, Interpolation
from numpy.typing import NDArray
from PIL import Image

from processors.colour.linear_light import (
    BT2020,
    DISPLAY_P3,
    NO_CHANGE,
    SRGB_LIGHT,
    Matrix,
    into_gamut,
    to_bt709,
    to_codes,
)
from processors.colour.tone_map import luma_as_sdr, tone_map
from processors.orientation import Turn, swaps_sides, turn_of_angle, turn_of_matrix
from processors.output.geometry import fit, needed_size, square_size
from processors.planes import YuvPicture
from processors.readers import reading
from processors.selection.score import JUDGED_SIDE, Luma
from processors.types import RenditionSpec
from processors.video.clean_aperture import Crop
from processors.video.dolby_vision import ipt_picture

_FULL_RANGE: Final = 2
_MAX_ALPHA_PIXELS: Final = 16_000_000
_MAX_ALPHA_PIXELS_OF_LIGHT: Final = 2_000_000
"""Frames with alpha are mixed at full size, which takes nine bytes a pixel, and up to a hundred where their colours are
turned into light; larger ones are thinned out first."""

_UNMIXED: Final = Interpolation.POINT | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
"""Single pixels: swscale otherwise shares the colours of two neighbours, of RGB as well."""

# FFmpeg's AVColorSpace; swscale takes every unmarked picture for BT.601, and refuses what it does not know.
_RGB, _BT709, _FCC, _BT470BG, _SMPTE170M, _SMPTE240M, _BT2020_NCL, _BT2020_CL, _IPT_C2 = 0, 1, 4, 5, 6, 7, 9, 10, 15
_SWSCALE_KNOWS: Final = frozenset({_BT709, _FCC, _BT470BG, _SMPTE170M, _SMPTE240M, _BT2020_NCL})
_PLAIN_MATRICES: Final = frozenset({_BT709, _BT470BG, _SMPTE170M})
"""The last two are one."""
_SD_WIDTH, _SD_HEIGHT = 1024, 576
_OLD_CODECS: Final = frozenset({"vp8", "libvpx", "theora", "mjpeg", "h263", "flv1"})
"""They know no other matrix than BT.601's, whatever the size."""

_TO_BT709: Final[dict[int, Matrix]] = {
    ColorPrimaries.BT2020: to_bt709(BT2020),
    ColorPrimaries.SMPTE431: to_bt709(DISPLAY_P3),  # cinema's white is meant to look white on a screen
    ColorPrimaries.SMPTE432: to_bt709(DISPLAY_P3),
}
"""The gamuts that differ visibly from sRGB's; those of BT.601 do not."""

_TOOTH: Final = 12
"""Codes: a line that differs by more from both its neighbours, and in the same direction, is a comb's tooth."""
_COMBED_SHARE: Final = 0.004
"""Of the pixels; still scenes, and films that are only flagged as interlaced, stay far below it."""


@dataclass(frozen=True)
class FrameColours:
    """How to get sRGB out of a frame's RGB: `gamut` is None where it is sRGB's already."""

    transfer: Literal["sdr", "pq", "hlg"]
    gamut: Matrix | None


@dataclass(frozen=True)
class FrameShape:
    """The facts of the container and the codec about every frame."""

    codec: str
    sample_aspect: Fraction | None
    crop: Crop | None
    is_ipt: bool = False
    """Dolby Vision of profile 5, whatever the frames are marked as."""


def upright_picture(
    frame: VideoFrame, shape: FrameShape, renditions: tuple[RenditionSpec, ...], *, in_planes: bool = False
) -> tuple[Image.Image | YuvPicture, Turn]:
    """Mode RGB, or RGBA with straight alpha, square pixels, as `renditions` need it; and the turn that made it upright.

    `in_planes`: opaque frames of ordinary colours as a YuvPicture, which is made of theirs.
    """
    if shape.is_ipt:
        frame.colorspace = _IPT_C2
    else:
        mark_matrix(frame, shape.codec)
    turn = _turn(frame)
    crop = shape.crop or Crop(0, 0, 0, 0)
    seen = frame.width - crop.left - crop.right, frame.height - crop.top - crop.bottom
    square = square_size(*seen, shape.sample_aspect)
    width, height = needed_size(*square, renditions, is_turned=swaps_sides(turn))
    if in_planes and shape.crop is None and _has_plain_planes(frame):
        picture = _in_planes(without_comb(frame), (width, height))
        return (picture if turn is None else picture.turned(turn)), turn
    if shape.crop is None:
        image = _scaled(without_comb(frame), width, height)
    else:
        image = _cropped(without_comb(frame), crop, (frame.width, frame.height), (width, height))
    return (image if turn is None else image.transpose(turn)), turn


def _has_plain_planes(frame: VideoFrame) -> bool:
    """Return whether the marked frame is opaque YUV of 8 to 16 bits, in sRGB's gamut, by a matrix that a YuvPicture knows."""
    is_yuv = frame.format.name.startswith(("yuv", "nv", "p0"))
    if not is_yuv or frame.colorspace not in _PLAIN_MATRICES or has_alpha(frame):
        return False
    colours = colours_of(frame)
    return colours.transfer == "sdr" and colours.gamut is None


@reading("video")
def _in_planes(frame: VideoFrame, size: tuple[int, int]) -> YuvPicture:
    return YuvPicture.from_frame(frame, size)


def scaled_srgb(frame: VideoFrame, codec: str, size: tuple[int, int]) -> Image.Image:
    """Return the whole frame as sRGB, as it is stored."""
    mark_matrix(frame, codec)
    return _scaled(frame, *size)


def judged_luma(frame: VideoFrame) -> Luma:
    """Return what is judged of a frame: its luma, small, and of HDR as it will be shown."""
    width, height = fit(frame.width, frame.height, JUDGED_SIDE, JUDGED_SIDE)
    luma = grey_of(frame, max(2, width), max(2, height))
    transfer = colours_of(frame).transfer
    if transfer == "sdr":
        return luma
    return luma_as_sdr(transfer, is_full_range=frame.color_range == _FULL_RANGE)[luma]


@reading("video")
def _turn(frame: VideoFrame) -> Turn:
    try:
        matrix = cast(Any, frame.side_data).get("DISPLAYMATRIX")  # PyAV's types have it as a dictionary of one key
        return None if matrix is None else turn_of_matrix(np.frombuffer(matrix, np.int32).tolist())
    except ValueError:  # PyAV does not know all that may stand beside it, as of spatial videos; the angle that it gives
        return turn_of_angle(-frame.rotation)


def _cropped(frame: VideoFrame, crop: Crop, full: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """Return the frame of `full` pixels scaled as a whole, and the crop cut out of few pixels."""
    seen = full[0] - crop.left - crop.right, full[1] - crop.top - crop.bottom
    # Scaling mixes what is cut off into the outermost pixels: they are cut off as well.
    rim = 1 if size[0] < seen[0] or size[1] < seen[1] else 0
    across, down = (size[0] + 2 * rim) / seen[0], (size[1] + 2 * rim) / seen[1]
    whole = round(full[0] * across), round(full[1] * down)
    left = min(round(crop.left * across) + rim, whole[0] - size[0])
    top = min(round(crop.top * down) + rim, whole[1] - size[1])
    return _scaled(frame, *whole).crop((left, top, left + size[0], top + size[1]))


def _scaled(frame: VideoFrame, width: int, height: int) -> Image.Image:
    if not has_alpha(frame):
        return Image.fromarray(_srgb(frame, width, height))
    # swscale would mix the colours of invisible pixels into the rim; Pillow weighs them by their alpha.
    colours = colours_of(frame)
    is_plain = colours.transfer == "sdr" and colours.gamut is None
    most = _MAX_ALPHA_PIXELS if is_plain else _MAX_ALPHA_PIXELS_OF_LIGHT
    share = min(1.0, (most / (frame.width * frame.height)) ** 0.5)
    thinned = max(1, int(frame.width * share)), max(1, int(frame.height * share))
    image = Image.fromarray(_srgb(frame, *thinned, with_alpha=True))
    if image.getchannel("A").getextrema() == (255, 255):
        return Image.fromarray(_srgb(frame, width, height))
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)


def has_alpha(frame: VideoFrame) -> bool:
    """Return whether the frame's format can be transparent; palettes may be."""
    return frame.format.has_palette or any(component.is_alpha for component in frame.format.components)


def _srgb(frame: VideoFrame, width: int, height: int, *, with_alpha: bool = False) -> NDArray[np.uint8]:
    """Height x width x 3, or 4 with straight alpha."""
    if frame.colorspace == _IPT_C2:
        return ipt_picture(frame, width, height)
    colours = colours_of(frame)
    scaling = _UNMIXED if with_alpha else Interpolation.BICUBIC
    if colours.transfer == "sdr":
        plain = _reformat(frame, width, height, "rgba" if with_alpha else "rgb24", scaling)
        if colours.gamut is None:
            return cast(NDArray[np.uint8], plain)
        converted = to_codes(into_gamut(SRGB_LIGHT[plain[..., :3]], colours.gamut))
        return np.dstack([converted, plain[..., 3]]) if with_alpha else converted
    deep = _reformat(frame, width, height, "rgba64le" if with_alpha else "rgb48le", scaling)
    converted = tone_map(deep[..., :3], colours.transfer, NO_CHANGE if colours.gamut is None else colours.gamut)
    return np.dstack([converted, (deep[..., 3] >> 8).astype(np.uint8)]) if with_alpha else converted


@reading("video")
def _reformat(frame: VideoFrame, width: int, height: int, pixels: str, interpolation: Interpolation) -> Any:
    return frame.reformat(width, height, pixels, interpolation=interpolation, threads=1).to_ndarray()


@reading("video")
def colours_of(frame: VideoFrame) -> FrameColours:
    """Return the colours that the frame's marks name; HDR without a gamut is BT.2020."""
    transfer: Literal["sdr", "pq", "hlg"] = "sdr"
    if frame.color_trc == ColorTrc.SMPTE2084:
        transfer = "pq"
    elif frame.color_trc == ColorTrc.ARIB_STD_B67:
        transfer = "hlg"
    primaries = frame.color_primaries
    if transfer != "sdr" and primaries == ColorPrimaries.UNSPECIFIED:
        primaries = ColorPrimaries.BT2020
    return FrameColours(transfer, _TO_BT709.get(primaries))


@reading("video")
def mark_matrix(frame: VideoFrame, codec: str) -> None:
    """Set the frame's matrix to one that swscale knows: the marked one, else the usual one for its colours, codec and size."""
    if frame.format.is_rgb or frame.format.has_palette:
        frame.colorspace = _RGB
    elif frame.colorspace == _BT2020_CL:
        frame.colorspace = _BT2020_NCL  # the nearest there is
    elif frame.colorspace not in _SWSCALE_KNOWS:
        frame.colorspace = _usual_matrix(frame, codec)


@reading("video")
def grey_of(frame: VideoFrame, width: int | None = None, height: int | None = None) -> NDArray[np.uint8]:
    """Return the frame's luma in eight bits, scaled; in the frame's own range."""
    # Luma needs no matrix, but swscale refuses frames that are marked with one that it does not know.
    grey = frame.reformat(width, height, "gray", _BT709, _BT709, "AREA", threads=1)
    return cast(NDArray[np.uint8], grey.to_ndarray())


def _usual_matrix(frame: VideoFrame, codec: str) -> int:
    if frame.color_primaries == ColorPrimaries.BT2020 or colours_of(frame).transfer != "sdr":
        return _BT2020_NCL
    is_small = frame.width <= _SD_WIDTH and frame.height <= _SD_HEIGHT
    return _SMPTE170M if is_small or codec in _OLD_CODECS else _BT709


def without_comb(frame: VideoFrame) -> VideoFrame:
    """Return the frame, or one field of it where its two fields show different moments.

    A field has half the lines, each twice as high, which thumbnails hardly need; mixed, the two moments would be seen as
    ghosts even in small ones. Where nothing moved, the frame keeps its better resolution.
    """
    if not frame.interlaced_frame or frame.height < 4 or not _has_comb(frame):
        return frame
    with reading("video"):
        field = VideoFrame(frame.width, frame.height // 2, frame.format.name)
        planes = list(zip(field.planes, frame.planes, strict=True))
    for ours, theirs in planes:
        lines, source = _lines(ours), _lines(theirs)[::2]
        count = min(len(lines), len(source))
        width = min(lines.shape[1], source.shape[1])
        lines[:count, :width] = source[:count, :width]
        lines[count:] = lines[count - 1]  # an odd number of lines of colour
    field.colorspace, field.color_range = frame.colorspace, frame.color_range
    field.color_trc, field.color_primaries = frame.color_trc, frame.color_primaries
    return field


def _has_comb(frame: VideoFrame) -> bool:
    lines = grey_of(frame)[:, ::4].astype(np.int16)  # every fourth column is enough
    above, below = lines[1:-1] - lines[:-2], lines[1:-1] - lines[2:]
    teeth = ((above > _TOOTH) & (below > _TOOTH)) | ((above < -_TOOTH) & (below < -_TOOTH))
    return float(teeth.mean()) > _COMBED_SHARE


def _lines(plane: Any) -> NDArray[np.uint8]:
    """Return the plane's lines, as many bytes each as they take in memory: a view, which writes through."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
