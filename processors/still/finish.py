"""From a picture's stored pixels to one that renditions are made of: scaled, in sRGB, upright."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from PIL import Image

from processors.colour.convert import PictureColours, to_srgb
from processors.orientation import Turn, clockwise, swaps_sides
from processors.output.geometry import ROUGH_GAP, needed_size, scale
from processors.output.render import wants_planes
from processors.planes import YuvPicture, turned
from processors.readers import reading
from processors.still.decode import plain_mode
from processors.types import DecodedFrame, Frame, SourceFacts, ThumbnailSpec

WHOLE: Final = "image"
DAMAGED: Final = "image-damaged"
"""A part of the picture is missing: its place is transparent, or grey in a JPEG."""
PREVIEW: Final = "image-preview"
"""A picture that the file holds beside its own, as raw camera files do."""


@dataclass(frozen=True)
class StoredPicture:
    """A picture by another reader than Pillow's strict ones. `method` says how it came about, `shown` which part is there."""

    image: Image.Image
    codec: str
    method: str = WHOLE
    colours: PictureColours = field(default_factory=PictureColours)
    turn: Turn | None = None


def finish(stored: StoredPicture, spec: ThumbnailSpec) -> DecodedFrame:
    """Return the frame, called degraded where a part is missing. Raises DamagedMediaError."""
    width, height = stored.image.size
    target = needed_size(width, height, spec.renditions, is_turned=swaps_sides(stored.turn))
    with reading("picture"):
        plain = plain_mode(stored.image)
    image = scaled_srgb_picture(plain, target, stored.colours, spec)
    if stored.turn is not None:
        image = turned(image, stored.turn)
    facts = SourceFacts("image", width, height, None, stored.codec, stored.codec, clockwise(stored.turn))
    return DecodedFrame(image, Frame(None, stored.method), facts, degraded=stored.method == DAMAGED)


def scaled_srgb_picture(
    stored: Image.Image, target: tuple[int, int], colours: PictureColours, spec: ThumbnailSpec
) -> Image.Image | YuvPicture:
    """Return the stored pixels in sRGB, as large as `target`: in planes where they are sRGB and opaque, and the format is for it."""

    def draw_rgb() -> Image.Image:
        # Reduced first: colours are then converted on few pixels.
        return to_srgb(scale(stored, target, gap=ROUGH_GAP), colours)

    if stored.mode != "RGB" or stored.size == target or not colours.is_srgb or not wants_planes(spec):
        return draw_rgb()
    return YuvPicture.from_rgb(stored, target, draw_rgb)


def without_rows(image: Image.Image, shown: float) -> Image.Image:
    """Return the picture with only the upper part `shown` to be seen, as browsers leave the rest empty."""
    seen = np.asarray(image.convert("RGBA")).copy()
    seen[round(image.height * shown) :, :, 3] = 0
    return Image.fromarray(seen)


def blank_share(image: Image.Image) -> float:
    """Return the share of the rows, from the last one up, that have one and the same colour: what a decoder leaves that gave up."""
    with reading("picture"):
        values = np.asarray(plain_mode(image).convert("RGBA"))
    rows = (values == values[-1, -1]).all(axis=(1, 2))
    differing = np.flatnonzero(~rows)
    return 1.0 - (float(differing[-1]) + 1) / len(rows) if len(differing) else 1.0


def share_of_rows(image: Image.Image) -> float:
    """Return the share of the rows of a GIF that are not empty: those that came before it was cut."""
    values = np.asarray(image)
    return float(values.reshape(len(values), -1).any(axis=1).mean())


def fill_rows(image: Image.Image) -> Image.Image:
    """Return the picture with its empty rows filled from the row above, as browsers do while the passes of a GIF come in."""
    values = np.asarray(image)
    is_there = values.reshape(len(values), -1).any(axis=1)
    above = np.maximum.accumulate(np.where(is_there, np.arange(len(values)), 0))
    filled = image.copy()
    filled.frombytes(np.ascontiguousarray(values[above]).tobytes())
    return filled
