"""One picture out of a video: PyAV where that reads less, OpenCV where PyAV finds nothing or is not wanted."""

from dataclasses import dataclass

from PIL import Image

from processors.types import Frame, SourceFacts


@dataclass(frozen=True)
class VideoPicture:
    """An upright picture with square pixels, at least as large as the largest rendition where the video is."""

    image: Image.Image
    frame: Frame
    facts: SourceFacts
    degraded: bool = False
