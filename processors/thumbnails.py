"""create_thumbnails: the entry point: one source in, every rendition out. Pure; runs inside the caged child."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from av.error import FFmpegError

from processors.output.render import render
from processors.output.thumbhash import thumbhash
from processors.readers import DamagedMediaError
from processors.sniff import HEAD_BYTES, is_heic, sniff_kind, unread_kind
from processors.source_file import SourceFile
from processors.still.claims import check_claims
from processors.still.eps_preview import decode_eps_preview, is_eps_in_parts
from processors.still.fits import decode_fits, is_fits
from processors.still.heic import can_read_heic
from processors.still.jpeg_xl import decode_jpeg_xl, is_jpeg_xl
from processors.still.ladder import decode_still
from processors.still.quickdraw import decode_pict, is_pict
from processors.still.raw_preview import decode_preview, is_raw
from processors.still.svg import HEAD_BYTES as SVG_HEAD_BYTES
from processors.still.svg import decode_svg, is_svg
from processors.types import DecodedFrame, Kind, Source, ThumbnailSet, ThumbnailSpec
from processors.video import opencv as video_opencv
from processors.video import pyav as video_pyav
from processors.video.container import open_container, refuse_first_packets
from schemas.errors import ErrorCode, PermanentError

_NOT_OPENCV: Final = (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"DKIF")
"""ASF and IVF. In damaged ones the older FFmpeg inside OpenCV goes round in circles until its processor time is up, or crashes."""
_VP8: Final = (b"V_VP8", b"OVP80", b"VP80", b"vp08")
"""As Matroska, Ogg, AVI and MP4 name it. The same FFmpeg crashes as it seeks in damaged VP8 whose claimed length is absurd."""
_NAMED_WITHIN: Final = 65536
_TEXT_BYTES: Final = 64
"""Looked at to see whether a file is text."""
VideoWay = Callable[[SourceFile, ThumbnailSpec], DecodedFrame]


def create_thumbnails(source: Source, spec: ThumbnailSpec, *, kind: Kind | None = None) -> ThumbnailSet:
    """Return the renditions of `spec`. The bytes decide the kind; the uploader's `kind` counts only if they are unclear.

    Raises PermanentError media.unsupported, media.corrupt, media.no_picture, media.too_many_pixels,
    media.too_many_frames or source.too_large; what the source raises comes through unchanged.
    """
    if source.size > spec.max_source_bytes:
        raise PermanentError(
            ErrorCode.SOURCE_TOO_LARGE,
            f"The source has {source.size} bytes; at most {spec.max_source_bytes} are looked at.",
        )
    if source.size == 0:
        raise PermanentError(ErrorCode.MEDIA_CORRUPT, "The source is empty.")
    file = SourceFile(source, max_reads=spec.max_reads, max_bytes_read=spec.max_bytes_read)
    started = time.perf_counter()
    taken = _decode(file, spec, kind)
    decoded = time.perf_counter()
    rendered = render(taken.image, spec, taken.facts.kind)
    placeholder = thumbhash(rendered.main)
    finished = time.perf_counter()
    return ThumbnailSet(
        renditions=rendered.renditions,
        frame=taken.frame,
        source=taken.facts,
        degraded_reason=taken.reason if taken.degraded else None,
        bytes_read=file.bytes_read,
        read_ms=file.read_s * 1000,
        decode_ms=(decoded - started - file.read_s) * 1000,
        render_ms=(finished - decoded) * 1000,
        placeholder=placeholder,
    )


def _decode(file: SourceFile, spec: ThumbnailSpec, declared: Kind | None) -> DecodedFrame:
    head = file.read(HEAD_BYTES)
    kind = sniff_kind(head)
    if is_raw(file, head):
        return decode_preview(file, spec, video_pyav.take_deep)
    if is_fits(head):
        return decode_fits(file, spec)
    if is_jpeg_xl(head):
        return decode_jpeg_xl(file, spec)
    if kind == "image":
        if is_heic(head) and not can_read_heic():
            raise PermanentError(
                ErrorCode.MEDIA_UNSUPPORTED,
                "HEIC pictures are read only where the extra is installed: pip install 'thumbnail-pipeline[heic]'.",
            )
        check_claims(file, spec)
        return decode_still(file, spec, video_pyav.take_deep)
    if kind is None:
        return _take_unsniffed(file, head, spec, declared)
    return _decode_video(file, head, spec)


def _take_unsniffed(file: SourceFile, head: bytes, spec: ThumbnailSpec, declared: Kind | None) -> DecodedFrame:
    """Return the picture or the video of a file whose first bytes alone do not tell what it is, or that it can be read."""
    if _may_be_svg(head) and is_svg(_read_head(file)):
        return decode_svg(file, spec)
    if is_eps_in_parts(head):
        return decode_eps_preview(file, spec, video_pyav.take_deep)
    _refuse_unread(head)
    if is_pict(file):
        return decode_pict(file, spec)
    if declared == "image":
        return decode_still(file, spec, video_pyav.take_deep)
    return _take_unknown(file, head, spec)


def _refuse_unread(head: bytes) -> None:
    """Raise PermanentError media.unsupported for the known kinds that are not read: some readers take them, and call them damaged."""
    unread = unread_kind(head)
    if unread is not None:
        raise PermanentError(ErrorCode.MEDIA_UNSUPPORTED, f"The file is {unread}, which is not read.")


def _take_unknown(file: SourceFile, head: bytes, spec: ThumbnailSpec) -> DecodedFrame:
    """Return a video whose container only FFmpeg knows; nothing else, whatever the upload says that it is."""
    if _looks_like_text(head):
        raise PermanentError(ErrorCode.MEDIA_UNSUPPORTED, "The file is text, not a video or a picture.")
    try:
        return _decode_video(file, head, spec)
    except DamagedMediaError as error:
        raise DamagedMediaError(
            "The file begins like no video or picture that can be read: it is damaged, or of another kind."
        ) from error


def _decode_video(file: SourceFile, head: bytes, spec: ThumbnailSpec) -> DecodedFrame:
    """By each way in turn; when all fail, the first way's error stands, for it says most."""
    is_pyav_alone = head.startswith(_NOT_OPENCV) or _is_vp8(file)
    ways: dict[str, tuple[VideoWay, ...]] = {
        "auto": (video_pyav.decode_video,) if is_pyav_alone else (video_pyav.decode_video, video_opencv.decode_video),
        "pyav": (video_pyav.decode_video,),
        "opencv": (video_opencv.decode_video,),
    }
    first_error: PermanentError | None = None
    for way in ways[spec.decoder]:
        try:
            return way(file, spec)
        except PermanentError as error:
            first_error = first_error or error
            if error.code is not ErrorCode.MEDIA_CORRUPT:
                raise
            if way is video_pyav.decode_video:
                _refuse_giants(file, spec)  # before the next way tries to decode one
    raise first_error or AssertionError("there is always a way")


def _is_vp8(file: SourceFile) -> bool:
    file.seek(0)
    head = file.read(_NAMED_WITHIN)
    return any(name in head for name in _VP8)


def _refuse_giants(file: SourceFile, spec: ThumbnailSpec) -> None:
    """Raises PermanentError media.too_many_pixels where that, and no damage, is why there was no frame."""
    with suppress(FFmpegError, DamagedMediaError), open_container(file, in_a_hurry=True) as container:
        refuse_first_packets(container, spec.max_pixels)


def _may_be_svg(head: bytes) -> bool:
    return head.startswith((b"\x1f\x8b\x08", b"\xff\xfe", b"\xfe\xff")) or head.lstrip(
        b"\xef\xbb\xbf \t\r\n"
    ).startswith(b"<")


def _read_head(file: SourceFile) -> bytes:
    file.seek(0)
    return file.read(SVG_HEAD_BYTES)


def _looks_like_text(head: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\r\n\f" for byte in head[:_TEXT_BYTES])
