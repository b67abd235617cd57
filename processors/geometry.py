"""Sizes: square pixels, and boxes that pictures are fitted into."""

from fractions import Fraction

from processors.types import RenditionSpec


def square_size(width: int, height: int, sample_aspect: Fraction | None) -> tuple[int, int]:
    """Size in square pixels: the longer way is stretched, so that no detail is lost. Absurd ratios are ignored."""
    if not sample_aspect or sample_aspect <= 0 or sample_aspect == 1 or not Fraction(1, 10) < sample_aspect < 10:
        return width, height
    if sample_aspect > 1:
        return max(1, round(width * sample_aspect)), height
    return width, max(1, round(height / sample_aspect))


def fit(width: int, height: int, box_width: int, box_height: int) -> tuple[int, int]:
    """The largest size with the same aspect inside the box; never larger than the picture, never below 1 pixel."""
    scale = min(box_width / width, box_height / height, 1.0)
    return max(1, round(width * scale)), max(1, round(height * scale))


def largest_box(renditions: tuple[RenditionSpec, ...]) -> tuple[int, int]:
    """A box that holds every rendition."""
    return max(spec.width for spec in renditions), max(spec.height for spec in renditions)
