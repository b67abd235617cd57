"""Frames by PyAV: three ways to open a video, from the fastest to the most patient; and HDR photographs in all their bits."""

from collections.abc import Callable
from contextlib import suppress
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
from processors.output.render import wants_planes
from processors.readers import DamagedMediaError, reading
from processors.selection.choice import SearchBudget
from processors.source_file import SourceFile
from processors.types import DecodedFrame, Frame, SourceFacts, ThumbnailSpec
from processors.video.clean_aperture import find_crop
from processors.video.container import has_decoder, is_described, open_container, picture_stream, stream_times
from processors.video.dolby_vision import is_ipt
from processors.video.frames import FrameFinder
from processors.video.packets import PacketReader
from processors.video.pixels import FrameShape, scaled_srgb, upright_picture
from processors.video.search import FrameSearch, NoFrameError
from processors.video.soundness import CheckedDecoder, CheckedFrame
from schemas.degraded import DegradedReason
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
            except NoFrameError as error:
                if error.is_all_read:
                    raise
        # No seek gives a frame, nor leads back to the beginning.
        with open_container(file, in_a_hurry=False) as container:
            return _decode_from(container, file, spec, can_seek=False)
    except FFmpegError as exc:
        raise DamagedMediaError(f"The video cannot be decoded: {exc.strerror}.") from exc


def _decode_from(
    container: InputContainer, file: SourceFile, spec: ThumbnailSpec, *, can_seek: bool = True
) -> DecodedFrame:
    stream, is_cover = picture_stream(container)
    _check_pixels(stream.codec_context.width, stream.codec_context.height, spec)
    decoder = CheckedDecoder(_decoders(container, stream, file, spec))
    # A cover stands before all packets, and a file that cannot be sought in is read once only.
    times = stream_times(container, stream, reads_on=can_seek and not is_cover)
    finder = FrameFinder(PacketReader(container, stream, times), stream, decoder)
    if is_cover:
        found, frame = _cover(finder)
    else:
        search = FrameSearch(finder, times, SearchBudget(lambda: file.bytes_read), can_seek=can_seek)
        found, frame = search.run(spec)
    picture = found.picture
    _check_pixels(picture.width, picture.height, spec)
    shape = _shape(container, stream, file, picture)
    image, turn = upright_picture(picture, shape, spec.renditions, in_planes=wants_planes(spec))
    facts = SourceFacts(
        kind="video",
        width=picture.width,
        height=picture.height,
        duration_s=None if is_cover else times.duration_s,
        codec=stream.codec_context.name,
        format=container.format.name.split(",")[0],
        rotation=clockwise(turn),
    )
    reasons = {
        DegradedReason.COVER: is_cover,
        DegradedReason.DAMAGED: not (found.is_sound and decoder.is_trusted),
        DegradedReason.COLOURS: shape.is_ipt,
    }
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    return DecodedFrame(image, frame, facts, degraded=reason is not None, reason=reason or DegradedReason.DAMAGED)


def _check_pixels(width: int, height: int, spec: ThumbnailSpec) -> None:
    if width * height > spec.max_pixels:
        raise PermanentError(ErrorCode.MEDIA_TOO_MANY_PIXELS, f"The video has {width}x{height} pixels a frame.")


def _cover(finder: FrameFinder) -> tuple[CheckedFrame, Frame]:
    found = finder.first()
    if found is None:
        raise DamagedMediaError("The cover cannot be decoded.")
    return found, Frame(None, "pyav-cover")


def _decoders(
    container: InputContainer, stream: VideoStream, file: SourceFile, spec: ThumbnailSpec
) -> Callable[[], VideoCodecContext]:
    """Return what makes decoders of the stream's: at first the container's own, then those of others that are opened for it."""
    own = [stream]

    def new_context() -> VideoCodecContext:
        if own:
            return _decoder(own.pop(), spec)
        place = file.tell()
        try:
            with open_container(file, in_a_hurry="probesize" in container.options) as another:
                return _decoder(another.streams.video[container.streams.video.index(stream)], spec)
        finally:
            file.seek(place)  # where the first container reads on

    return new_context


def _decoder(stream: VideoStream, spec: ThumbnailSpec) -> VideoCodecContext:
    """Return the stream's own, or one that decodes its alpha as well."""
    context = stream.codec_context
    name = _ALPHA_DECODERS.get(context.name)
    if name is not None and stream.metadata.get("alpha_mode") == "1":
        with suppress(ValueError):  # FFmpeg was built without it
            context = cast(VideoCodecContext, CodecContext.create(name, "r"))
    context.flags |= Flags.unaligned  # crops of the codec's are applied to the pixel, not to whole words of memory
    context.thread_count = 1  # slots are the parallelism; threads would not be caged
    context.options = {"max_pixels": str(spec.max_pixels)}  # also what the stream itself says later
    return context


def _shape(container: InputContainer, stream: VideoStream, file: SourceFile, frame: VideoFrame) -> FrameShape:
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or None
    films = [film for film in container.streams.video if not film.disposition & Disposition.attached_pic]
    if stream not in films:
        return FrameShape(stream.codec_context.name, aspect, None)
    film, codec = films.index(stream), stream.codec_context.name
    crop = find_crop(file, film, frame.width, frame.height)
    return FrameShape(codec, aspect, crop, codec == "hevc" and is_ipt(file, film))


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
