"""Generated files of kinds that old programs and few new ones write: by hand, after their specifications, where Pillow writes none."""

import struct
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image

from tests.doubles.corpus_kinds import HEIGHT, WIDTH, cut_out, photograph, saved

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


def pcx_of_four_planes() -> bytes:
    """Each row has its reds, greens, blues and transparencies; in runs of one, where a byte could be taken for a length."""
    head = struct.pack("<BBBB4H52xBBH60x", 10, 5, 1, 8, 0, 0, WIDTH - 1, HEIGHT - 1, 0, 4, WIDTH)
    rows = np.asarray(cut_out()).transpose(0, 2, 1).tobytes()
    return head + b"".join(bytes((0xC1, value)) if value >= 0xC0 else bytes((value,)) for value in rows)


def png_chunk(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def jng(alpha: str | None = None) -> bytes:
    """JPEG inside PNG's chunks, after JNG 1.0; its transparency is packed as a PNG or a JPEG is, by the name of `alpha`."""
    packing = {None: 0, "PNG": 0, "JPEG": 8}[alpha]
    kinds = (10, 8, 8, 0, 0, 0, 0, 0) if alpha is None else (14, 8, 8, 0, 8, packing, 0, 0)
    mask = cut_out().getchannel("A")
    parts = png_chunk(b"JHDR", struct.pack(">LL8B", WIDTH, HEIGHT, *kinds))
    if alpha == "PNG":
        rows = b"".join(b"\0" + mask.crop((0, row, WIDTH, row + 1)).tobytes() for row in range(HEIGHT))
        parts += png_chunk(b"IDAT", zlib.compress(rows))
    if alpha == "JPEG":
        parts += png_chunk(b"JDAA", saved(mask, "JPEG", quality=95))
    pixels = saved(photograph(), "JPEG", quality=95)
    parts += b"".join(png_chunk(b"JDAT", pixels[at : at + 4096]) for at in range(0, len(pixels), 4096))
    return b"\x8bJNG\r\n\x1a\n" + parts + png_chunk(b"IEND")


def mng(first: bytes, before: bytes = b"") -> bytes:
    """An animation of two pictures, the second all black, after MNG 1.0."""
    second = saved(Image.new("RGB", (WIDTH, HEIGHT)), "PNG")
    head = png_chunk(b"MHDR", struct.pack(">7L", WIDTH, HEIGHT, 10, 2, 0, 0, 1))
    return b"\x8aMNG\r\n\x1a\n" + head + before + first[8:] + second[8:] + png_chunk(b"MEND")


def mng_with_one_palette() -> bytes:
    """The pictures' own palettes are empty, and stand for that of the whole animation."""
    picture = saved(photograph().quantize(256), "PNG")
    at = picture.index(b"PLTE") - 4
    end = at + 12 + int.from_bytes(picture[at : at + 4])
    return mng(picture[:at] + png_chunk(b"PLTE") + picture[end:], before=picture[at:end])


def texture() -> bytes:
    """FTEX, of Independence War 2: three bytes a pixel, behind a directory of one form."""
    pixels = photograph().tobytes()
    return struct.pack("<4s7i", b"FTEX", 1, WIDTH, HEIGHT, 1, 1, 1, 32) + struct.pack("<i", len(pixels)) + pixels


OLD: Final[dict[str, Callable[[], bytes]]] = {
    "window dump": lambda: window_dump(is_indexed=False),
    "window dump with a map": lambda: window_dump(is_indexed=True),
    "halves": halves,
    "ifunc": ifunc,
    "ftex": texture,
    "blp": lambda: saved(photograph().quantize(256), "BLP", blp_version="BLP2"),
    "jng": jng,
    "mng": lambda: mng(saved(photograph(), "PNG")),
    "mng with one palette": mng_with_one_palette,
    "mng of jng": lambda: mng(jng()),
}
"""By name: files of the whole scene."""
