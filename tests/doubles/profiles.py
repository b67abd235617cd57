"""ICC profiles by hand: of matrices and plain exponents, of grey, and of ink, for there are none to be had without a licence."""

import struct
from collections.abc import Sequence

import numpy as np

# Primaries adapted to D50, as the profiles of these names have them (the columns are red, green and blue).
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
PROPHOTO = ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491))
_D50 = (0.9642, 1.0, 0.8249)


def rgb_profile(columns: Sequence[Sequence[float]], gamma: float) -> bytes:
    """A display profile of a matrix and one exponent."""
    curve = b"curv" + struct.pack(">IIH2x", 0, 1, round(gamma * 256))
    tags = {b"wtpt": _xyz(_D50), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    tags |= {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    """A grey profile of one exponent."""
    curve = b"curv" + struct.pack(">IIH2x", 0, 1, round(gamma * 256))
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": _xyz(_D50), b"kTRC": curve})


def ink_profile() -> bytes:
    """A CMYK profile in which full cyan is a middling grey, so that nobody can take it for the usual one."""
    # lut8: 4 inks, 3 outputs (Lab), 2 points a side; everything is grey, darker with each ink.
    grid = bytearray()
    for corner in range(16):
        inks = [corner >> shift & 1 for shift in (3, 2, 1, 0)]
        lightness = max(0.0, 100.0 - 50 * inks[0] - 20 * inks[1] - 20 * inks[2] - 100 * inks[3])
        grid += bytes([round(lightness * 2.55), 128, 128])
    unity = np.arange(256, dtype=np.uint8).tobytes()
    matrix = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1" + struct.pack(">I4B", 0, 4, 3, 2, 0) + matrix + unity * 4 + bytes(grid) + unity * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": _xyz(_D50), b"A2B0": lut})


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + struct.pack(">I3i", 0, *(round(value * 65536) for value in values))


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    name = b"desc" + struct.pack(">II", 0, 5) + b"test\0" + bytes(78)
    tags = {b"desc": name, b"cprt": b"text" + bytes(4) + b"none\0", **tags}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = start + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02100000, kind, space, connection)
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    head += struct.pack(">3i", *(round(value * 65536) for value in _D50))
    return head + bytes(128 - len(head)) + table + body
