"""Interlaced frames: two moments woven into one, line by line."""

from typing import Any, Final

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from processors.readers import reading
from processors.video.frame_colours import grey_of

_TOOTH: Final = 12
"""Codes: a line that differs by more from both its neighbours, and in the same direction, is a comb's tooth."""
_COMBED_SHARE: Final = 0.004
"""Of the pixels; still scenes, and films that are only flagged as interlaced, stay far below it."""


def without_comb(frame: VideoFrame) -> VideoFrame:
    """The frame, or one field of it where its two fields show different moments.

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
    lines = grey_of(frame)[:, ::4].astype(np.int16)  # every fourth column tells as much
    above, below = lines[1:-1] - lines[:-2], lines[1:-1] - lines[2:]
    teeth = ((above > _TOOTH) & (below > _TOOTH)) | ((above < -_TOOTH) & (below < -_TOOTH))
    return float(teeth.mean()) > _COMBED_SHARE


def _lines(plane: Any) -> NDArray[np.uint8]:
    """The plane's lines, as many bytes each as they take in memory: a view, which writes through."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
