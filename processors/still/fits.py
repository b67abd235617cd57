"""FITS, the pictures of telescopes: the first one in the file, stretched from its darkest to its brightest values.

Source: the FITS Standard, version 4.0. Compressed pictures (tables of tiles) are not read.
"""

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from processors.limits import LEAST_SHOWN
from processors.readers import DamagedMediaError
from processors.source_file import SourceFile
from processors.still.claims import check_held, check_pixels
from processors.still.finish import DAMAGED, WHOLE, StoredPicture, finish
from processors.still.floats import codes_of_floats
from processors.still.pillow import unsupported
from processors.types import DecodedFrame, ThumbnailSpec

_MAGIC: Final = b"SIMPLE  ="
_BLOCK: Final = 2880
_CARD: Final = 80
_MOST_BLOCKS: Final = 400
"""Of one header: 14,400 cards."""
_MOST_PARTS: Final = 100
_CARD_VALUE: Final = re.compile(r"= *(?:'([^']*)'|([^/ ]+))")
_TYPES: Final = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
"""By the bits that BITPIX says."""
_WORKING_BYTES: Final = 12
"""Of a pixel, beside its own: while its codes are made."""
_COLOURS: Final = 3
Header = dict[str, str]


def is_fits(head: bytes) -> bool:
    """Return whether the file is a FITS file."""
    return head.startswith(_MAGIC)


def decode_fits(file: SourceFile, spec: ThumbnailSpec) -> DecodedFrame:
    """Return the first picture: of a cube its first plane, of one of three planes the colours. Its first row is the lowest.

    Raises PermanentError media.unsupported where the file holds tables alone, media.corrupt or media.too_many_pixels.
    """
    at = 0
    for _ in range(_MOST_PARTS):
        header, at = _read_header(file, at)
        if header is None:
            break
        sides = [_number(header, f"NAXIS{number + 1}") for number in range(min(999, _number(header, "NAXIS")))]
        is_picture = header.get("XTENSION", "IMAGE").strip() == "IMAGE"
        if is_picture and len(sides) > 1 and min(sides[:2]) > 0:
            return finish(_decode(file, at, header, sides, spec), spec)
        at += -(-_data_bytes(header, sides) // _BLOCK) * _BLOCK
    raise unsupported("a FITS file without a picture that is not compressed")


def _read_header(file: SourceFile, at: int) -> tuple[Header | None, int]:
    """Return the cards from `at` on, and where the data behind them begins; None where there is no header."""
    header: Header = {}
    for number in range(_MOST_BLOCKS):
        file.seek(at + number * _BLOCK)
        block = file.read(_BLOCK).decode("latin-1")
        if len(block) < _BLOCK:
            break
        for start in range(0, _BLOCK, _CARD):
            name, rest = block[start : start + 8].strip(), block[start + 8 : start + _CARD]
            if name == "END":
                return header, at + (number + 1) * _BLOCK
            value = _CARD_VALUE.match(rest)
            if value is not None:
                header.setdefault(name, value[1] if value[1] is not None else value[2])
    return None, at


def _number(header: Header, name: str) -> int:
    """Return a whole number that is not negative; 0 where it is missing or damaged."""
    value = header.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 12 else 0


def _real(header: Header, name: str, otherwise: float) -> float:
    try:
        value = float(header.get(name, "").replace("D", "E"))
    except ValueError:
        return otherwise
    return value if np.isfinite(value) else otherwise


def _bits(header: Header) -> int:
    value = header.get("BITPIX", "")
    return int(value) if value.lstrip("-").isdecimal() and len(value) < 5 else 0


def _data_bytes(header: Header, sides: list[int]) -> int:
    if not sides:
        return 0
    count = _number(header, "PCOUNT")
    product = 1
    for side in sides:
        product *= side
    return abs(_bits(header)) // 8 * (_number(header, "GCOUNT") or 1) * (count + product)


def _decode(file: SourceFile, at: int, header: Header, sides: list[int], spec: ThumbnailSpec) -> StoredPicture:
    width, height, bits = sides[0], sides[1], _bits(header)
    check_pixels(width, height, spec)
    if bits not in _TYPES:
        raise DamagedMediaError("The picture's beginning is damaged: its numbers are of no known kind.")
    planes = _COLOURS if sides[2:] == [_COLOURS] else 1
    held = width * height * planes * (abs(bits) // 8 + _WORKING_BYTES)
    check_held((width, height), held, spec, "a FITS picture")
    file.seek(at)
    file.expect_whole()
    wanted = width * height * planes * abs(bits) // 8
    data = file.read(wanted)
    shown = len(data) / wanted
    if shown < LEAST_SHOWN:
        raise DamagedMediaError("The picture is cut off before anything of it can be shown.")
    values = np.frombuffer(data.ljust(wanted, b"\0"), _TYPES[bits]).reshape(planes, height, width)
    codes = _codes(values, header)[:, ::-1]  # the first row is the lowest
    image = Image.fromarray(np.ascontiguousarray(np.moveaxis(codes, 0, 2)) if planes > 1 else codes[0])
    return StoredPicture(image, "fits", WHOLE if shown == 1 else DAMAGED)


def _codes(values: NDArray[np.generic], header: Header) -> NDArray[np.uint8]:
    """Return eight bits: bytes as they are, all other numbers as floats are shown; missing ones (BLANK) are black."""
    scale, zero = _real(header, "BSCALE", 1.0), _real(header, "BZERO", 0.0)
    if values.dtype == np.uint8 and (scale, zero) == (1.0, 0.0):
        return np.asarray(values, np.uint8)
    light = values.astype(np.float32) * np.float32(scale) + np.float32(zero)
    if "BLANK" in header and values.dtype.kind in "iu":
        light[values == _real(header, "BLANK", 0.0)] = np.nan
    return codes_of_floats(light.reshape(-1, light.shape[-1])).reshape(values.shape)
