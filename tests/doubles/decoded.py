"""What a decoded picture shows, whichever way it holds its pixels."""

from PIL import Image

from processors.planes import YuvPicture
from processors.types import DecodedFrame


def shown_by(decoded: DecodedFrame) -> Image.Image:
    """Return its pixels in mode RGB or RGBA, as its renditions are made of them."""
    return decoded.image.rgb() if isinstance(decoded.image, YuvPicture) else decoded.image
