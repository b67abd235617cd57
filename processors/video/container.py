"""Containers opened by FFmpeg, in a hurry or with care, and never anything but the source itself.

Where a video claims a size that FFmpeg refuses, FFmpeg forgets it, and only its messages tell.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Final, NoReturn

import av
import av.subtitles.codeccontext
import av.subtitles.stream  # both are imported late by PyAV otherwise, which a locked process cannot do
from av import logging as messages
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from processors.limits import FFMPEG_FORMATS
from processors.readers import DamagedMediaError, reading
from processors.source_file import SourceFile
from schemas.errors import ErrorCode, PermanentError

_CARE: Final = {"format_whitelist": FFMPEG_FORMATS}
_HURRY: Final = {
    **_CARE,
    # FFmpeg reads on and decodes a frame to find out what most headers say already.
    "probesize": "32",
    "analyzeduration": "1",
    "fpsprobesize": "0",
    "skip_frame": "all",
    # VP9's decoder skips nothing, and costs two frames: nothing is decoded before a frame is wanted.
    "codec_whitelist": "none",
}
_CLAIM: Final = re.compile(r"(?:Picture|Frame) size (\d{1,10})x(\d{1,10}) (?:is invalid|exceeds)")
_BESIDE: Final = Disposition.attached_pic | Disposition.timed_thumbnails
_PACKETS: Final = 10
"""Each has its size again in most codecs; the first one that is decoded at all says it."""

Messages = list[tuple[int, str, str]]
"""Level, part of FFmpeg, and text."""


@contextmanager
def open_container(file: SourceFile, *, in_a_hurry: bool) -> Iterator[InputContainer]:
    """Provide the container, from its beginning. In a hurry streams may be unknown, or without a size.

    Raises FFmpegError, and PermanentError media.too_many_pixels for headers that claim what FFmpeg cannot decode.
    """
    file.seek(0)
    options = _HURRY if in_a_hurry else _CARE
    with heard() as said:
        try:
            with reading("video"):
                container = av.open(file, "r", options=options, metadata_errors="replace", io_open=_refuse_to_open)
        except FFmpegError:
            refuse_claims(said)
            raise
    with container:
        refuse_claims(said)
        yield container


def _refuse_to_open(url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"only the source itself may be opened, not {url[:80]!r}")


@reading("video")
def is_described(container: InputContainer) -> bool:
    """Return whether the headers alone said what the video streams are."""
    streams = container.streams.video
    return bool(streams) and all(has_decoder(stream) and stream.codec_context.width > 0 for stream in streams)


def has_decoder(stream: VideoStream) -> bool:
    """Return whether FFmpeg knows the codec; PyAV's types say that it always does."""
    context: object = stream.codec_context
    return context is not None


@reading("video")
def picture_stream(container: InputContainer) -> tuple[VideoStream, bool]:
    """Return the largest video stream, else an embedded cover (True). Raises PermanentError media.no_picture or media.unsupported."""
    films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    covers = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
    if not films and not covers:
        raise PermanentError(ErrorCode.MEDIA_NO_PICTURE, "The file has no video stream and no cover.")
    for streams, is_cover in ((films, False), (covers, True)):
        known = [stream for stream in streams if has_decoder(stream)]
        if known:
            return max(known, key=lambda s: s.codec_context.width * s.codec_context.height), is_cover
    raise PermanentError(ErrorCode.MEDIA_UNSUPPORTED, "There is no decoder for the file's video stream.")


@dataclass(frozen=True)
class StreamTimes:
    """When a stream's first picture is shown, in ticks of its time base, and for how many seconds it has pictures.

    `offset_s`: how long a player's clock has run when it shows the first picture, for instance since the sound began.
    """

    start: int
    duration_s: float | None
    offset_s: float


def stream_times(container: InputContainer, stream: VideoStream, *, reads_on: bool) -> StreamTimes:
    """Return when the stream's pictures are shown, as the headers say.

    `reads_on`: where these lack the first picture's time, take it from the first packet, which is then out of the
    container: seek before reading on.
    """
    start = _start_ticks(container, stream, reads_on=reads_on)
    return StreamTimes(start, _duration_s(container, stream, start), _offset_s(container, stream, start))


@reading("video")
def _start_ticks(container: InputContainer, stream: VideoStream, *, reads_on: bool) -> int:
    if stream.start_time is None and reads_on:
        with suppress(FFmpegError):
            first = next((packet for packet in container.demux(stream) if packet.size), None)
            return (first.pts if first else None) or 0
    return stream.start_time or 0


@reading("video")
def _offset_s(container: InputContainer, stream: VideoStream, start: int) -> float:
    """Players begin with the sound or the pictures, whichever comes first."""
    start_s = float(start * (stream.time_base or 0))
    others = (s for s in container.streams if s.type in ("video", "audio") and not s.disposition & _BESIDE)
    starts = [float(s.start_time * s.time_base) for s in others if s.start_time is not None and s.time_base]
    return max(0.0, start_s - min(starts, default=start_s))


@reading("video")
def _duration_s(container: InputContainer, stream: VideoStream, start: int) -> float | None:
    """Seconds, as the headers say; None when they do not."""
    base = stream.time_base or Fraction(1, av.time_base)
    length_s = float(stream.duration * base) if stream.duration else (container.duration or 0) / av.time_base
    start_s = float(start * base)
    # Matroska's duration is the time at which the last frame ends, whenever the first begins.
    if "matroska" in container.format.name and 0 < start_s < length_s:
        length_s -= start_s
    return length_s or None


@contextmanager
def heard() -> Iterator[Messages]:
    """Provide what FFmpeg says of errors within. It is silent otherwise, for hostile files make it say much."""
    messages.set_level(messages.ERROR)
    messages.set_skip_repeated(False)  # what is skipped would be said later, of another file
    try:
        with messages.Capture() as said:
            yield said
    finally:
        messages.set_level(None)


def refuse_claims(said: Messages) -> None:
    """Raise PermanentError media.too_many_pixels when one of the messages is about a size that is too large."""
    for _, _, text in said:
        claim = _CLAIM.match(text)
        if claim:
            raise PermanentError(
                ErrorCode.MEDIA_TOO_MANY_PIXELS, f"The video claims {claim[1]}x{claim[2]} pixels a frame."
            )


def refuse_first_packets(container: InputContainer, max_pixels: int) -> None:
    """Do the work of refuse_claims() on the beginning of every video stream: for files without a decodable frame."""
    with heard() as said:
        for stream in container.streams.video:
            context: object = stream.codec_context
            if context is not None:
                stream.codec_context.thread_count = 1
                stream.codec_context.options = {"max_pixels": str(max_pixels)}
        with suppress(FFmpegError), reading("video"):
            for packet in islice(container.demux(*container.streams.video), _PACKETS):
                with suppress(FFmpegError, DamagedMediaError), reading("video"):
                    packet.decode()
                refuse_claims(said)
