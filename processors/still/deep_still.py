"""HDR photographs (AVIF) in all their bits, by FFmpeg: Pillow hands out eight, which leave bands in a sky of PQ."""

from typing import Final, Literal

from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorTrc
from PIL import Image

from processors.readers import DamagedMediaError, reading
from processors.source_file import SourceFile
from processors.video.container import has_decoder, open_container
from processors.video.pixels import scaled_srgb

_TRANSFERS: Final = {"pq": ColorTrc.SMPTE2084, "hlg": ColorTrc.ARIB_STD_B67}


def take_deep(
    file: SourceFile, transfer: Literal["pq", "hlg"], stored: tuple[int, int], size: tuple[int, int]
) -> Image.Image | None:
    """The picture in sRGB of `size`, as it is stored (not turned); None where FFmpeg has no whole picture of `stored` pixels.

    That is so for pictures made of tiles, which FFmpeg leaves apart.
    """
    try:
        with open_container(file, in_a_hurry=False) as container:
            frame = _first_frame(container, stored)
            if frame is None:
                return None
            frame.color_trc = _TRANSFERS[transfer]
            return scaled_srgb(frame, "av1", size)
    except (FFmpegError, DamagedMediaError):
        return None


def _first_frame(container: InputContainer, stored: tuple[int, int]) -> VideoFrame | None:
    stream = next((video for video in container.streams.video if has_decoder(video)), None)
    if stream is None or (stream.codec_context.width, stream.codec_context.height) != stored:
        return None
    context = stream.codec_context
    context.thread_count = 1  # slots are the parallelism; threads would not be caged
    context.options = {"max_pixels": str(stored[0] * stored[1])}  # what was checked before
    with reading("picture"):
        frame = next((frame for packet in container.demux(stream) for frame in packet.decode()), None)
    return frame if frame is not None and (frame.width, frame.height) == stored else None
