"""Lists of renditions: as text in a setting, and which of them stands for the whole."""

import re
from collections.abc import Sequence
from typing import Final, cast

from processors.types import PictureFormat, RenditionMode, RenditionSpec

MAX_RENDITIONS: Final = 16
MAX_SIDE: Final = 4096
"""Pixels. WebP goes up to 16383; nothing of this size is a thumbnail."""
MAX_QUALITY: Final = 100
MAIN_NAME: Final = "medium"
_ENTRY: Final = re.compile(
    r"([a-z0-9_-]{1,32}):([0-9]{1,5})x([0-9]{1,5})(?::(fit|fill))?(?::(webp|jpeg|avif)(?::([0-9]{1,3}))?)?"
)


def parse_renditions(text: str) -> tuple[RenditionSpec, ...]:
    """Return the renditions in `name:WIDTHxHEIGHT[:fit|fill][:FORMAT[:QUALITY]],...`. Raises ValueError that says what is wrong."""
    parsed = tuple(_parse_one(entry.strip()) for entry in text.split(","))
    if len(parsed) > MAX_RENDITIONS:
        raise ValueError(f"{len(parsed)} renditions are too many: give at most {MAX_RENDITIONS}")
    names = [spec.name for spec in parsed]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two renditions have the name {twice[0]!r}")
    return parsed


def _parse_one(entry: str) -> RenditionSpec:
    match = _ENTRY.fullmatch(entry)
    if match is None:
        raise ValueError(
            f"{entry!r} is no rendition: write name:WIDTHxHEIGHT, :fill where the box is to be filled, and :webp, :jpeg or"
            " :avif, with :QUALITY, where it differs from the others; names are of a-z, 0-9, _ and -"
        )
    name, width, height = match[1], int(match[2]), int(match[3])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ValueError(f"{entry!r} has a side that is not from 1 to {MAX_SIDE} pixels")
    picture_format = None if match[5] is None else PictureFormat[match[5].upper()]
    quality = None if match[6] is None else int(match[6])
    if quality is not None and not 1 <= quality <= MAX_QUALITY:
        raise ValueError(f"{entry!r} has a quality that is not from 1 to {MAX_QUALITY}")
    return RenditionSpec(name, width, height, cast(RenditionMode, match[4] or "fit"), picture_format, quality)


def main_index(names: Sequence[str]) -> int:
    """Return the rendition whose URL is the thumbnail's, and whose pixels make the placeholder: `medium`, else the middle one."""
    return names.index(MAIN_NAME) if MAIN_NAME in names else len(names) // 2
