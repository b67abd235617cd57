"""One upright sRGB picture out of a photograph, by Pillow."""

import warnings
from typing import IO, cast

from PIL import Image, ImageOps, UnidentifiedImageError

from processors.colour import to_srgb
from processors.geometry import fit, largest_box
from processors.picture_decode import decode_reduced, exif_of
from processors.sniff import HEAD_BYTES, sniff_kind
from processors.source_file import SourceFile
from processors.taken import TakenPicture
from processors.types import Frame, SourceFacts, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError

_ROTATIONS = {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}
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
    if width * height > spec.max_pixels:
        raise PermanentError(
            ErrorCode.MEDIA_TOO_MANY_PIXELS,
            f"The picture has {width}x{height} pixels; at most {spec.max_pixels} are decoded.",
        )
    orientation = exif_of(opened, file).get(_ORIENTATION_TAG, 1)
    box = _box(orientation, spec)
    profile = opened.info.get("icc_profile")
    target = fit(width, height, *box)
    image = decode_reduced(opened, file, target) or _decode(opened, file, target)
    # Reduce first: colours are then converted on few pixels. The box is the turned one, as the pixels are not upright yet.
    image.thumbnail(box, Image.Resampling.LANCZOS, reducing_gap=2.0)
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
    return TakenPicture(image, Frame(None, "image"), facts)


def _decode(opened: Image.Image, file: SourceFile, target: tuple[int, int]) -> Image.Image:
    """The picture by Pillow, whatever it is; in a mode that can be scaled."""
    if opened.format == "JPEG":
        # The decoder itself halves the size as often as it may, which is most of the speed; a little more than the
        # target leaves work for the better filter of the last step.
        opened.draft("RGB", (target[0] * 5 // 4, target[1] * 5 // 4))
    file.expect_whole()
    opened.load()
    return _plain_mode(opened)


def _box(orientation: object, spec: ThumbnailSpec) -> tuple[int, int]:
    width, height = largest_box(spec.renditions)
    return (height, width) if orientation in (5, 6, 7, 8) else (width, height)


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
