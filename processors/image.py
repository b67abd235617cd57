"""One upright sRGB picture out of a photograph, by Pillow."""

import warnings
from typing import IO, cast

from PIL import Image, ImageOps, UnidentifiedImageError

from processors.animation import show_frame
from processors.colour import to_srgb
from processors.geometry import needed_size
from processors.picture_claims import check_pixels
from processors.scaling import ROUGH_GAP, scale
from processors.sniff import HEAD_BYTES, sniff_kind
from processors.source_file import SourceFile
from processors.taken import TakenPicture
from processors.types import SourceFacts, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError

_ROTATIONS = {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}
_LYING = (5, 6, 7, 8)
_ORIENTATION_TAG = 0x0112


def take_picture(file: SourceFile, spec: ThumbnailSpec) -> TakenPicture:
    """The photograph, reduced and upright. Raises PermanentError media.unsupported, media.corrupt or media.too_many_pixels."""
    file.seek(0)
    Image.MAX_IMAGE_PIXELS = None  # our own limit stands below, and is an error rather than a warning
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata, which is dropped anyway
            with Image.open(cast(IO[bytes], file)) as opened:
                return _take_from(opened, spec, file)
    except UnidentifiedImageError as exc:
        file.seek(0)
        if sniff_kind(file.read(HEAD_BYTES)) == "image":
            raise PermanentError(ErrorCode.MEDIA_CORRUPT, "The picture's beginning is damaged.") from exc
        raise PermanentError(ErrorCode.MEDIA_UNSUPPORTED, "The picture's format is not one that can be read.") from exc
    except (
        OSError,
        SyntaxError,
        ValueError,
        TypeError,
        EOFError,
        IndexError,
        OverflowError,
        RuntimeError,
        Image.DecompressionBombError,
    ) as exc:
        # Pillow's decoders raise all of these for damaged files.
        raise PermanentError(ErrorCode.MEDIA_CORRUPT, f"The picture cannot be decoded: {str(exc)[:200]}.") from exc


def _take_from(opened: Image.Image, spec: ThumbnailSpec, file: SourceFile) -> TakenPicture:
    width, height = opened.size
    check_pixels(width, height, spec)
    orientation = opened.getexif().get(_ORIENTATION_TAG, 1)
    target = needed_size(width, height, spec.renditions, is_turned=orientation in _LYING)
    if opened.format == "JPEG":
        # The decoder itself halves the size as often as it may, which is most of the speed; a little more than the
        # target leaves work for the better filter of the last step.
        opened.draft("RGB", (target[0] * 5 // 4, target[1] * 5 // 4))
    profile = opened.info.get("icc_profile")
    file.expect_whole()
    shown, frame = show_frame(opened, spec, file)
    # Reduce first: colours are then converted on few pixels. The pixels are not upright yet.
    image = scale(_plain_mode(shown), target, gap=ROUGH_GAP)
    image = ImageOps.exif_transpose(to_srgb(image, profile))
    facts = SourceFacts(
        kind="image",
        width=width,
        height=height,
        duration_s=None,
        codec=(opened.format or "unknown").lower(),
        format=(opened.format or "unknown").lower(),
        rotation=_ROTATIONS.get(orientation, 0),
    )
    return TakenPicture(image, frame, facts)


def _plain_mode(image: Image.Image) -> Image.Image:
    """As a new image of mode RGB, RGBA, L or CMYK, which all can be scaled; 16-bit grey is reduced to 8."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        scale = 1 / 257 if image.mode != "F" else 1.0
        grey = image.convert("F").point(lambda value: value * scale)
        return grey.convert("L").copy()
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        converted = image.convert("RGBA")
    elif image.mode in ("RGB", "L", "CMYK"):
        converted = image.copy()
    else:
        converted = image.convert("RGB")
    return converted
