"""A decoded frame as an upright sRGB picture of the wanted size: scaled and converted in one call where colours allow."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray
from PIL import Image

from processors.colour.linear_light import NO_CHANGE, SRGB_LIGHT, into_gamut, to_codes
from processors.colour.tone_map import luma_as_sdr, tone_map
from processors.output.geometry import fit, needed_size, square_size
from processors.readers import reading
from processors.still.orientation import Turn, swaps_sides, turn_of_angle, turn_of_matrix
from processors.types import RenditionSpec
from processors.video.clean_aperture import Crop
from processors.video.frame_colours import colours_of, grey_of, mark_matrix
from processors.video.interlaced import without_comb
from processors.video.score import JUDGED_SIDE, Luma

_FULL_RANGE: Final = 2
_MAX_ALPHA_PIXELS: Final = 16_000_000
_MAX_ALPHA_PIXELS_OF_LIGHT: Final = 2_000_000
"""Frames with alpha are mixed at full size, which takes nine bytes a pixel, and up to a hundred where their colours are
turned into light; larger ones are thinned out first."""


_UNMIXED: Final = Interpolation.POINT | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
"""Single pixels: swscale otherwise shares the colours of two neighbours, of RGB as well."""


@dataclass(frozen=True)
class FrameShape:
    """What the container and the codec say about every frame."""

    codec: str
    sample_aspect: Fraction | None
    crop: Crop | None


def upright_picture(
    frame: VideoFrame, shape: FrameShape, renditions: tuple[RenditionSpec, ...]
) -> tuple[Image.Image, Turn]:
    """Mode RGB, or RGBA with straight alpha, square pixels, as `renditions` need it; and the turn that made it upright."""
    mark_matrix(frame, shape.codec)
    turn = _turn(frame)
    crop = shape.crop or Crop(0, 0, 0, 0)
    seen = frame.width - crop.left - crop.right, frame.height - crop.top - crop.bottom
    square = square_size(*seen, shape.sample_aspect)
    width, height = needed_size(*square, renditions, is_turned=swaps_sides(turn))
    if shape.crop is None:
        image = _scaled(without_comb(frame), width, height)
    else:
        image = _cropped(without_comb(frame), crop, (frame.width, frame.height), (width, height))
    return (image if turn is None else image.transpose(turn)), turn


def scaled_srgb(frame: VideoFrame, codec: str, size: tuple[int, int]) -> Image.Image:
    """The whole frame as sRGB, as it is stored."""
    mark_matrix(frame, codec)
    return _scaled(frame, *size)


def judged_luma(frame: VideoFrame) -> Luma:
    """What is judged of a frame: its luma, small, and of HDR as it will be shown."""
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
    except ValueError:  # PyAV does not know all that may stand beside it, as of spatial videos; the angle it tells
        return turn_of_angle(-frame.rotation)


def _cropped(frame: VideoFrame, crop: Crop, full: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """The frame of `full` pixels scaled as a whole, and the crop cut out of few pixels."""
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
    """Whether the frame's format can be transparent; palettes may be."""
    return frame.format.has_palette or any(component.is_alpha for component in frame.format.components)


def _srgb(frame: VideoFrame, width: int, height: int, *, with_alpha: bool = False) -> NDArray[np.uint8]:
    """Height x width x 3, or 4 with straight alpha."""
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
