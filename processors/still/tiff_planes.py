"""Uncompressed TIFFs with a plane for each colour, of 16 or 32 bits: Pillow takes the bytes of such planes for pixels of eight bits,
and OpenCV mixes them up.
"""

from typing import Any, Final

import numpy as np

from processors.still import tiff_tags as tags

_UNCOMPRESSED: Final = 1
_IN_PLANES: Final = 2
_CLASSIC: Final = {b"II*\0": "<", b"MM\0*": ">"}
_BYTES: Final = {16: 2, 32: 4}


def is_misread(opened: Any) -> bool:
    """Return whether Pillow, which has opened the TIFF, would show noise, or its tiles as strips."""
    if tags.TILE_WIDTH in opened.tag_v2 and tags.TILE_OFFSETS not in opened.tag_v2:
        return True
    tile = opened.tile[0] if opened.tile else None
    bits = opened.tag_v2.get(tags.BITS, (8,))
    return (
        tile is not None and tile.codec_name == "raw" and opened.tag_v2.get(tags.PLANAR) == _IN_PLANES and max(bits) > 8
    )


def in_pixels(content: bytes, found: tags.Tags) -> tuple[bytes, dict[int, tuple[int, ...]]] | None:
    """Return the values pixel by pixel, and the tags that say so where they are put behind the file; None for all other files."""
    order, samples = _CLASSIC.get(content[:4]), tags.one(found, tags.SAMPLES, 1)
    width, height = tags.one(found, tags.WIDTH), tags.one(found, tags.HEIGHT)
    size, offsets = _BYTES.get(tags.one(found, tags.BITS)), found.get(tags.STRIP_OFFSETS, ())
    is_such = (tags.one(found, tags.COMPRESSION, 1), tags.one(found, tags.PLANAR)) == (_UNCOMPRESSED, _IN_PLANES)
    if not is_such or order is None or size is None or samples < 2 or not offsets or len(offsets) % samples:
        return None
    strips = [content[at : at + length] for at, length in zip(offsets, found.get(tags.STRIP_BYTES, ()), strict=False)]
    count = len(offsets) // samples
    planes = []
    for number in range(samples):
        plane = b"".join(strips[number * count : (number + 1) * count])[: width * height * size]
        if len(plane) < width * height * size:
            return None
        planes.append(np.frombuffer(plane, f"{order}u{size}"))
    values = np.stack(planes, axis=1).astype(f"{order}u{size}").tobytes()  # NumPy stacks in the machine's own order
    changed = {
        tags.PLANAR: 1,
        tags.STRIP_OFFSETS: len(content),
        tags.STRIP_BYTES: len(values),
        tags.ROWS_PER_STRIP: height,
    }
    return values, {number: (value,) for number, value in changed.items()}
