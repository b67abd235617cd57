"""JPEG 2000 at a part of its size: the file holds smaller resolutions, each half as large as the one before."""

import math
from typing import Final

from PIL import Image

from processors.source_file import SourceFile

_HEAD_BYTES: Final = 65536
_CODESTREAM, _CODING_STYLE = b"\xff\x4f\xff\x51", b"\xff\x52\0"
_LEVELS_AT, _MOST_LEVELS = 9, 32
"""Behind the marker: its length, its style, an order, the number of layers, a flag; then the levels."""
_PLACE: Final = slice(16, 24)
"""From the codestream's beginning: where on its grid the picture begins."""
_COUNT_AT, _COMPONENT_BYTES = 40, 3
"""How many components there are, in two bytes; and of each its depth, and how many columns and rows of the grid a value is for."""
_SPARE: Final = 5 / 4
"""More than the target, for the better filter of the last step."""


def reduce_jpeg_2000(opened: Image.Image, file: SourceFile, target: tuple[int, int]) -> tuple[int, int]:
    """Have a picture that Pillow has opened, and not loaded, decoded at a smaller resolution that is at least 5/4 of `target`.

    Returns its size then. `file` is left where it was.
    """
    factor = min(opened.width / target[0], opened.height / target[1]) / _SPARE
    halvings = min(_halvings_of(file), int(math.log2(factor)) if factor >= 1 else 0)
    if halvings:
        opened.reduce = halvings  # type: ignore[method-assign, assignment]
    return -(-opened.width >> halvings), -(-opened.height >> halvings)


def has_uneven_colours(opened: Image.Image, file: SourceFile) -> bool:
    """Return whether the last column or row has colours for more of them than there are: Pillow shears the colours then."""
    steps = _steps(_codestream(file))
    return any(opened.width % across or opened.height % down for across, down in steps if across and down)


def _halvings_of(file: SourceFile) -> int:
    """Return how many smaller resolutions there are, by the marker COD; 0 where it is not found.

    Also where colours have fewer values than brightness, or the picture does not begin at the grid's corner: in the smaller ones a
    row may be of another length then than Pillow takes it to be, which shears the colours.
    """
    codestream = _codestream(file)
    at = codestream.find(_CODING_STYLE)
    if any(codestream[_PLACE]) or any(steps != (1, 1) for steps in _steps(codestream)):
        return 0
    if not 0 < at < len(codestream) - _LEVELS_AT or codestream[at + _LEVELS_AT] > _MOST_LEVELS:
        return 0
    return codestream[at + _LEVELS_AT]


def _codestream(file: SourceFile) -> bytes:
    """Return its beginning; `file` is left where it was."""
    position = file.tell()
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(position)
    return head[max(0, head.find(_CODESTREAM)) :]


def _steps(codestream: bytes) -> list[tuple[int, int]]:
    """Return of each component how many columns and rows of the grid a value is for."""
    first = _COUNT_AT + 2
    sizes = codestream[first : first + _COMPONENT_BYTES * int.from_bytes(codestream[_COUNT_AT:first])]
    return list(zip(sizes[1::_COMPONENT_BYTES], sizes[2::_COMPONENT_BYTES], strict=False))
