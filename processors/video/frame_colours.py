"""What the numbers of a video's frame mean: its matrix, its curve and its gamut, as marked, or as is usual."""

from dataclasses import dataclass
from typing import Final, Literal, cast

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorTrc
from numpy.typing import NDArray

from processors.colour.linear_light import BT2020, DISPLAY_P3, Matrix, to_bt709
from processors.readers import reading

# FFmpeg's AVColorSpace; swscale takes every unmarked picture for BT.601, and refuses what it does not know.
_RGB, _BT709, _FCC, _BT470BG, _SMPTE170M, _SMPTE240M, _BT2020_NCL, _BT2020_CL = 0, 1, 4, 5, 6, 7, 9, 10
_SWSCALE_KNOWS: Final = frozenset({_BT709, _FCC, _BT470BG, _SMPTE170M, _SMPTE240M, _BT2020_NCL})
_SD_WIDTH, _SD_HEIGHT = 1024, 576
_OLD_CODECS: Final = frozenset({"vp8", "libvpx", "theora", "mjpeg", "h263", "flv1"})
"""They know no other matrix than BT.601's, whatever the size."""

_TO_BT709: Final[dict[int, Matrix]] = {
    ColorPrimaries.BT2020: to_bt709(BT2020),
    ColorPrimaries.SMPTE431: to_bt709(DISPLAY_P3),  # cinema's white is meant to look white on a screen
    ColorPrimaries.SMPTE432: to_bt709(DISPLAY_P3),
}
"""The gamuts that differ visibly from sRGB's; those of BT.601 do not."""


@dataclass(frozen=True)
class FrameColours:
    """How to get sRGB out of a frame's RGB: `gamut` is None where it is sRGB's already."""

    transfer: Literal["sdr", "pq", "hlg"]
    gamut: Matrix | None


@reading("video")
def colours_of(frame: VideoFrame) -> FrameColours:
    """As the frame is marked; HDR without a gamut is BT.2020."""
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
    """The frame's luma in eight bits, scaled; in the frame's own range."""
    # Luma needs no matrix, but swscale refuses frames that are marked with one that it does not know.
    grey = frame.reformat(width, height, "gray", _BT709, _BT709, "AREA", threads=1)
    return cast(NDArray[np.uint8], grey.to_ndarray())


def _usual_matrix(frame: VideoFrame, codec: str) -> int:
    if frame.color_primaries == ColorPrimaries.BT2020 or colours_of(frame).transfer != "sdr":
        return _BT2020_NCL
    is_small = frame.width <= _SD_WIDTH and frame.height <= _SD_HEIGHT
    return _SMPTE170M if is_small or codec in _OLD_CODECS else _BT709
