"""Scaling down, without halos around what is transparent."""

from typing import Final

from PIL import Image

_REDUCING_GAP: Final = 3.0
"""Whole pixels are averaged down to three times the size first, the rest is for the better filter: no eye sees it."""
ROUGH_GAP: Final = 2.0
"""The same for a step that another follows: two thirds of the time."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels of the picture."""


def scale(image: Image.Image, size: tuple[int, int], box: Box | None = None, gap: float = _REDUCING_GAP) -> Image.Image:
    """The picture, or what of it is in `box`, as large as `size`; of the modes RGB, RGBA, L or CMYK."""
    if box is None and image.size == size:
        return image
    if image.mode != "RGBA":
        return image.resize(size, Image.Resampling.LANCZOS, box, gap)
    # Premultiplied: what is transparent has a colour too, and must not run into its neighbours.
    premultiplied = image.convert("RGBa").resize(size, Image.Resampling.LANCZOS, box, gap)
    return premultiplied.convert("RGBA")
