"""Colours as a browser expects them: sRGB, eight bits."""

import io
from typing import Final

from PIL import Image, ImageCms

_SRGB: Final = ImageCms.createProfile("sRGB")
_MAX_PROFILE_BYTES: Final = 4 * 1024**2


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """`image` in mode RGB or RGBA, converted by its embedded ICC profile where that can be used."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    opaque = image.convert("RGB") if alpha is not None else image
    converted = _converted(opaque, profile) if profile and len(profile) <= _MAX_PROFILE_BYTES else None
    result = converted if converted is not None else opaque.convert("RGB")
    if alpha is not None:
        result.putalpha(alpha)
    exif = image.info.get("exif")
    if exif is not None:
        result.info["exif"] = exif  # the orientation is read from it, and nothing else
    return result


def _converted(image: Image.Image, profile: bytes) -> Image.Image | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None  # a broken profile, or one for another kind of pixels: the plain numbers are the best guess
