"""Colours as a browser expects them: sRGB, eight bits."""

import io
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from PIL import Image, ImageChops, ImageCms

from processors.colour.linear_light import NO_CHANGE, SRGB_LIGHT, Matrix, into_gamut, to_codes
from processors.colour.tone_map import tone_map

Curve = Literal["srgb", "pq", "hlg"] | float
"""How light became numbers; a number is a plain exponent, as 2.2."""

_SRGB: Final = ImageCms.createProfile("sRGB")
_LAB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))


@dataclass(frozen=True)
class PictureColours:
    """How to get sRGB: by `profile` where there is one, else by `curve` and `gamut` (None: sRGB's)."""

    profile: bytes | None = None
    curve: Curve = "srgb"
    gamut: Matrix | None = None

    @property
    def is_srgb(self) -> bool:
        """Return whether there is nothing to do, or nothing known that could be done."""
        return self.profile is None and self.curve == "srgb" and self.gamut is None


def to_srgb(image: Image.Image, colours: PictureColours) -> Image.Image:
    """Return a new image of mode RGB or RGBA, without metadata, of one in mode RGB, RGBA, L, CMYK or LAB."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    opaque = image.convert("RGB") if alpha is not None else image
    converted = _by_profile(opaque, colours.profile) if colours.profile or image.mode == "LAB" else None
    if converted is None:
        converted = _by_curve(opaque if opaque.mode == "RGB" else _plain_rgb(opaque), colours)
    if alpha is not None and alpha.getextrema() != (255, 255):
        converted.putalpha(alpha)  # one that hides nothing only costs
    converted.info = {}
    return converted


def _by_profile(image: Image.Image, content: bytes | None) -> Image.Image | None:
    """By the picture's profile, in its own numbers: ink is not made RGB before. None where the profile is of no use."""
    try:
        space = content[16:20] if content else b"Lab "
        fitting = _in_space(image, space)
        source = _LAB if space == b"Lab " else ImageCms.ImageCmsProfile(io.BytesIO(content or b""))
        return None if fitting is None else ImageCms.profileToProfile(fitting, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None  # broken: the plain numbers are the best guess


def _in_space(image: Image.Image, space: bytes) -> Image.Image | None:
    """Return the image in the mode that a profile of this colour space is for; None where it is for other pictures."""
    if space == b"GRAY" and image.mode == "RGB":
        red, green, blue = image.split()
        is_grey = not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(red, blue).getbbox())
        return red if is_grey else None
    if space == b"RGB " and image.mode == "L":
        return image.convert("RGB")
    modes = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK", b"Lab ": "LAB"}
    return image if modes.get(space) == image.mode else None


def _plain_rgb(image: Image.Image) -> Image.Image:
    return image.getchannel("L").convert("RGB") if image.mode == "LAB" else image.convert("RGB")


def _by_curve(image: Image.Image, colours: PictureColours) -> Image.Image:
    """By the curve and the gamut that the file names."""
    curve, gamut = colours.curve, colours.gamut
    if curve == "srgb" and gamut is None:
        return image.copy()
    codes = np.asarray(image)
    matrix = NO_CHANGE if gamut is None else gamut
    if curve in ("pq", "hlg"):
        return Image.fromarray(tone_map(codes.astype(np.uint16) * 257, curve, matrix))
    table = SRGB_LIGHT if curve == "srgb" else ((np.arange(256) / 255) ** float(curve)).astype(np.float32)
    return Image.fromarray(to_codes(into_gamut(table[codes], matrix)))
