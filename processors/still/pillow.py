"""One upright sRGB picture out of a photograph, by Pillow."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import IO, Literal, cast

from PIL import Image, ImageFile, UnidentifiedImageError

from processors.colour.convert import to_srgb
from processors.orientation import EXIF_TURNS, Turn, clockwise, swaps_sides
from processors.output.geometry import ROUGH_GAP, needed_size, scale
from processors.readers import DamagedMediaError, reading
from processors.sniff import HEAD_BYTES, sniff_kind, unread_kind
from processors.source_file import BytesInMemory, SourceFile
from processors.still.animation import show_frame
from processors.still.claims import check_pixels
from processors.still.colours import colours_of
from processors.still.decode import decode_reduced, exif_of, plain_mode
from processors.still.jpeg_end import complete, has_end
from processors.types import DecodedFrame, Frame, SourceFacts, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError

_ORIENTATION_TAG = 0x0112

DeepDecoder = Callable[[SourceFile, Literal["pq", "hlg"], tuple[int, int], tuple[int, int]], Image.Image | None]
"""Decodes an HDR photograph in all its bits: file, curve, its size as stored, wanted size. None where it cannot."""


def decode_still(file: SourceFile, spec: ThumbnailSpec, take_deep: DeepDecoder) -> DecodedFrame:
    """Return the photograph, reduced and upright. Raises PermanentError media.unsupported, media.corrupt or media.too_many_pixels.

    Of a JPEG without an end, what there is; `degraded` where more than the end marker is missing. `take_deep` is asked for HDR
    photographs first.
    """
    try:
        return _take(file, spec, take_deep)
    except DamagedMediaError:
        completed = complete(file)
        if completed is None:
            raise
    taken = _take(SourceFile(BytesInMemory(completed.content)), spec, take_deep)
    return replace(taken, degraded=not completed.is_whole)


def _take(file: SourceFile, spec: ThumbnailSpec, take_deep: DeepDecoder) -> DecodedFrame:
    file.seek(0)
    Image.MAX_IMAGE_PIXELS = None  # our own limit stands below, and is an error rather than a warning
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata, which is dropped anyway
        with _open(file) as opened:
            return _decode_from(opened, spec, file, take_deep)


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
    if sniff_kind(head) == "image":
        return DamagedMediaError("The picture's beginning is damaged.")
    kind = unread_kind(head)
    message = (
        "The picture's format is not one that can be read."
        if kind is None
        else f"The file is {kind}, which is not read."
    )
    return PermanentError(ErrorCode.MEDIA_UNSUPPORTED, message)


def _decode_from(opened: Image.Image, spec: ThumbnailSpec, file: SourceFile, take_deep: DeepDecoder) -> DecodedFrame:
    width, height = opened.size
    if width < 1 or height < 1:
        raise DamagedMediaError("The picture has no pixels.")
    check_pixels(width, height, spec)
    exif = exif_of(opened, file)
    turn = _turn(exif)
    left_to_turn = None if opened.format == "TIFF" else turn  # Pillow rotates TIFF itself and reports the rotated size
    target = needed_size(width, height, spec.renditions, is_turned=swaps_sides(left_to_turn))
    colours = colours_of(opened, exif, file)
    image, frame = None, Frame(None, "image")
    if opened.format == "AVIF" and opened.mode == "RGB" and colours.curve in ("pq", "hlg"):  # whose bits count
        image = take_deep(file, colours.curve, opened.size, target)
    if image is None:
        stored, frame = _stored(opened, target, spec, file)
        # Reduce first: colours are then converted on few pixels.
        image = to_srgb(scale(stored, target, gap=ROUGH_GAP), colours)
    if left_to_turn is not None:
        image = image.transpose(left_to_turn)
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
    file.expect_whole()
    shown, frame = show_frame(opened, spec, file)
    if opened.format in ("JPEG", "MPO") and not has_end(file, file.tell()):
        raise DamagedMediaError(
            "The picture is cut off: its end is missing."
        )  # zeros in its place would be taken for pixels
    with reading("picture"):  # it converts by what the file says of its pixels: a palette, a transparent colour
        return plain_mode(shown), frame


@reading("picture")
def _turn(exif: Image.Exif) -> Turn:
    """Of the tag, which Pillow reads only now."""
    orientation = exif.get(_ORIENTATION_TAG)
    return EXIF_TURNS.get(orientation) if isinstance(orientation, int) else None
