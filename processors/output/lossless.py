"""Which renditions are worth a lossless encoding: icons, codes, pixel art and flat drawings, of which lossy ones smear the colours.

WebP's lossy kind stores colours at half the resolution: a red line of one pixel comes out brown. Its lossless kind spends
bytes where a pixel repeats neither the one beside it nor the one above: on few of a drawing's, on most of a photograph's.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.types import PictureFormat

OPTIONS: Final[dict[PictureFormat, dict[str, Any]]] = {
    # Half of all effort halves the size of antialiased drawings against a quarter of it, at twice its time.
    PictureFormat.WEBP: {"lossless": True, "method": 2, "quality": 50},
}
"""For Pillow's encoder, of the formats in which drawings gain by it."""

_SAMPLED_ROWS: Final = 12
_BYTES_A_NEW_PIXEL: Final = 0.6
"""Half to twice a byte was measured of drawings. Lossy files of photographs have 0.02 to 0.35 of them at quality 80."""
_MOSTLY_FLAT: Final = 0.5
"""Share of new pixels: up to 0.4 in drawings of many colours, from 0.3 to 0.9 in photographs, of which files of high quality have
bytes enough to pass the first question."""
_MOSTLY_FLAT_IN_LUMA: Final = 0.7
_FEW_COLOURS: Final = 64
_TINY_PIXELS: Final = 64 * 64
_MOST_LARGER: Final = 1.25
_SPARE_BYTES: Final = 512
"""Hardly larger is a quarter more, or this many bytes."""


def may_be_cheap(image: Image.Image, lossy_bytes: int) -> bool:
    """Return whether it is worth trying to encode the picture (RGB or RGBA) losslessly, by a look at a few of its rows."""
    share = _share_of_new_pixels(image)
    pixels = image.width * image.height
    if lossy_bytes < _BYTES_A_NEW_PIXEL * share * pixels:
        return False
    return pixels <= _TINY_PIXELS or share <= _MOSTLY_FLAT or image.getcolors(_FEW_COLOURS) is not None


def may_be_cheap_by_luma(luma: NDArray[np.uint8], lossy_bytes: int) -> bool:
    """Return whether may_be_cheap() may hold of the picture with this luma (height x width): a quicker question, asked before it.

    The luma is of another scaler, which leaves fine ripples beside edges: there may be twice as many new pixels as in RGB.
    """
    height, width = luma.shape
    if width * height <= _TINY_PIXELS or width < 2 or height < 2:
        return True
    below = np.linspace(1, height - 1, min(_SAMPLED_ROWS, height - 1)).astype(np.intp)
    rows = luma[below]
    share = _share_of_new(rows, luma[below - 1])
    if 2 * lossy_bytes < _BYTES_A_NEW_PIXEL * share * width * height:
        return False
    return share <= _MOSTLY_FLAT_IN_LUMA or int(np.count_nonzero(np.bincount(rows.ravel()))) <= _FEW_COLOURS


def is_cheap(lossless_bytes: int, lossy_bytes: int) -> bool:
    """Return whether the lossless file is smaller than the lossy one, or hardly larger."""
    return lossless_bytes <= max(lossy_bytes * _MOST_LARGER, lossy_bytes + _SPARE_BYTES)


def _share_of_new_pixels(image: Image.Image) -> float:
    """Return which share of the pixels, in a sample of rows, equals neither the one to the left nor the one above."""
    width, height = image.size
    if width < 2 or height < 2:
        return 0.0
    count = min(_SAMPLED_ROWS, height - 1)
    above = _rows(image, count, (0, 0, width, height - 1))
    rows = _rows(image, count, (0, 1, width, height))
    return _share_of_new(rows, above)


def _share_of_new(rows: NDArray[Any], above: NDArray[Any]) -> float:
    new = (rows[:, 1:] != rows[:, :-1]) & (rows[:, 1:] != above[:, 1:])
    return int(np.count_nonzero(new)) / int(new.size)


def _rows(image: Image.Image, count: int, box: tuple[int, int, int, int]) -> NDArray[Any]:
    """Return so many rows of the box, spread over it, each pixel as one number."""
    rows = image.resize((image.width, count), Image.Resampling.NEAREST, box)
    return np.frombuffer(rows.convert("RGBA").tobytes(), np.uint32).reshape(count, image.width)
