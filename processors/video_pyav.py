"""Frames by PyAV: three ways to open a video, from the fastest to the most patient."""

from fractions import Fraction
from typing import Any, Final, cast

from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from processors.frame_choice import SearchBudget, choose, clamp_time_s
from processors.frame_score import JUDGED_SIDE, Judgement, Luma, judge
from processors.geometry import fit, needed_size, square_size
from processors.pyav_container import duration_s, is_described, open_container, picture_stream, start_ticks
from processors.pyav_frames import FrameFinder
from processors.source_file import SourceFile
from processors.taken import TakenPicture
from processors.types import Frame, SourceFacts, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError

_TURNS: Final = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}
"""Pillow turns the other way round."""


def take_picture(file: SourceFile, spec: ThumbnailSpec) -> TakenPicture:
    """The chosen frame. Raises PermanentError media.no_picture, media.corrupt, media.unsupported or media.too_many_pixels."""
    return _in_a_hurry(file, spec) or _with_care(file, spec)


def _in_a_hurry(file: SourceFile, spec: ThumbnailSpec) -> TakenPicture | None:
    """By the headers alone, as most files allow; None where they do not say enough, or something went wrong."""
    try:
        with open_container(file, in_a_hurry=True) as container:
            return _take_from(container, file, spec) if is_described(container) else None
    except FFmpegError:
        return None
    except PermanentError as error:
        if error.code is ErrorCode.MEDIA_TOO_MANY_PIXELS:
            raise
        return None


def _with_care(file: SourceFile, spec: ThumbnailSpec) -> TakenPicture:
    try:
        with open_container(file, in_a_hurry=False) as container:
            try:
                return _take_from(container, file, spec)
            except PermanentError as error:
                if error.code is not ErrorCode.MEDIA_CORRUPT:
                    raise
        # No seek gives a frame: take what comes first.
        with open_container(file, in_a_hurry=False) as container:
            return _take_from(container, file, spec, is_seekable=False)
    except FFmpegError as exc:
        raise PermanentError(ErrorCode.MEDIA_CORRUPT, f"The video cannot be decoded: {exc.strerror}.") from exc


def _take_from(
    container: InputContainer, file: SourceFile, spec: ThumbnailSpec, *, is_seekable: bool = True
) -> TakenPicture:
    stream, is_cover = picture_stream(container)
    context = stream.codec_context
    _check_pixels(context.width, context.height, spec)
    context.thread_count = 1  # slots are the parallelism; threads would not be caged
    context.options = {"max_pixels": str(spec.max_pixels)}  # also what the stream itself says later
    # A cover stands before all packets, and a file that cannot be sought in is read once only.
    start = start_ticks(container, stream) if is_seekable and not is_cover else stream.start_time or 0
    length_s = None if is_cover else duration_s(container, stream, start)
    finder = FrameFinder(container, stream, start, length_s)
    if is_cover or not is_seekable:
        found, frame = _take_first(finder, is_cover=is_cover)
    else:
        found, frame = _choose(finder, length_s, spec, SearchBudget(lambda: file.bytes_read))
    _check_pixels(found.width, found.height, spec)
    image, rotation = _upright(found, stream, spec)
    facts = SourceFacts(
        kind="video",
        width=found.width,
        height=found.height,
        duration_s=length_s,
        codec=context.name,
        format=container.format.name.split(",")[0],
        rotation=rotation,
    )
    return TakenPicture(image, frame, facts, degraded=is_cover or not is_seekable or found.is_corrupt)


def _check_pixels(width: int, height: int, spec: ThumbnailSpec) -> None:
    if width * height > spec.max_pixels:
        raise PermanentError(ErrorCode.MEDIA_TOO_MANY_PIXELS, f"The video has {width}x{height} pixels a frame.")


def _take_first(finder: FrameFinder, *, is_cover: bool) -> tuple[VideoFrame, Frame]:
    found = _must_be_there(finder.first())
    return found, Frame(None, "pyav-cover") if is_cover else Frame(finder.time_s(found), "pyav-first")


def _choose(
    finder: FrameFinder, length_s: float | None, spec: ThumbnailSpec, budget: SearchBudget
) -> tuple[VideoFrame, Frame]:
    """The frame, and how it was found. Raises PermanentError media.corrupt when there is none."""
    if spec.frame_time_s is not None:
        found = _must_be_there(finder.at(clamp_time_s(spec.frame_time_s, length_s)))
        return found, Frame(finder.time_s(found), "pyav-chosen")
    choice = choose(length_s, spec.strategy, lambda time_s: _look_at(finder, time_s), budget)
    if choice is None:
        raise PermanentError(ErrorCode.MEDIA_CORRUPT, "No frame of the video can be decoded.")
    taken = Frame(finder.time_s(choice.frame), f"pyav-{spec.strategy}", choice.score, choice.candidates)
    return choice.frame, taken


def _must_be_there(frame: VideoFrame | None) -> VideoFrame:
    if frame is None:
        raise PermanentError(ErrorCode.MEDIA_CORRUPT, "No frame of the video can be decoded.")
    return frame


def _look_at(finder: FrameFinder, time_s: float) -> tuple[VideoFrame, Judgement] | None:
    frame = finder.near(time_s)
    return None if frame is None else (frame, judge(_luma(frame)))


def _luma(frame: VideoFrame) -> Luma:
    width, height = fit(frame.width, frame.height, JUDGED_SIDE, JUDGED_SIDE)
    grey = frame.reformat(max(2, width), max(2, height), "gray", interpolation="AREA", threads=1)
    return cast(Luma, grey.to_ndarray())


def _upright(frame: VideoFrame, stream: VideoStream, spec: ThumbnailSpec) -> tuple[Image.Image, int]:
    """The picture with square pixels and upright, and the rotation in degrees clockwise that this took."""
    clockwise = -frame.rotation % 360
    width, height = square_size(frame.width, frame.height, _sample_aspect(stream))
    width, height = needed_size(width, height, spec.renditions, is_turned=clockwise in (90, 270))
    picture: Any = frame.reformat(width, height, "rgb24", interpolation="BICUBIC", threads=1).to_ndarray()
    image = Image.fromarray(picture)
    return (image.transpose(_TURNS[clockwise]) if clockwise in _TURNS else image), clockwise


def _sample_aspect(stream: VideoStream) -> Fraction | None:
    return stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or None
