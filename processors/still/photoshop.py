"""Photoshop documents as their composite picture alone: without layers, and without channels that are no colours.
Large ones (PSB) are made ordinary ones by that: only lengths are longer in them.

Source: Adobe Photoshop File Formats Specification. Pillow 13 looks for the pixels of a compressed composite in a wrong place where
there are more channels than colours, and takes a kept selection for transparency.
"""

import struct
from typing import Final

import numpy as np
from PIL import Image

from processors.still.ffmpeg import light_to_srgb

_HEADER: Final = struct.Struct(">4sH6xHLLHH")
_COLOURS: Final = {0: 1, 1: 1, 2: 1, 3: 3, 4: 4, 8: 1, 9: 3}
"""By colour mode: bitmap, grey, indexed, RGB, CMYK, duotone, Lab."""
_RGB: Final = 3
_LIGHT: Final = (1, 3)
"""The modes that there are in 32 bits."""
_FLOAT_BITS: Final = 32
_DEEP_BITS: Final = 16
_TRANSPARENT: Final = struct.pack(">LLhxx", 8, 4, -1)
"""A part for layers with a negative number of them and nothing else: by which FFmpeg, too, knows that there is transparency."""
_MOST_CHANNELS: Final = 56
_RAW, _RUN_LENGTHS = 0, 1
_ORDINARY, _LARGE = 1, 2
_LONGEST_ROW: Final = 0xFFFF


def composite_alone(content: bytes) -> bytes:
    """Return the document with its colours, and its transparency where it has some; as it is where its structure is not understood."""
    if len(content) < _HEADER.size or not content.startswith(b"8BPS"):
        return content
    magic, version, channels, height, width, bits, mode = _HEADER.unpack_from(content)
    colours = _COLOURS.get(mode, 0)
    layers_at = _HEADER.size
    for _ in range(2):  # colour table, resources
        layers_at += 4 + int.from_bytes(content[layers_at : layers_at + 4])
    longer = version == _LARGE
    length_bytes, count_bytes = (8, 4) if longer else (4, 2)
    pixels_at = layers_at + length_bytes + int.from_bytes(content[layers_at : layers_at + length_bytes])
    compression = int.from_bytes(content[pixels_at : pixels_at + 2])
    if (
        not 0 < colours <= channels <= _MOST_CHANNELS
        or version not in (_ORDINARY, _LARGE)
        or compression not in (_RAW, _RUN_LENGTHS)
        or bits not in (1, 8, 16)
    ):
        return content
    layers = content[layers_at : layers_at + 2 * length_bytes + 2]
    is_transparent = mode == _RGB and channels > colours and _has_transparency(layers, length_bytes)
    kept = colours + is_transparent
    pixels = content[pixels_at + 2 :]
    if compression == _RAW:
        pixels = pixels[: kept * height * ((width * bits + 7) // 8)]
    else:
        counts_bytes = count_bytes * channels * height
        lengths, data = pixels[:counts_bytes], pixels[counts_bytes:]
        code = "L" if longer else "H"
        counts = struct.unpack(
            f">{len(lengths) // count_bytes}{code}", lengths[: len(lengths) // count_bytes * count_bytes]
        )
        counts = counts[: kept * height]
        if max(counts, default=0) > _LONGEST_ROW:
            return content
        pixels = struct.pack(f">{len(counts)}H", *counts) + data[: sum(counts)]
    head = _HEADER.pack(magic, _ORDINARY, kept, height, width, bits, mode)
    no_layers = _TRANSPARENT if is_transparent and bits == _DEEP_BITS else bytes(4)
    return head + content[_HEADER.size : layers_at] + no_layers + struct.pack(">H", compression) + pixels


def without_white(composite: Image.Image) -> Image.Image:
    """Return a composite with transparency as it was painted: Photoshop stores what shows through as white in its colours.

    One of another mode than RGBA is returned as it is.
    """
    if composite.mode != "RGBA" or composite.getchannel("A").getextrema() == (255, 255):
        return composite
    pixels = np.asarray(composite).copy()
    is_seen = (pixels[..., 3] > 0) & (pixels[..., 3] < 255)
    part = pixels[is_seen].astype(np.int32)
    alpha = part[:, 3:]
    part[:, :3] = np.clip((255 * (part[:, :3] + alpha - 255) + alpha // 2) // alpha, 0, 255)
    pixels[is_seen] = part.astype(np.uint8)
    return Image.fromarray(pixels)


def decode_floats(content: bytes, max_pixels: int) -> Image.Image | None:
    """Return the composite of a document of 32 bits, whose floats are light, as sRGB; None where the document is another one."""
    if len(content) < _HEADER.size or not content.startswith(b"8BPS"):
        return None
    _, version, channels, height, width, bits, mode = _HEADER.unpack_from(content)
    colours = _COLOURS.get(mode, 0) if mode in _LIGHT else 0
    if bits != _FLOAT_BITS or not 0 < colours <= channels or not 0 < width * height <= max_pixels:
        return None
    at = _pixels_at(content, version)
    if int.from_bytes(content[at : at + 2]) != _RAW:
        return None
    wanted = 4 * colours * height * width
    data = content[at + 2 : at + 2 + wanted]
    if len(data) < wanted:
        return None
    planes = np.frombuffer(data, ">f4").reshape(colours, height, width)
    return Image.fromarray(light_to_srgb(np.moveaxis(np.broadcast_to(planes, (_COLOURS[_RGB], height, width)), 0, 2)))


def _pixels_at(content: bytes, version: int) -> int:
    """Return where the composite begins: behind the colour table, the resources and the layers."""
    at = _HEADER.size
    for length_bytes in (4, 4, 8 if version == _LARGE else 4):
        at += length_bytes + int.from_bytes(content[at : at + length_bytes])
    return at


def _has_transparency(layers: bytes, length_bytes: int) -> bool:
    """Return whether the number of layers is negative: the first channel behind the colours is the composite's transparency then."""
    has_layers = len(layers) == 2 * length_bytes + 2 and any(layers[:length_bytes]) and any(layers[length_bytes:-2])
    return has_layers and int.from_bytes(layers[-2:], signed=True) < 0
