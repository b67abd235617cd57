"""Photoshop documents as their composite picture alone: without layers, and without channels that are no colours.

Source: Adobe Photoshop File Formats Specification. Pillow 13 looks for the pixels of a compressed composite in a wrong place where
there are more channels than colours, and takes a kept selection for transparency.
"""

import struct
from typing import Final

_HEADER: Final = struct.Struct(">4sH6xHLLHH")
_COLOURS: Final = {0: 1, 1: 1, 2: 1, 3: 3, 4: 4, 8: 1, 9: 3}
"""By colour mode: bitmap, grey, indexed, RGB, CMYK, duotone, Lab."""
_RGB: Final = 3
_MOST_CHANNELS: Final = 56
_RAW, _RUN_LENGTHS = 0, 1


def composite_alone(content: bytes) -> bytes:
    """Return the document with its colours, and its transparency where it has some; as it is where its structure is not understood."""
    if len(content) < _HEADER.size:
        return content
    magic, version, channels, height, width, bits, mode = _HEADER.unpack_from(content)
    colours = _COLOURS.get(mode, 0)
    layers_at = _HEADER.size
    for _ in range(2):  # colour table, resources
        layers_at += 4 + int.from_bytes(content[layers_at : layers_at + 4])
    pixels_at = layers_at + 4 + int.from_bytes(content[layers_at : layers_at + 4])
    compression = int.from_bytes(content[pixels_at : pixels_at + 2])
    if (
        not 0 < colours <= channels <= _MOST_CHANNELS
        or compression not in (_RAW, _RUN_LENGTHS)
        or bits not in (1, 8, 16)
    ):
        return content
    is_transparent = mode == _RGB and channels > colours and _has_transparency(content[layers_at : layers_at + 10])
    kept = colours + is_transparent
    pixels = content[pixels_at + 2 :]
    if compression == _RAW:
        pixels = pixels[: kept * height * ((width * bits + 7) // 8)]
    else:
        lengths, data = pixels[: 2 * channels * height], pixels[2 * channels * height :]
        counts = struct.unpack(f">{len(lengths) // 2}H", lengths[: len(lengths) // 2 * 2])[: kept * height]
        pixels = lengths[: 2 * kept * height] + data[: sum(counts)]
    head = _HEADER.pack(magic, version, kept, height, width, bits, mode)
    return head + content[_HEADER.size : layers_at] + bytes(4) + struct.pack(">H", compression) + pixels


def _has_transparency(layers: bytes) -> bool:
    """Return whether the number of layers is negative: the first channel behind the colours is the composite's transparency then."""
    has_layers = len(layers) == 10 and any(layers[:4]) and any(layers[4:8])
    return has_layers and int.from_bytes(layers[8:10], signed=True) < 0
