"""Clips with known pixels, in any codec and container that FFmpeg writes."""

import io
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.doubles.ordinary_priority import ordinary_priority

RATE = 25


def clip(
    frames: Sequence[NDArray[np.uint8]],
    codec: str = "libx264",
    container: str = "mp4",
    pixels: str = "yuv420p",
    rate: int = RATE,
    muxer: dict[str, str] | None = None,
    **options: str,
) -> bytes:
    """A file of RGB frames (height x width x 3); `options` go to the encoder, `muxer` to the container."""
    out = io.BytesIO()
    opened: Any
    with ordinary_priority(), av.open(out, "w", format=container, options=muxer or {}) as opened:
        stream: Any = opened.add_stream(codec, rate=rate, options={"threads": "1", **options})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        for frame in frames:
            opened.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        opened.mux(stream.encode())
    return out.getvalue()
