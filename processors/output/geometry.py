"""Sizes: square pixels, boxes that pictures are fitted into, and scaling down to them."""

from fractions import Fraction
from typing import Final

from PIL import Image

from processors.types import RenditionSpec

_REDUCING_GAP: Final = 3.0
"""Whole pixels are averaged down to three times the size first, the rest is for the better filter: no eye sees it."""
ROUGH_GAP: Final = 2.0
"""The same for a step that another follows: two thirds of the time."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels of the picture."""


def square_size(width: int, height: int, sample_aspect: Fraction | None) -> tuple[int, int]:
    """Size in square pixels: the longer way is stretched, so that no detail is lost. Absurd ratios are ignored."""
    if not sample_aspect or sample_aspect <= 0 or sample_aspect == 1 or not Fraction(1, 10) < sample_aspect < 10:
        return width, height
    if sample_aspect > 1:
        return max(1, round(width * sample_aspect)), height
    return width, max(1, round(height / sample_aspect))


def fit(width: int, height: int, box_width: int, box_height: int) -> tuple[int, int]:
    """Return the largest size with the same aspect inside the box; never larger than the picture, never below 1 pixel."""
    scale = min(box_width / width, box_height / height, 1.0)
    return max(1, round(width * scale)), max(1, round(height * scale))


def fill(
    width: int, height: int, box_width: int, box_height: int
) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
    """Size and source rectangle (left, top, right, bottom) of the middle of a picture, with the aspect of the box.

    Return the size of the box, or, for a smaller picture, the largest size that it allows.
    """
    aspect = box_width / box_height
    crop_width, crop_height = min(float(width), height * aspect), min(float(height), width / aspect)
    scale = min(1.0, crop_width / box_width)
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    size = max(1, round(box_width * scale)), max(1, round(box_height * scale))
    return size, (left, top, left + crop_width, top + crop_height)


def needed_size(
    width: int, height: int, renditions: tuple[RenditionSpec, ...], *, is_turned: bool = False
) -> tuple[int, int]:
    """Return the smallest size with the same aspect that every rendition can be made from without upscaling; never a larger one.

    `is_turned`: the picture, in square pixels, lies on its side, and is turned upright only after it was scaled.
    """
    scales = []
    for spec in renditions:
        across, down = (spec.height, spec.width) if is_turned else (spec.width, spec.height)
        both = across / width, down / height
        scales.append(max(both) if spec.mode == "fill" else min(both))
    scale = min(1.0, max(scales))
    return max(1, round(width * scale)), max(1, round(height * scale))


def scale(image: Image.Image, size: tuple[int, int], box: Box | None = None, gap: float = _REDUCING_GAP) -> Image.Image:
    """Return the picture, or what of it is in `box`, as large as `size`; of the modes RGB, RGBA, L or CMYK."""
    if box is None and image.size == size:
        return image
    if image.mode != "RGBA":
        return image.resize(size, Image.Resampling.LANCZOS, box, gap)
    # Premultiplied: what is transparent has a colour too, and must not run into its neighbours.
    premultiplied = image.convert("RGBa").resize(size, Image.Resampling.LANCZOS, box, gap)
    return premultiplied.convert("RGBA")
