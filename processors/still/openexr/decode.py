"""OpenEXR pictures by their luminance and chroma, and deep ones, as light.

Source: OpenEXR's ImfRgbaYca and ImfCompositeDeepScanLine.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.limits import LEAST_SHOWN
from processors.readers import DamagedMediaError
from processors.still.claims import check_held
from processors.still.ffmpeg import light_to_srgb
from processors.still.finish import DAMAGED, WHOLE, StoredPicture, without_rows
from processors.still.openexr import header as exr
from processors.still.openexr.light import Light, in_srgb, luminance_weights, without_multiplied_alpha
from processors.still.openexr.packing import Block, Plane, unpack, unpack_bytes
from processors.types import ThumbnailSpec

_HELD_BYTES: Final = 40
"""Of a pixel: its channels as they are stored, as floats, as light, and as codes."""
_MOST_SAMPLES: Final = 1 << 22
"""Of one row of a deep picture."""
_OPAQUE: Final = 1e-6


def decode_openexr(content: bytes, spec: ThumbnailSpec) -> StoredPicture | None:
    """Return the first picture, in its display window; None where it is none that is read here.

    Raises PermanentError media.corrupt or media.too_many_pixels.
    """
    if not content.startswith(exr.MAGIC):
        return None
    part = exr.read_first_part(content)
    names = set() if part is None else {channel.name for channel in part.channels}
    is_deep = part is not None and part.is_deep and part.compression <= exr.ZIPS
    if part is None or not ({b"R", b"G", b"B"} <= names or b"Y" in names) or (part.is_deep and not is_deep):
        return None
    if is_deep and any((channel.x_step, channel.y_step) != (1, 1) for channel in part.channels):
        raise DamagedMediaError("A channel of the deep picture has fewer pixels than the others.")
    for left, top, right, bottom in (part.data, part.display):
        size = (right + 1 - left, bottom + 1 - top)
        check_held(size, _HELD_BYTES * size[0] * size[1], spec, "an OpenEXR picture of this kind")
    light, rows = _flattened(content, part) if is_deep else _from_planes(content, part)
    if rows < LEAST_SHOWN:
        raise DamagedMediaError("Of the picture nothing can be decoded.")
    shown = Image.fromarray(light_to_srgb(_in_display_window(light, part)))
    if rows == 1:
        return StoredPicture(shown, "exr", WHOLE)
    return StoredPicture(without_rows(shown, rows) if light.shape[2] == 3 else shown, "exr", DAMAGED)


def _blocks(content: bytes, part: exr.Part) -> list[tuple[exr.Cursor, range]]:
    """Return the chunks that are there, each behind the number of its first row, with its rows, down to the first one that is missing."""
    top, bottom = part.data[1], part.data[3]
    found = []
    for number, at in enumerate(part.chunks):
        first = top + number * part.rows
        cursor = exr.Cursor(content, at)
        try:
            marks = cursor.numbers("ii") if part.is_one_of_many else (0, *cursor.numbers("i"))
        except DamagedMediaError:
            break
        if marks != (0, first):
            break
        found.append((cursor, range(first, min(first + part.rows, bottom + 1))))
    return found


def _count(first: int, last: int, step: int) -> int:
    """Return how many multiples of the step there are between two places, both included."""
    return last // step - (first - 1) // step


def _from_planes(content: bytes, part: exr.Part) -> tuple[Light, float]:
    """Return the light, and the share of the rows that is there."""
    left, top, right, bottom = part.data
    widths = tuple(_count(left, right, channel.x_step) for channel in part.channels)
    kept: list[list[Plane]] = [[] for _ in part.channels]
    rows = 0
    for cursor, block in _blocks(content, part):
        try:
            (size,) = cursor.numbers("I")
            planes = unpack(cursor.take(size), Block(part.channels, widths, block), part.compression)
        except DamagedMediaError:
            break
        rows += len(block)
        for plane, planes_of_channel in zip(planes, kept, strict=True):
            planes_of_channel.append(plane)
    height, width = bottom + 1 - top, right + 1 - left
    if not rows:
        return np.zeros((height, width, 3), np.float32), 0.0
    found: dict[bytes, Light] = {}
    for channel, planes in zip(part.channels, kept, strict=True):
        if channel.name in (b"R", b"G", b"B", b"A", b"Y", b"RY", b"BY"):
            stored = np.concatenate(planes).astype(np.float32)
            across = _between(stored, left, width, channel.x_step)
            found[channel.name] = _between(across.T, top, height, channel.y_step).T
    return _as_light(found, part), rows / height


def _between(plane: Light, first: int, count: int, step: int) -> Light:
    """Return `count` columns from those that stand at the multiples of the step: straight lines between them."""
    if step == 1 and plane.shape[1] == count:
        return plane
    at = (first + np.arange(count)) / step - -(-first // step)
    below = np.clip(np.floor(at).astype(np.int64), 0, plane.shape[1] - 1)
    above = np.minimum(below + 1, plane.shape[1] - 1)
    share = np.clip(at - below, 0, 1).astype(np.float32)
    return plane[:, below] * (1 - share) + plane[:, above] * share


def _as_light(planes: dict[bytes, Light], part: exr.Part) -> Light:
    """Return height x width x 3, or 4 with alpha: light of sRGB's gamut."""
    with np.errstate(invalid="ignore", over="ignore"):
        if b"R" in planes:
            colours = [planes[name] for name in (b"R", b"G", b"B")]
        elif b"RY" in planes and b"BY" in planes:
            luminance = planes[b"Y"]
            red, blue = (planes[b"RY"] + 1) * luminance, (planes[b"BY"] + 1) * luminance
            weights = luminance_weights(part.chromaticities)
            colours = [red, (luminance - weights[0] * red - weights[2] * blue) / weights[1], blue]
        else:
            colours = [planes[b"Y"]] * 3
    alpha = [planes[b"A"]] if b"A" in planes else []
    light = np.nan_to_num(np.stack([*colours, *alpha], axis=2), nan=0.0, posinf=65504.0, neginf=0.0)
    return without_multiplied_alpha(light) if alpha else light


def _flattened(content: bytes, part: exr.Part) -> tuple[Light, float]:
    """Return what is seen from the front through the samples of each pixel, and the share of the rows that is there."""
    left, top, right, bottom = part.data
    width, height = right + 1 - left, bottom + 1 - top
    canvas = np.zeros((height, width, 4), np.float32)
    rows = 0
    for cursor, block in _blocks(content, part):
        try:
            lengths = cursor.numbers("3Q")
            counts = np.frombuffer(unpack_bytes(cursor.take(lengths[0]), 4 * width, part.compression), "<i4")
            samples = np.diff(counts, prepend=0)
            total = int(counts[-1])
            if samples.min() < 0 or total > _MOST_SAMPLES:
                break
            size = sum(exr.BYTES[channel.kind] for channel in part.channels) * total
            if lengths[2] != size:
                break
            data = unpack_bytes(cursor.take(lengths[1]), size, part.compression)
        except DamagedMediaError:
            break
        shape = Block(part.channels, (total,) * len(part.channels), block)
        planes = dict(zip((one.name for one in part.channels), unpack(data, shape, exr.NONE), strict=True))
        canvas[block.start - top] = _from_the_front(planes, np.repeat(np.arange(width), samples), width)
        rows += 1
    return without_multiplied_alpha(canvas), rows / height


def _from_the_front(planes: dict[bytes, Plane], pixels: NDArray[np.int64], width: int) -> Light:
    """Return a row, width x 4, of samples whose colours are multiplied with their alpha: the nearest first, each hides what lies behind."""
    values = {name: np.nan_to_num(plane[0].astype(np.float64)) for name, plane in planes.items()}
    order = np.lexsort((values[b"Z"], pixels)) if b"Z" in values else np.arange(len(pixels))
    pixels = pixels[order]
    alpha = np.clip(values[b"A"][order], 0, 1) if b"A" in values else np.ones(len(pixels))
    clear = np.log(np.maximum(1 - alpha, _OPAQUE**2))
    before = np.cumsum(clear) - clear
    first = np.searchsorted(pixels, pixels)
    seen = np.exp(before - before[first]) if len(pixels) else before
    colours = [values[name if b"R" in values else b"Y"][order] for name in (b"R", b"G", b"B")]
    return np.stack([np.bincount(pixels, seen * one, width) for one in (*colours, alpha)], axis=1).astype(np.float32)


def _in_display_window(light: Light, part: exr.Part) -> Light:
    """Return what lies in the display window, and nothing around it; all of the data where they share no pixel."""
    if part.chromaticities is not None:
        light = in_srgb(light, part.chromaticities)
    (left, top, right, bottom), data = part.display, part.data
    first, last = (max(left, data[0]), max(top, data[1])), (min(right, data[2]), min(bottom, data[3]))
    if part.display == data or first[0] > last[0] or first[1] > last[1]:
        return light
    canvas = np.zeros((bottom + 1 - top, right + 1 - left, light.shape[2]), np.float32)
    canvas[first[1] - top : last[1] + 1 - top, first[0] - left : last[0] + 1 - left] = light[
        first[1] - data[1] : last[1] + 1 - data[1], first[0] - data[0] : last[0] + 1 - data[0]
    ]
    return canvas
