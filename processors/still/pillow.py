"""One upright sRGB picture out of a photograph, by Pillow: the first rung of the ladder, fast and strict."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Literal, cast

from PIL import Image, ImageFile, UnidentifiedImageError

from processors.colour.convert import to_srgb
from processors.limits import LEAST_SHOWN
from processors.orientation import clockwise, swaps_sides
from processors.output.geometry import needed_size
from processors.planes import YuvPicture, turned
from processors.readers import DamagedMediaError, reading
from processors.sniff import HEAD_BYTES, partly_read_kind, sniff_kind, unread_kind
from processors.source_file import SourceFile
from processors.still.animation import show_frame
from processors.still.claims import check_size, is_large
from processors.still.colours import colours_of
from processors.still.decode import (
    decode_reduced,
    exif_of,
    plain_mode,
    scale_clear_value,
    turn_of,
    widen_palette,
)
from processors.still.finish import blank_share, fill_rows, scaled_srgb_picture, share_of_rows
from processors.still.jpeg_2000 import has_uneven_colours, reduce_jpeg_2000
from processors.still.jpeg_end import has_end
from processors.still.large import decode_large
from processors.still.photoshop import without_white
from processors.still.tiff_planes import is_misread
from processors.types import DecodedFrame, Frame, SourceFacts, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError

DeepDecoder = Callable[[SourceFile, Literal["pq", "hlg"], tuple[int, int], tuple[int, int]], Image.Image | None]
"""Decodes an HDR photograph in all its bits: file, curve, its size as stored, wanted size. None where it cannot."""


def take(file: SourceFile, spec: ThumbnailSpec, take_deep: DeepDecoder, *, is_tolerant: bool = False) -> DecodedFrame:
    """Return the photograph, reduced and upright. Raises PermanentError media.unsupported, media.corrupt or media.too_many_pixels.

    `take_deep` is asked for HDR photographs first. `is_tolerant`: what cannot be decoded is left empty, as long as some of it can.
    """
    file.seek(0)
    Image.MAX_IMAGE_PIXELS = None  # our own limit stands below, and is an error rather than a warning
    with warnings.catch_warnings(), _tolerance(is_tolerant):
        warnings.simplefilter("ignore")  # about odd metadata, which is dropped anyway
        with _open(file) as opened:
            return _decode_from(opened, spec, file, take_deep)


@contextmanager
def _tolerance(is_on: bool) -> Iterator[None]:
    """Have Pillow go on behind damage; a switch of the whole process, which decodes one file at a time."""
    ImageFile.LOAD_TRUNCATED_IMAGES = is_on
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


@reading("picture")
def _open(file: SourceFile) -> Image.Image:
    try:
        opened = Image.open(cast(IO[bytes], file))
    except UnidentifiedImageError as exc:
        raise _unidentified(file) from exc
    if isinstance(opened, ImageFile.StubImageFile):  # Pillow knows the kind, and no decoder for it
        opened.close()
        raise _unidentified(file)
    return opened


def _unidentified(file: SourceFile) -> PermanentError:
    file.seek(0)
    head = file.read(HEAD_BYTES)
    kind = unread_kind(head) or partly_read_kind(head)
    if kind is None and sniff_kind(head) == "image":
        return DamagedMediaError("The picture's beginning is damaged.")
    return unsupported(kind)


def unsupported(kind: str | None) -> PermanentError:
    """Return the error for a kind of pictures that is not read."""
    if kind is None:
        return PermanentError(ErrorCode.MEDIA_UNSUPPORTED, "The picture's format is not one that can be read.")
    return PermanentError(ErrorCode.MEDIA_UNSUPPORTED, f"The file is {kind}, which is not read.")


def _decode_from(opened: Image.Image, spec: ThumbnailSpec, file: SourceFile, take_deep: DeepDecoder) -> DecodedFrame:
    width, height = opened.size
    if width < 1 or height < 1:
        raise DamagedMediaError("The picture has no pixels.")
    check_size(width, height, spec)
    if opened.format == "PNG":
        scale_clear_value(opened)
    elif not is_large(opened.size, spec):
        _correct(opened, file)
    exif = _exif(opened, file)
    turn = turn_of(exif)
    left_to_turn = None if opened.format == "TIFF" else turn  # Pillow rotates TIFF itself and reports the rotated size
    target = needed_size(width, height, spec.renditions, is_turned=swaps_sides(left_to_turn))
    colours = colours_of(opened, exif, file)
    image: Image.Image | YuvPicture | None = None
    frame = Frame(None, "image")
    if is_large(opened.size, spec):
        image = to_srgb(decode_large(opened, file, target, spec), colours)
    elif opened.format == "AVIF" and opened.mode == "RGB" and colours.curve in ("pq", "hlg"):  # whose bits count
        image = take_deep(file, colours.curve, opened.size, target)
    if image is None:
        stored, frame = _stored(opened, target, spec, file)
        image = scaled_srgb_picture(stored, target, colours, spec)
    if left_to_turn is not None:
        image = turned(image, left_to_turn)
    facts = SourceFacts(
        kind="image",
        width=width,
        height=height,
        duration_s=None,
        codec=(opened.format or "unknown").lower(),
        format=(opened.format or "unknown").lower(),
        rotation=clockwise(turn),
    )
    return DecodedFrame(image, frame, facts)


def _stored(
    opened: Image.Image, target: tuple[int, int], spec: ThumbnailSpec, file: SourceFile
) -> tuple[Image.Image, Frame]:
    """Return the pixels as they are stored, at least as many as `target`, in a mode that can be scaled; of films one frame."""
    reduced = decode_reduced(opened, file, target)
    if reduced is not None:
        return reduced, Frame(None, "image")
    if opened.format == "JPEG":
        # The decoder itself halves the size as often as it may, which is most of the speed; a little more than the
        # target leaves work for the better filter of the last step.
        with reading("picture"):
            opened.draft("RGB", (target[0] * 5 // 4, target[1] * 5 // 4))
    elif opened.format == "JPEG2000" and opened.mode in ("RGB", "L", "I;16"):  # not what hides under transparency
        reduce_jpeg_2000(opened, file, target)
    file.expect_whole()
    is_interlaced = opened.format == "GIF" and any(tile.args[1:2] == (1,) for tile in getattr(opened, "tile", ()))
    shown, frame = show_frame(opened, spec, file)
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        is_nothing = is_interlaced and share_of_rows(shown) < LEAST_SHOWN
        if is_interlaced:
            shown = fill_rows(shown)
        if is_nothing or blank_share(shown) > 1 - LEAST_SHOWN:
            raise DamagedMediaError("Of the picture nothing can be decoded.")
    elif opened.format in ("JPEG", "MPO") and not has_end(file, file.tell()):
        raise DamagedMediaError(
            "The picture is cut off: its end is missing."
        )  # zeros in its place would be taken for pixels
    with reading("picture"):  # it converts by what the file says of its pixels: a palette, a transparent colour
        plain = plain_mode(shown)
        return (without_white(plain) if opened.format == "PSD" else plain), frame


@reading("picture")
def _correct(opened: Image.Image, file: SourceFile) -> None:
    """Put right what Pillow gets wrong of what the file says. Raises DamagedMediaError where only others can decode it."""
    if opened.format == "TIFF" and is_misread(opened):
        raise DamagedMediaError("The picture's planes cannot be decoded.")
    if opened.format == "TIFF" and opened.mode == "P":
        widen_palette(opened)
    elif opened.format == "JPEG2000" and has_uneven_colours(opened, file):
        raise DamagedMediaError("The picture's colours cannot be decoded.")


def _exif(opened: Image.Image, file: SourceFile) -> Image.Exif:
    """Return the picture's tags; none where they are damaged, for they only describe it."""
    try:
        return exif_of(opened, file)
    except DamagedMediaError:
        return Image.Exif()
