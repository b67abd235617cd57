"""Portable arbitrary maps (PAM) of any depth as those of eight bits: FFmpeg takes twelve bits of grey with transparency for sixteen, and
refuses those that do not name their kind, which the manual leaves to them.

Source: the Netpbm project's manual of the format.
"""

import re
from typing import Final

import numpy as np

_MAGIC: Final = b"P7\n"
_END: Final = b"\nENDHDR\n"
_HEADER_BYTES: Final = 4096
_FIELD: Final = re.compile(rb"^(WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE)[ \t]+([^\n]*)", re.MULTILINE)
_KINDS: Final = {1: b"GRAYSCALE", 2: b"GRAYSCALE_ALPHA", 3: b"RGB", 4: b"RGB_ALPHA"}
"""By the number of values of a pixel."""
_MOST: Final = 255
_MOST_OF_TWO_BYTES: Final = 65535


def with_bytes(content: bytes, max_pixels: int) -> bytes:
    """Return a PAM whose values go from 0 to 255; all else, and what has more pixels, as it is. Missing rows stay missing."""
    end = content.find(_END, 0, _HEADER_BYTES) if content.startswith(_MAGIC) else -1
    if end < 0:
        return content
    fields = {name: value.strip() for name, value in _FIELD.findall(content[:end])}
    width, height, depth, most = (_number(fields.get(name)) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    kind = fields.get(b"TUPLTYPE", _KINDS.get(depth))
    if not 0 < most <= _MOST_OF_TWO_BYTES or kind != _KINDS.get(depth) or (most == _MOST and b"TUPLTYPE" in fields):
        return content
    if not 0 < width * height <= max_pixels:
        return content
    stored = np.dtype("u1" if most <= _MOST else ">u2")
    data = content[end + len(_END) : end + len(_END) + width * height * depth * stored.itemsize]
    values = np.frombuffer(data[: len(data) // stored.itemsize * stored.itemsize], stored).astype(np.uint32)
    codes = ((np.minimum(values, most) * _MOST + most // 2) // most).astype(np.uint8)
    head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {depth}\nMAXVAL {_MOST}\nTUPLTYPE ".encode()
    return head + _KINDS[depth] + _END + codes.tobytes()


def _number(text: bytes | None) -> int:
    return int(text) if text is not None and len(text) <= 9 and text.isdigit() else 0
