"""What every way of taking a picture gives back."""

from dataclasses import dataclass

from PIL import Image

from processors.types import Frame, SourceFacts


@dataclass(frozen=True)
class TakenPicture:
    """An upright picture with square pixels, in mode RGB or RGBA, scaled down to what the largest rendition needs."""

    image: Image.Image
    frame: Frame
    facts: SourceFacts
    degraded: bool = False
