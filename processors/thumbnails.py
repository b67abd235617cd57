"""create_thumbnails: the front door, one source in and every rendition out. Pure; runs inside the caged child."""

import time
from collections.abc import Callable

from processors import image as photographs
from processors import video_opencv, video_pyav
from processors.render import render
from processors.sniff import HEAD_BYTES, is_heic, sniff_kind
from processors.source_file import SourceFile
from processors.taken import TakenPicture
from processors.thumbhash import thumbhash
from processors.types import Kind, Source, ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError

VideoWay = Callable[[SourceFile, ThumbnailSpec], TakenPicture]


def create_thumbnails(source: Source, spec: ThumbnailSpec, *, kind: Kind | None = None) -> ThumbnailSet:
    """The renditions of `spec`. What the bytes are counts; `kind`, as the uploader declared it, only where they are unclear.

    Raises PermanentError media.unsupported, media.corrupt, media.no_picture, media.too_many_pixels or
    source.too_large; what the source raises comes through unchanged.
    """
    if source.size > spec.max_source_bytes:
        raise PermanentError(ErrorCode.SOURCE_TOO_LARGE, f"The source has {source.size} bytes.")
    if source.size == 0:
        raise PermanentError(ErrorCode.MEDIA_CORRUPT, "The source is empty.")
    file = SourceFile(source)
    started = time.perf_counter()
    taken = _take(file, spec, kind)
    decoded = time.perf_counter()
    renditions = render(taken.image, spec)
    placeholder = thumbhash(taken.image)
    finished = time.perf_counter()
    return ThumbnailSet(
        renditions=renditions,
        frame=taken.frame,
        source=taken.facts,
        degraded=taken.degraded,
        bytes_read=file.bytes_read,
        read_ms=file.read_s * 1000,
        decode_ms=(decoded - started - file.read_s) * 1000,
        render_ms=(finished - decoded) * 1000,
        placeholder=placeholder,
    )


def _take(file: SourceFile, spec: ThumbnailSpec, declared: Kind | None) -> TakenPicture:
    head = file.read(HEAD_BYTES)
    kind = sniff_kind(head)
    if kind == "image":
        if is_heic(head):
            raise PermanentError(ErrorCode.MEDIA_UNSUPPORTED, "HEIC pictures cannot be read.")
        return photographs.take_picture(file, spec)
    if kind is None and declared == "image":
        return photographs.take_picture(file, spec)
    if kind is None and _looks_like_text(head):
        raise PermanentError(ErrorCode.MEDIA_UNSUPPORTED, "The file is text, not a video or a picture.")
    return _take_frame(file, spec)


def _take_frame(file: SourceFile, spec: ThumbnailSpec) -> TakenPicture:
    """By each way in turn; when all fail, the first way's error stands, for it says most."""
    ways: dict[str, tuple[VideoWay, ...]] = {
        "auto": (video_pyav.take_picture, video_opencv.take_picture),
        "pyav": (video_pyav.take_picture,),
        "opencv": (video_opencv.take_picture,),
    }
    first_error: PermanentError | None = None
    for way in ways[spec.decoder]:
        try:
            return way(file, spec)
        except PermanentError as error:
            first_error = first_error or error
            if error.code is not ErrorCode.MEDIA_CORRUPT:
                raise
    raise first_error or AssertionError("there is always a way")


def _looks_like_text(head: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\r\n\f" for byte in head)
