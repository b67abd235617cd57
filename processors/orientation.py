"""Which way up: the eight ways a picture can be stored, by EXIF's number or by a container's display matrix."""

from collections.abc import Sequence
from typing import Final

from PIL import Image

Turn = Image.Transpose | None
"""What makes a stored picture upright; None where it is already."""

EXIF_TURNS: Final[dict[int, Image.Transpose]] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By the value of EXIF's Orientation; Pillow turns counter-clockwise."""

_CLOCKWISE: Final = {
    Image.Transpose.ROTATE_180: 180,
    Image.Transpose.FLIP_TOP_BOTTOM: 180,
    Image.Transpose.TRANSPOSE: 90,
    Image.Transpose.ROTATE_270: 90,
    Image.Transpose.TRANSVERSE: 270,
    Image.Transpose.ROTATE_90: 270,
}


def clockwise(turn: Turn) -> int:
    """Return the degrees of the rotation; of a mirrored picture, those after a flip from left to right."""
    return 0 if turn is None else _CLOCKWISE.get(turn, 0)


def swaps_sides(turn: Turn) -> bool:
    """Return whether width and height change places."""
    return clockwise(turn) in (90, 270)


def turn_of_angle(degrees: float) -> Turn:
    """Return the turn of a clockwise rotation, rounded to a right angle."""
    return (None, Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90)[
        round(degrees / 90) % 4
    ]


def turn_of_matrix(matrix: Sequence[int]) -> Turn:
    """Return the turn of the matrix (a b u c d v x y w), which maps a point to (a*x + c*y, b*x + d*y), as ISO 14496-12 has it.

    Turns between the right angles are taken as the nearest one, and what is no matrix as none.
    """
    if len(matrix) < 5:
        return None
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return {
            (True, False): Image.Transpose.FLIP_LEFT_RIGHT,
            (False, True): Image.Transpose.FLIP_TOP_BOTTOM,
            (True, True): Image.Transpose.ROTATE_180,
        }.get((a < 0, d < 0))
    return {
        (False, False): Image.Transpose.TRANSPOSE,
        (True, False): Image.Transpose.ROTATE_270,
        (False, True): Image.Transpose.ROTATE_90,
        (True, True): Image.Transpose.TRANSVERSE,
    }[(c < 0, b < 0)]
