"""Radiance pictures with the one header that FFmpeg follows."""

import re
from typing import Final

from processors.orientation import EXIF_TURNS, Turn

_HEADER_BYTES: Final = 4096
_SIZE: Final = re.compile(rb"\n\n([-+][XY]) (\d{1,9}) ([-+][XY]) (\d{1,9})\n")
_ORIENTATIONS: Final = {
    (b"-Y", b"+X"): 1,
    (b"-Y", b"-X"): 2,
    (b"+Y", b"-X"): 3,
    (b"+Y", b"+X"): 4,
    (b"+X", b"-Y"): 5,
    (b"-X", b"-Y"): 6,
    (b"-X", b"+Y"): 7,
    (b"+X", b"+Y"): 8,
}
"""EXIF's number for where rows and columns go; Y counts from the lowest row up."""
_PLAIN: Final = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe"


def with_plain_header(content: bytes) -> bytes:
    """Return a Radiance picture under its usual name, without notes about its making; all else as it is."""
    if not content.startswith((b"#?RADIANCE", b"#?RGBE")):
        return content
    size = _SIZE.search(content[:_HEADER_BYTES])
    if size is None or b"xyze" in content[: size.start()]:
        return content
    return _PLAIN + b"\n\n-Y %s +X %s\n" % (size[2], size[4]) + content[size.end() :]


def turn_of_rows(content: bytes) -> Turn | None:
    """Return what makes a Radiance picture upright whose rows go elsewhere than from the top down; FFmpeg knows of no other."""
    size = _SIZE.search(content[:_HEADER_BYTES]) if content.startswith((b"#?RADIANCE", b"#?RGBE")) else None
    return None if size is None else EXIF_TURNS.get(_ORIENTATIONS.get((size[1], size[3]), 1))
