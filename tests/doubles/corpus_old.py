"""Generated files of kinds that old programs and few new ones write: by hand, after their specifications, where Pillow writes none."""

import struct
from collections.abc import Callable
from typing import Final

import numpy as np

from tests.doubles.corpus_kinds import HEIGHT, WIDTH, cut_out, photograph

_XWD_NUMBERS: Final = 25


def window_dump(*, is_indexed: bool) -> bytes:
    """X's own screenshot, after XWDFile.h: true colours in four bytes, or numbers of a map whose colours have sixteen bits."""
    scene = photograph().quantize(256) if is_indexed else photograph()
    bits, row_bytes = (8, WIDTH) if is_indexed else (32, 4 * WIDTH)
    name = b"scene\0\0\0"
    masks = (0, 0, 0) if is_indexed else (0xFF0000, 0xFF00, 0xFF)
    colours = scene.palette.getdata()[1] if is_indexed and scene.palette else b""
    rows = np.asarray(scene)
    if not is_indexed:
        rows = np.dstack([rows[..., ::-1], np.zeros((HEIGHT, WIDTH), np.uint8)])
    numbers = (
        *(
            4 * _XWD_NUMBERS + len(name),
            7,
            2,
            bits if is_indexed else 24,
            WIDTH,
            HEIGHT,
            0,
            0,
            32,
            0,
            32,
            bits,
            row_bytes,
        ),
        *(3 if is_indexed else 4, *masks, 8, len(colours) // 3, len(colours) // 3, WIDTH, HEIGHT, 0, 0, 0),
    )
    entries = b"".join(
        struct.pack(">L3HBB", at, *(257 * value for value in colours[3 * at : 3 * at + 3]), 7, 0)
        for at in range(len(colours) // 3)
    )
    return struct.pack(f">{_XWD_NUMBERS}L", *numbers) + name + entries + rows.tobytes()


def halves() -> bytes:
    """PHM, the PFM of numbers of sixteen bits: linear light, from the lowest row up."""
    values = np.asarray(photograph()) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return f"PH\n{WIDTH} {HEIGHT}\n-1.0\n".encode() + light[::-1].astype("<f2").tobytes()


def brush() -> bytes:
    """A coloured brush of GIMP, in its version 2."""
    picture, name = cut_out(), b"half a scene\0"
    head = struct.pack(">5L4sL", 28 + len(name), 2, *picture.size, 4, b"GIMP", 10)
    return head + name + picture.tobytes()


def ifunc() -> bytes:
    """IFUNC's IM, from the lowest row up, of each its reds, greens and blues; Pillow is about to drop its writer."""
    head = f"Image type: RGB image\r\nImage size (x*y): {WIDTH}*{HEIGHT}\r\nFile size (no of images): 1\r\n".encode()
    return (head + b"\0" * (511 - len(head)) + b"\x1a") + np.asarray(photograph())[::-1].transpose(0, 2, 1).tobytes()


OLD: Final[dict[str, Callable[[], bytes]]] = {
    "window dump": lambda: window_dump(is_indexed=False),
    "window dump with a map": lambda: window_dump(is_indexed=True),
    "halves": halves,
    "ifunc": ifunc,
}
"""By name: files of the whole scene."""
