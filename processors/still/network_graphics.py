"""PNG's relatives. The first picture of an MNG animation, a PNG or a JNG; and the JPEG of a JNG with its transparency.

Source: libpng's MNG 1.0 and JNG 1.0. Places, masks and objects of an MNG that are kept for later are not followed.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from PIL import Image

from processors.readers import DamagedMediaError, reading
from processors.still.finish import StoredPicture

_MNG, _JNG, _PNG = b"\x8aMNG\r\n\x1a\n", b"\x8bJNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n"
_SIGNATURES: Final = {b"IHDR": _PNG, b"JHDR": _JNG}
_HEADER: Final = struct.Struct(">LL8B")
_EIGHT_BITS: Final = 8
_WITH_ALPHA: Final = (12, 14)
"""Colour types: grey and colours, with transparency."""
_AS_PNG: Final = 0
"""Packs the transparency; else a JPEG does."""
_MAX_CHUNKS: Final = 100_000


def is_mng(head: bytes) -> bool:
    """Return whether the file is an MNG animation."""
    return head.startswith(_MNG)


def first_picture(content: bytes) -> bytes:
    """Return the first picture of an MNG animation as a file of its own; all else, and an MNG without one, as it is."""
    if not content.startswith(_MNG):
        return content
    palette, begun, start = b"", b"", 0
    for name, body, at in _chunks(content):
        if name == b"PLTE" and not begun:
            palette = _chunk(name, body)
        elif name in _SIGNATURES and not begun:
            begun, start = _SIGNATURES[name] + _chunk(name, body), at
        elif name == b"PLTE" and not body:  # the animation's own palette
            begun, start = begun + content[start : at - 12] + palette, at
        elif name == b"IEND" and begun:
            return begun + content[start:at]
    return content


def decode_jng(content: bytes, max_pixels: int) -> StoredPicture | None:
    """Return the picture of a JNG; None for all else, where it is larger, and of a rare kind. Raises DamagedMediaError."""
    if not content.startswith(_JNG):
        return None
    found: dict[bytes, bytes] = {}
    for name, body, _ in _chunks(content):
        if name == b"JSEP":
            break  # the same picture comes once more, in twelve bits
        if name in (b"JHDR", b"JDAT", b"JDAA", b"IDAT"):
            found[name] = found.get(name, b"") + body
    header = found.get(b"JHDR", b"")
    if len(header) != _HEADER.size:
        raise DamagedMediaError("The picture's beginning is damaged.")
    width, height, kind, _, _, _, alpha_bits, alpha_packing, _, is_interlaced = _HEADER.unpack(header)
    if not 0 < width * height <= max_pixels:
        return None
    image = _opened(found.get(b"JDAT", b""), "JPEG", (width, height)).convert("RGB")
    if kind in _WITH_ALPHA:
        if alpha_packing == _AS_PNG:
            head = struct.pack(">LL5B", width, height, alpha_bits, 0, 0, 0, is_interlaced)
            packed = _PNG + _chunk(b"IHDR", head) + _chunk(b"IDAT", found.get(b"IDAT", b"")) + _chunk(b"IEND", b"")
            alpha = _opened(packed, "PNG", image.size)
            image.putalpha(
                alpha.convert("L") if alpha_bits <= _EIGHT_BITS else alpha.point(lambda value: value / 256, "L")
            )
        else:
            image.putalpha(_opened(found.get(b"JDAA", b""), "JPEG", image.size).convert("L"))
    return StoredPicture(image, "jng")


@reading("picture")
def _opened(content: bytes, form: str, size: tuple[int, int]) -> Image.Image:
    with Image.open(io.BytesIO(content), formats=(form,)) as opened:
        if opened.size != size:
            raise DamagedMediaError("The picture's parts are of different sizes.")
        return opened.copy()


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield name, content and end of each chunk, as far as they are whole."""
    at = 8
    for _ in range(_MAX_CHUNKS):
        end = at + 12 + int.from_bytes(content[at : at + 4])
        if end > len(content):
            return
        yield content[at + 4 : at + 8], content[at + 8 : end - 4], end
        at = end


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))
