"""Frames by PyAV: three ways to open a video, from the fastest to the most patient; and HDR photographs in all their bits."""

from typing import Final, Literal, cast

from av.codec import CodecContext
from av.codec.context import Flags
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorTrc
from av.video.stream import VideoStream
from PIL import Image

from processors.orientation import clockwise
from processors.readers import DamagedMediaError, reading
from processors.selection.choice import SearchBudget, choose, clamp_time_s
from processors.selection.score import Judgement, judge
from processors.source_file import SourceFile
from processors.types import DecodedFrame, Frame, SourceFacts, ThumbnailSpec
from processors.video.clean_aperture import find_crop
from processors.video.container import (
    duration_s,
    has_decoder,
    is_described,
    open_container,
    picture_stream,
    start_ticks,
)
from processors.video.frames import FrameFinder
from processors.video.pixels import FrameShape, judged_luma, scaled_srgb, upright_picture
from schemas.errors import ErrorCode, PermanentError

_ALPHA_DECODERS: Final = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders leave the alpha of a WebM out."""
_TRANSFERS: Final = {"pq": ColorTrc.SMPTE2084, "hlg": ColorTrc.ARIB_STD_B67}


def decode_video(file: SourceFile, spec: ThumbnailSpec) -> DecodedFrame:
    """Return the chosen frame. Raises PermanentError media.no_picture, media.corrupt, media.unsupported or media.too_many_pixels."""
    return _in_a_hurry(file, spec) or _with_care(file, spec)


def _in_a_hurry(file: SourceFile, spec: ThumbnailSpec) -> DecodedFrame | None:
    """By the headers alone, as most files allow; None where they do not say enough, or something went wrong."""
    try:
        with open_container(file, in_a_hurry=True) as container:
            return _decode_from(container, file, spec) if is_described(container) else None
    except FFmpegError:
        return None
    except PermanentError as error:
        if error.code is ErrorCode.MEDIA_TOO_MANY_PIXELS:
            raise
        return None


def _with_care(file: SourceFile, spec: ThumbnailSpec) -> DecodedFrame:
    try:
        with open_container(file, in_a_hurry=False) as container:
            try:
                return _decode_from(container, file, spec)
            except PermanentError as error:
                if error.code is not ErrorCode.MEDIA_CORRUPT:
                    raise
        # No seek gives a frame: take what comes first.
        with open_container(file, in_a_hurry=False) as container:
            return _decode_from(container, file, spec, is_seekable=False)
    except FFmpegError as exc:
        raise DamagedMediaError(f"The video cannot be decoded: {exc.strerror}.") from exc


def _decode_from(
    container: InputContainer, file: SourceFile, spec: ThumbnailSpec, *, is_seekable: bool = True
) -> DecodedFrame:
    stream, is_cover = picture_stream(container)
    _check_pixels(stream.codec_context.width, stream.codec_context.height, spec)
    context = _decoder(stream)
    context.flags |= Flags.unaligned  # crops of the codec's are applied to the pixel, not to whole words of memory
    context.thread_count = 1  # slots are the parallelism; threads would not be caged
    context.options = {"max_pixels": str(spec.max_pixels)}  # also what the stream itself says later
    # A cover stands before all packets, and a file that cannot be sought in is read once only.
    start = start_ticks(container, stream) if is_seekable and not is_cover else stream.start_time or 0
    length_s = None if is_cover else duration_s(container, stream, start)
    finder = FrameFinder(container, stream, start, length_s, context)
    if is_cover or not is_seekable:
        found, frame = _take_first(finder, is_cover=is_cover)
    else:
        found, frame = _choose(finder, length_s, spec, SearchBudget(lambda: file.bytes_read))
    _check_pixels(found.width, found.height, spec)
    image, turn = upright_picture(found, _shape(container, stream, file, found), spec.renditions)
    facts = SourceFacts(
        kind="video",
        width=found.width,
        height=found.height,
        duration_s=length_s,
        codec=stream.codec_context.name,
        format=container.format.name.split(",")[0],
        rotation=clockwise(turn),
    )
    return DecodedFrame(image, frame, facts, degraded=is_cover or not is_seekable or found.is_corrupt)


def _check_pixels(width: int, height: int, spec: ThumbnailSpec) -> None:
    if width * height > spec.max_pixels:
        raise PermanentError(ErrorCode.MEDIA_TOO_MANY_PIXELS, f"The video has {width}x{height} pixels a frame.")


def _take_first(finder: FrameFinder, *, is_cover: bool) -> tuple[VideoFrame, Frame]:
    found = _must_be_there(finder.first())
    return found, Frame(None, "pyav-cover") if is_cover else Frame(finder.time_s(found), "pyav-first")


def _choose(
    finder: FrameFinder, length_s: float | None, spec: ThumbnailSpec, budget: SearchBudget
) -> tuple[VideoFrame, Frame]:
    """Return the frame, and how it was found. Raises PermanentError media.corrupt when there is none."""
    if spec.frame_time_s is not None:
        found = _must_be_there(finder.at(clamp_time_s(spec.frame_time_s, length_s)))
        return found, Frame(finder.time_s(found), "pyav-chosen")
    choice = choose(length_s, spec.strategy, lambda time_s: _look_at(finder, time_s), budget)
    if choice is None:
        raise DamagedMediaError("No frame of the video can be decoded.")
    taken = Frame(finder.time_s(choice.frame), f"pyav-{spec.strategy}", choice.score, choice.candidates)
    return choice.frame, taken


def _must_be_there(frame: VideoFrame | None) -> VideoFrame:
    if frame is None:
        raise DamagedMediaError("No frame of the video can be decoded.")
    return frame


def _look_at(finder: FrameFinder, time_s: float) -> tuple[VideoFrame, Judgement] | None:
    frame = finder.near(time_s)
    return None if frame is None else (frame, judge(judged_luma(frame)))


def _decoder(stream: VideoStream) -> VideoCodecContext:
    """Return the stream's own, or one that decodes its alpha as well."""
    name = _ALPHA_DECODERS.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return stream.codec_context
    try:
        return cast(VideoCodecContext, CodecContext.create(name, "r"))
    except ValueError:  # FFmpeg was built without it
        return stream.codec_context


def _shape(container: InputContainer, stream: VideoStream, file: SourceFile, frame: VideoFrame) -> FrameShape:
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or None
    films = [film for film in container.streams.video if not film.disposition & Disposition.attached_pic]
    crop = find_crop(file, films.index(stream), frame.width, frame.height) if stream in films else None
    return FrameShape(stream.codec_context.name, aspect, crop)


def take_deep(
    file: SourceFile, transfer: Literal["pq", "hlg"], stored: tuple[int, int], size: tuple[int, int]
) -> Image.Image | None:
    """Return the HDR photograph (AVIF) in sRGB of `size`, as it is stored (not turned): Pillow hands out eight bits, which leave
    bands in a sky of PQ.

    None where FFmpeg has no whole picture of `stored` pixels; it leaves the tiles of some pictures apart.
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
