"""Frames by PyAV: seek to a keyframe, decode as little as possible, scale while converting."""

import time
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any, Final, NoReturn, cast

import av
import av.subtitles.codeccontext
import av.subtitles.stream  # both are imported late by PyAV otherwise, which a locked process cannot do
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from processors.frame_choice import Picture, candidate_times_s, clamp_time_s, score_picture, shows_something
from processors.geometry import fit, largest_box, square_size
from processors.limits import FFMPEG_FORMATS, FORWARD_BUDGET_S, MAX_FRAMES_FORWARD
from processors.source_file import SourceFile
from processors.taken import TakenPicture
from processors.types import Frame, SourceFacts, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError

_NEAR_S: Final = 2.0
"""A keyframe this close to the wanted moment is as good as the moment itself."""


def take_picture(file: SourceFile, spec: ThumbnailSpec) -> TakenPicture:
    """The chosen frame. Raises PermanentError media.no_picture, media.corrupt or media.too_many_pixels."""
    file.seek(0)
    try:
        with av.open(file, "r", options={"format_whitelist": FFMPEG_FORMATS}, io_open=_refuse_to_open) as container:
            return _take_from(container, spec)
    except FFmpegError as exc:
        raise PermanentError(ErrorCode.MEDIA_CORRUPT, f"The video cannot be decoded: {exc.strerror}.") from exc


def _refuse_to_open(url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"only the source itself may be opened, not {url[:80]!r}")


def _take_from(container: InputContainer, spec: ThumbnailSpec) -> TakenPicture:
    stream, is_cover = _picture_stream(container)
    context = stream.codec_context
    if context.width * context.height > spec.max_pixels:
        raise PermanentError(
            ErrorCode.MEDIA_TOO_MANY_PIXELS, f"The video has {context.width}x{context.height} pixels a frame."
        )
    context.thread_count = 1  # slots are the parallelism; threads would not be caged
    duration_s = None if is_cover else _duration_s(container, stream)
    finder = _FrameFinder(container, stream)
    if is_cover:
        found, method, score, looked_at = finder.cover(), "cover", None, 1
    elif spec.frame_time_s is not None:
        found, method, score, looked_at = finder.at(clamp_time_s(spec.frame_time_s, duration_s)), "chosen", None, 1
    else:
        found, method, score, looked_at = _search(finder, duration_s, spec)
    if found is None:
        raise PermanentError(ErrorCode.MEDIA_CORRUPT, "No frame of the video can be decoded.")
    time_s = None if is_cover else finder.time_s(found)
    image, rotation = _upright(found, stream, spec)
    facts = SourceFacts(
        kind="video",
        width=found.width,
        height=found.height,
        duration_s=duration_s,
        codec=context.name,
        format=container.format.name.split(",")[0],
        rotation=rotation,
    )
    return TakenPicture(image, Frame(time_s, f"pyav-{method}", score, looked_at), facts, degraded=is_cover)


def _picture_stream(container: InputContainer) -> tuple[VideoStream, bool]:
    """The largest video stream, else an embedded cover (True). Raises PermanentError media.no_picture."""
    films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    covers = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
    for streams, is_cover in ((films, False), (covers, True)):
        if streams:
            return max(streams, key=lambda s: s.codec_context.width * s.codec_context.height), is_cover
    raise PermanentError(ErrorCode.MEDIA_NO_PICTURE, "The file has no video stream and no cover.")


def _duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _search(
    finder: "_FrameFinder", duration_s: float | None, spec: ThumbnailSpec
) -> tuple[VideoFrame | None, str, float | None, int]:
    """The first candidate that shows something, else the best of them: frame, method, score, candidates looked at."""
    best: tuple[float, VideoFrame] | None = None
    looked_at = 0
    for time_s in candidate_times_s(duration_s):
        frame = finder.near(time_s)
        if frame is None:
            continue
        looked_at += 1
        score = score_picture(_small(frame))
        if best is None or score > best[0]:
            best = (score, frame)
        if spec.strategy == "fixed" or shows_something(score):
            break
    if best is None:
        return finder.first(), "first", None, 1
    return best[1], "smart" if spec.strategy == "smart" else "fixed", best[0], looked_at


class _FrameFinder:
    """Seeks and decodes; what is damaged is stepped over."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container: Final = container
        self._stream: Final = stream
        self._start: Final = stream.start_time or 0

    def time_s(self, frame: VideoFrame) -> float:
        """The frame's time from the video's beginning, in seconds."""
        if frame.pts is None or frame.time_base is None:
            return 0.0
        return round(max(0.0, float((frame.pts - self._start) * frame.time_base)), 3)

    def near(self, time_s: float) -> VideoFrame | None:
        """The keyframe at or before `time_s` when it is near and shows something, else the frame at `time_s`."""
        frames = self._from(time_s)
        keyframe = next(frames, None)
        if keyframe is None:
            return None
        found_s = self.time_s(keyframe)
        is_near = time_s - found_s <= _NEAR_S and found_s >= time_s / 2
        if is_near and shows_something(score_picture(_small(keyframe))):
            return keyframe
        return self._forward(keyframe, frames, time_s)

    def at(self, time_s: float) -> VideoFrame | None:
        """The frame that is on screen at `time_s`."""
        frames = self._from(time_s)
        keyframe = next(frames, None)
        return None if keyframe is None else self._forward(keyframe, frames, time_s)

    def first(self) -> VideoFrame | None:
        """The first frame that can be decoded."""
        return next(self._from(0.0), None)

    def cover(self) -> VideoFrame | None:
        """The attached picture: it stands before all packets, and a seek would pass it by."""
        return next(self._decode(), None)

    def _forward(self, frame: VideoFrame, frames: Iterator[VideoFrame], time_s: float) -> VideoFrame:
        deadline = time.perf_counter() + FORWARD_BUDGET_S
        for _ in range(MAX_FRAMES_FORWARD):
            if time.perf_counter() > deadline:
                break
            later = next(frames, None)
            if later is None or self.time_s(later) > time_s + 1e-3:
                break
            frame = later
        return frame

    def _from(self, time_s: float) -> Iterator[VideoFrame]:
        base = self._stream.time_base or Fraction(1, av.time_base)
        with suppress(FFmpegError):  # not seekable, as raw streams are: decode from where we are
            self._container.seek(self._start + int(time_s / base), stream=self._stream, backward=True)
        yield from self._decode()

    def _decode(self) -> Iterator[VideoFrame]:
        for packet in self._container.demux(self._stream):
            try:
                yield from packet.decode()
            except FFmpegError:
                continue  # a damaged packet; a later one may be whole


def _small(frame: VideoFrame) -> Picture:
    width, height = fit(frame.width, frame.height, 320, 320)
    return cast(Picture, frame.reformat(max(2, width), max(2, height), "rgb24", threads=1).to_ndarray())


def _upright(frame: VideoFrame, stream: VideoStream, spec: ThumbnailSpec) -> tuple[Image.Image, int]:
    """The picture with square pixels and upright, and the rotation in degrees clockwise that this took."""
    clockwise = -frame.rotation % 360
    width, height = square_size(frame.width, frame.height, _sample_aspect(stream))
    box_width, box_height = largest_box(spec.renditions)
    if clockwise in (90, 270):
        box_width, box_height = box_height, box_width
    width, height = fit(width, height, box_width, box_height)
    picture: Any = frame.reformat(width, height, "rgb24", interpolation="BICUBIC", threads=1).to_ndarray()
    image = Image.fromarray(picture)
    turns = {
        90: Image.Transpose.ROTATE_270,
        180: Image.Transpose.ROTATE_180,
        270: Image.Transpose.ROTATE_90,
    }
    return (image.transpose(turns[clockwise]) if clockwise in turns else image), clockwise


def _sample_aspect(stream: VideoStream) -> Fraction | None:
    return stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or None
