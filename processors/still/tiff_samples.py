"""TIFFs whose samples no library here takes as they are: more of them a pixel than colours, halves, numbers of a long palette; and those
whose tiles are whole pictures.

All but the last are decoded as a grey picture in which each sample is a pixel. Source: TIFF 6.0; Adobe's TIFF Technical Notes 1 and 3.
"""

import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.colour.convert import PictureColours, to_srgb
from processors.limits import MAX_PROFILE_BYTES
from processors.readers import DamagedMediaError, reading
from processors.still import tiff_tags as tags
from processors.still.decode import plain_mode
from processors.still.ffmpeg import light_to_srgb
from processors.still.floats import codes_of_floats

_FORMS: Final = {34712: "JPEG2000", 33005: "JPEG2000", 34933: "PNG", 50001: "WEBP"}
"""By compression, what each strip or tile is."""
_OF_BYTES: Final = frozenset({1, 5, 8, 32773, 32946})
"""Compressions that know nothing of samples."""
_CLASSIC: Final = (b"*\0", b"\0*")
_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _INKS = 0, 1, 2, 3, 5
_OF_CYAN_TO_BLACK: Final = 1
"""The set of inks that is meant where the file names none."""
_CHUNKY: Final = 1
_NO_PREDICTOR, _DIFFERENCES, _OF_FLOATS = 1, 2, 3
_WHOLE_NUMBERS, _FLOATS = 1, 3
_STRAIGHT_ALPHA: Final = 2
_COLOURS: Final = 3
_COUNT_OF_INKS: Final = 4
Samples = NDArray[Any]


def decode_samples(content: bytes, found: tags.Tags, max_pixels: int) -> Image.Image | None:
    """Return the colours of the first directory, whose tags are `found`; None where it is of another kind, or damaged."""
    width, height, count = tags.one(found, tags.WIDTH), tags.one(found, tags.HEIGHT), tags.one(found, tags.SAMPLES, 1)
    bits, formats = set(found.get(tags.BITS, ())), set(found.get(tags.SAMPLE_FORMAT, (_WHOLE_NUMBERS,)))
    predictor = tags.one(found, tags.PREDICTOR, _NO_PREDICTOR)
    is_plain = tags.one(found, tags.PLANAR, _CHUNKY) == _CHUNKY or count == 1
    if (
        not (is_plain and content[2:4] in _CLASSIC and 0 < width * height * count <= max_pixels)
        or tags.one(found, tags.COMPRESSION, 1) not in _OF_BYTES
        or tags.one(found, tags.PHOTOMETRIC) not in (_WHITE_IS_0, _BLACK_IS_0, _RGB, _PALETTE, _INKS)
        or (bits, formats) not in (({8}, {_WHOLE_NUMBERS}), ({16}, {_WHOLE_NUMBERS}), ({16}, {_FLOATS}))
        or predictor
        not in ((_NO_PREDICTOR,) if tags.TILE_WIDTH in found else (_NO_PREDICTOR, _DIFFERENCES, _OF_FLOATS))
    ):
        return None
    as_grey = {
        tags.WIDTH: (width * count,),
        tags.BITS: (*bits,),
        tags.PHOTOMETRIC: (_BLACK_IS_0,),
        tags.SAMPLES: (1,),
        tags.PREDICTOR: (_NO_PREDICTOR,),
        tags.SAMPLE_FORMAT: (_WHOLE_NUMBERS,),
        tags.EXTRA_SAMPLES: (),
        tags.PROFILE: (),
    }
    if tags.TILE_WIDTH in found:
        as_grey[tags.TILE_WIDTH] = (tags.one(found, tags.TILE_WIDTH) * count,)
    try:
        with reading("picture"), Image.open(io.BytesIO(tags.with_tags(content, as_grey)), formats=("TIFF",)) as opened:
            grey = np.asarray(opened)
    except DamagedMediaError:
        return None
    if grey.shape != (height, width * count):
        return None
    values = grey.astype(np.uint8 if bits == {8} else np.uint16).reshape(height, width, count)
    if predictor == _DIFFERENCES:
        values = np.cumsum(values, axis=1, dtype=values.dtype)
    elif predictor == _OF_FLOATS and is_of_halves(found):
        values = _joined_halves(values.astype("<u2" if content[:2] == b"II" else ">u2"))
    return _shown(values.view(np.float16).astype(np.float32) if formats == {_FLOATS} else values, found)


def is_of_halves(found: tags.Tags) -> bool:
    """Return whether the samples are floats of sixteen bits."""
    return tags.one(found, tags.BITS) == 16 and tags.one(found, tags.SAMPLE_FORMAT) == _FLOATS


def _joined_halves(stored: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the samples of which each row has the differences of all upper bytes before those of all lower ones."""
    height, width, count = stored.shape
    differences = stored.view(np.uint8).reshape(height, 2 * width, count)
    upper, lower = np.split(np.cumsum(differences, axis=1, dtype=np.uint8), 2, axis=1)
    return (upper.astype(np.uint16) << np.uint16(8)) + lower.astype(np.uint16)


def _shown(values: Samples, found: tags.Tags) -> Image.Image | None:
    if tags.one(found, tags.PHOTOMETRIC) == _PALETTE:
        return _of_palette(values[..., 0], found.get(tags.COLOUR_MAP, ()))
    if tags.one(found, tags.PHOTOMETRIC) == _INKS:
        return _of_inks(values, found)
    if tags.one(found, tags.PHOTOMETRIC) != _RGB or values.shape[2] < _COLOURS:
        grey = _eight_bits(values[..., 0])
        return Image.fromarray(255 - grey if tags.one(found, tags.PHOTOMETRIC) == _WHITE_IS_0 else grey)
    is_transparent = found.get(tags.EXTRA_SAMPLES, ())[:1] == (_STRAIGHT_ALPHA,)
    colours = values[..., : _COLOURS + is_transparent]
    if colours.dtype == np.float32 and np.nanmedian(colours[..., :_COLOURS]) <= 1:
        return Image.fromarray(light_to_srgb(colours))
    return Image.fromarray(_eight_bits(colours))


def _of_inks(values: Samples, found: tags.Tags) -> Image.Image | None:
    """Return cyan, magenta, yellow and black as RGB, by the file's profile, with its transparency; None for other inks."""
    is_such = tags.one(found, tags.INK_SET, _OF_CYAN_TO_BLACK) == _OF_CYAN_TO_BLACK
    if not is_such or values.shape[2] < _COUNT_OF_INKS or values.dtype == np.float32:
        return None
    eight = _eight_bits(values)
    inks = Image.fromarray(np.ascontiguousarray(eight[..., :_COUNT_OF_INKS]), "CMYK")
    shown = to_srgb(inks, PictureColours(profile_of(found)))
    if found.get(tags.EXTRA_SAMPLES, ())[:1] == (_STRAIGHT_ALPHA,) and eight.shape[2] > _COUNT_OF_INKS:
        shown.putalpha(Image.fromarray(np.ascontiguousarray(eight[..., _COUNT_OF_INKS])))
    return shown


def profile_of(found: tags.Tags) -> bytes | None:
    """Return the profile of the colours; None where the file has none."""
    return bytes(value & 0xFF for value in found.get(tags.PROFILE, ())[:MAX_PROFILE_BYTES]) or None


def _of_palette(numbers: Samples, colour_map: tuple[int, ...]) -> Image.Image | None:
    """Return the colours, whose reds stand before all greens and blues; None where some are missing."""
    count = len(colour_map) // _COLOURS
    if not count or numbers.dtype == np.float32 or int(numbers.max()) >= count:
        return None
    table = (np.array(colour_map[: _COLOURS * count]) >> 8).astype(np.uint8).reshape(_COLOURS, count)
    return Image.fromarray(np.ascontiguousarray(table.T)[numbers])


def _eight_bits(values: Samples) -> NDArray[np.uint8]:
    if values.dtype == np.float32:
        return codes_of_floats(values)
    return np.ascontiguousarray(values if values.dtype == np.uint8 else values >> 8).astype(np.uint8)


def is_of_pictures(found: tags.Tags) -> bool:
    """Return whether each strip or tile is a whole picture of another kind."""
    return tags.one(found, tags.COMPRESSION) in _FORMS


def decode_pictures(content: bytes, found: tags.Tags) -> tuple[Image.Image, float] | None:
    """Return the strips or tiles in their places, and which share of them is there; None where there is none."""
    width, height = tags.one(found, tags.WIDTH), tags.one(found, tags.HEIGHT)
    form = _FORMS[tags.one(found, tags.COMPRESSION)]
    if tags.TILE_OFFSETS in found:
        size = (tags.one(found, tags.TILE_WIDTH), tags.one(found, tags.TILE_HEIGHT))
        places = zip(found[tags.TILE_OFFSETS], found.get(tags.TILE_BYTES, ()), strict=False)
    else:
        size = (width, min(height, tags.one(found, tags.ROWS_PER_STRIP, height)))
        places = zip(found.get(tags.STRIP_OFFSETS, ()), found.get(tags.STRIP_BYTES, ()), strict=False)
    if min(size) < 1 or tags.one(found, tags.PLANAR, _CHUNKY) != _CHUNKY:
        return None
    canvas, there = Image.new("RGBA", (width, height)), 0
    across = -(-width // size[0])
    wanted = across * -(-height // size[1])
    for number, (start, length) in enumerate(places):
        if number == wanted:
            break
        try:
            with reading("picture"), Image.open(io.BytesIO(content[start : start + length]), formats=(form,)) as opened:
                if opened.width > size[0] or opened.height > size[1]:
                    continue
                piece = plain_mode(opened).convert("RGBA")
        except DamagedMediaError:
            continue
        canvas.paste(piece, (number % across * size[0], number // across * size[1]))
        there += 1
    return (canvas, there / wanted) if there else None
