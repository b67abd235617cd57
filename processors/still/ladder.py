"""The ladder of pictures: a fast, strict reader first, then whatever shows what there is.

1. Pillow with its fast ways: what ordinary, sound files take.
2. Missing parts are added or broken ones left out, and the first rung reads the result: JPEG, PNG, AVIF.
3. Readers of single kinds, which know more of them than Pillow, or show a part of one: TIFF, BMP, WebP, FFmpeg's pictures.
4. The picture that a raw camera file has beside its own.
5. Pillow again, told to go on behind damage.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from PIL import Image

from processors.colour.convert import PictureColours
from processors.limits import LEAST_SHOWN, MIB
from processors.planes import as_image
from processors.sniff import HEAD_BYTES, is_icon
from processors.source_file import BytesInMemory, SourceFile
from processors.still.arbitrary_map import with_bytes
from processors.still.bmp import MASKS_END, decode_bmp, has_alpha_mask, is_bmp, profile_of
from processors.still.claims import is_large, webp_size
from processors.still.ffmpeg import decode_by_ffmpeg
from processors.still.finish import DAMAGED, WHOLE, StoredPicture, finish, without_rows
from processors.still.gif_canvas import CANVAS_HEAD_BYTES, leaves_canvas_free, on_clear_canvas
from processors.still.icons import plain_icon
from processors.still.iso_grid import decode_by_items
from processors.still.jpeg_end import complete, has_end, is_lossless, sample_bits
from processors.still.large_webp import decode_large_webp
from processors.still.network_graphics import decode_jng, first_picture, is_mng
from processors.still.openexr.decode import decode_openexr
from processors.still.openexr.header import with_luminance
from processors.still.pcx import decode_planes
from processors.still.photoshop import composite_alone, decode_floats, without_white
from processors.still.photoshop_preview import composite_or_preview
from processors.still.pillow import DeepDecoder, take, unsupported
from processors.still.radiance import turn_of_rows, with_plain_header
from processors.still.rare_jpeg import decode_rare_jpeg, without_strange_parts
from processors.still.repair_avif import repair_avif
from processors.still.repair_gif import repair_gif
from processors.still.repair_png import repair_png
from processors.still.tiff import decode_tiff
from processors.still.tiff import is_whole as is_whole_tiff
from processors.still.webp_scaled import decode_begun
from processors.still.x_bitmap import as_pillow_reads, is_x_bitmap
from processors.still.xpm import with_colours
from processors.types import DecodedFrame, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError

_MAX_BYTES: Final = 64 * MIB
"""Held in memory several times, from the second rung on; photographs are far smaller."""
_NEXT_RUNG: Final = frozenset({ErrorCode.MEDIA_CORRUPT, ErrorCode.MEDIA_UNSUPPORTED})
_BITS_OF_PILLOW: Final = 8
"""Of a JPEG's values."""
_END_OF_CODESTREAM: Final = b"\xff\xd9"
_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_REWRITTEN: Final[tuple[tuple[Callable[[bytes], bool], Callable[[bytes], bytes]], ...]] = (
    (is_icon, plain_icon),
    (lambda head: head.startswith((b"8BPS\0\1", b"8BPS\0\2")), composite_alone),
    (is_x_bitmap, as_pillow_reads),
    (is_mng, first_picture),
)

Rung = Callable[[], DecodedFrame | None]


def decode_still(file: SourceFile, spec: ThumbnailSpec, take_deep: DeepDecoder) -> DecodedFrame:
    """Return the picture, reduced and upright; `degraded` where a part of it is missing, and `frame.method` says why.

    Raises PermanentError media.unsupported, media.corrupt or media.too_many_pixels.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    taken = _decode(file, head, spec, take_deep)
    return composite_or_preview(taken, file, spec, take_deep) if head.startswith(b"8BPS") else taken


def _decode(file: SourceFile, head: bytes, spec: ThumbnailSpec, take_deep: DeepDecoder) -> DecodedFrame:
    if head[:4] == b"RIFF" and is_large(webp_size(head), spec):
        return decode_large_webp(file, webp_size(head), spec)
    transparent = _by_kind(_all_of(file), spec) if _is_transparent_bmp(file, head) else None
    if transparent is not None:
        return transparent
    try:
        return take(_as_pillow_reads(file, head), spec, take_deep)
    except PermanentError as error:
        if error.code not in _NEXT_RUNG or file.size > _MAX_BYTES:
            raise
        first_error = error
    content = first_picture(composite_alone(_all_of(file)))
    for rung in _rungs(content, spec, take_deep):
        try:
            found = rung()
        except PermanentError as error:
            if error.code not in _NEXT_RUNG:
                raise
            continue
        if found is not None:
            return found
    if content.startswith(_TIFF) and first_error.code is ErrorCode.MEDIA_CORRUPT and is_whole_tiff(content):
        raise unsupported("a TIFF picture of a rare depth or compression") from first_error
    raise first_error


def _is_transparent_bmp(file: SourceFile, head: bytes) -> bool:
    if not is_bmp(head) or file.size > _MAX_BYTES:
        return False
    file.seek(0)
    return has_alpha_mask(file.read(MASKS_END))


def _as_pillow_reads(file: SourceFile, head: bytes) -> SourceFile:
    """Return the file itself, or, of the kinds of which Pillow reads a part wrong, one that says the same in another way."""
    rewrite = _rewriter_of(file, head) if file.size <= _MAX_BYTES else None
    return file if rewrite is None else SourceFile(BytesInMemory(rewrite(_all_of(file))))


def _rewriter_of(file: SourceFile, head: bytes) -> Callable[[bytes], bytes] | None:
    if head.startswith(b"GIF8"):
        file.seek(0)
        return on_clear_canvas if leaves_canvas_free(file.read(CANVAS_HEAD_BYTES)) else None
    return next((rewrite for is_kind, rewrite in _REWRITTEN if is_kind(head)), None)


def _all_of(file: SourceFile) -> bytes:
    file.seek(0)
    file.expect_whole()
    return file.read()


def _rungs(content: bytes, spec: ThumbnailSpec, take_deep: DeepDecoder) -> Iterator[Rung]:
    """Yield what there is to try for these bytes, in order."""

    def again(changed: bytes, *, is_tolerant: bool = False) -> DecodedFrame:
        return take(SourceFile(BytesInMemory(changed)), spec, take_deep, is_tolerant=is_tolerant)

    if content.startswith(b"\xff\xd8"):
        yield from _rungs_of_jpeg(content, spec, again)
        if not has_end(SourceFile(BytesInMemory(content)), len(content)):
            return  # too little of it is there: what Pillow would show is its own filling
    elif content.startswith(b"\x89PNG"):
        yield lambda: _repaired_png(content, spec, again)
    elif content[4:8] == b"ftyp":
        for repaired in repair_avif(content):
            yield lambda repaired=repaired: again(repaired)  # type: ignore[misc]
        yield lambda: decode_by_items(content, spec)
    else:
        yield lambda: _by_kind(content, spec)
    yield lambda: _as_damaged(again(repair_gif(content), is_tolerant=True), is_whole=False)


def _rungs_of_jpeg(content: bytes, spec: ThumbnailSpec, again: Callable[[bytes], DecodedFrame]) -> Iterator[Rung]:
    file = SourceFile(BytesInMemory(content))
    bits = sample_bits(content)
    if (is_lossless(content) or bits > _BITS_OF_PILLOW) and has_end(file, file.size):
        yield lambda: decode_rare_jpeg(content, spec)
    if bits > _BITS_OF_PILLOW:
        raise unsupported(f"a JPEG of {bits} bits")
    plain = without_strange_parts(content)
    if plain != content:  # more of it may be damaged: libjpeg would say nothing, and mix up the colours
        yield lambda: again(plain) if decode_by_ffmpeg(plain, spec.max_pixels, "mjpeg", is_strict=True) else None
    completed = complete(file)
    if completed is not None:
        yield lambda: _as_damaged(again(completed.content), is_whole=completed.is_whole)


def _as_damaged(taken: DecodedFrame, *, is_whole: bool) -> DecodedFrame:
    if is_whole:
        return taken
    return replace(taken, degraded=True, frame=replace(taken.frame, method=DAMAGED))


def _repaired_png(content: bytes, spec: ThumbnailSpec, again: Callable[[bytes], DecodedFrame]) -> DecodedFrame | None:
    repaired = repair_png(content, spec.max_pixels)
    if repaired is None or repaired.shown < LEAST_SHOWN:
        return None
    taken = again(repaired.content)
    if repaired.shown < 1 and not taken.facts.rotation:
        taken = replace(taken, image=without_rows(as_image(taken.image), repaired.shown))
    return _as_damaged(taken, is_whole=repaired.is_whole)


def _by_kind(content: bytes, spec: ThumbnailSpec) -> DecodedFrame | None:
    """Return the picture by the reader for its kind; None where there is no such reader, or it finds nothing."""
    if content.startswith(_TIFF):
        stored = decode_tiff(content, spec.max_pixels)
        return None if stored is None else finish(stored, spec)
    if is_bmp(content):
        bitmap = decode_bmp(content, spec.max_pixels)
        if bitmap is None or bitmap[1] < LEAST_SHOWN:
            return None
        colours = PictureColours(profile_of(SourceFile(BytesInMemory(content))))
        return finish(StoredPicture(bitmap[0], "bmp", WHOLE if bitmap[1] == 1 else DAMAGED, colours), spec)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        begun = decode_begun(content, spec.max_pixels)
        return None if begun is None else _part(Image.fromarray(begun[0]), begun[1], "webp", spec)
    jng = decode_jng(content, spec.max_pixels)
    if jng is not None:
        return finish(jng, spec)
    planes = decode_planes(content, spec.max_pixels)
    if planes is not None:
        return finish(StoredPicture(planes, "pcx"), spec)
    light = decode_floats(content, spec.max_pixels)
    if light is not None:
        return finish(StoredPicture(light, "psd"), spec)
    decoded = decode_by_ffmpeg(_as_ffmpeg_reads(content, spec.max_pixels), spec.max_pixels)
    if decoded is None:
        openexr = decode_openexr(content, spec)
        return None if openexr is None else finish(openexr, spec)
    image, codec = decoded
    is_whole = codec != "jpeg2000" or content.rstrip(b"\0").endswith(_END_OF_CODESTREAM)
    shown = without_white(image) if codec == "psd" else image
    stored = StoredPicture(shown, codec, WHOLE if is_whole else DAMAGED, turn=turn_of_rows(content))
    return finish(stored, spec)


def _as_ffmpeg_reads(content: bytes, max_pixels: int) -> bytes:
    return with_bytes(with_colours(with_plain_header(with_luminance(content))), max_pixels)


def _part(image: Image.Image, shown: float, codec: str, spec: ThumbnailSpec) -> DecodedFrame | None:
    if shown < LEAST_SHOWN:
        return None
    if shown == 1:
        return finish(StoredPicture(image, codec, WHOLE), spec)
    return finish(StoredPicture(without_rows(image, shown), codec, DAMAGED), spec)
