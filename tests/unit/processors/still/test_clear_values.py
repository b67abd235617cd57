"""Transparency that is one value of the pixels, or what a frame leaves free. The pixels that were written are the judge."""

import io
import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.doubles.corpus_damaged import chunk
from tests.doubles.sources import pixels_of
from tests.unit.processors.still.test_pictures import make

WIDTH, HEIGHT = 48, 32
GREY, RGB = 0, 2


def png(values: NDArray[np.uint16], bits: int, clear: tuple[int, ...]) -> bytes:
    """Grey or RGB of `bits` a channel, one value of which is transparent."""
    rows = values.reshape(HEIGHT, -1)
    if bits == 16:
        packed = [row.astype(">u2").tobytes() for row in rows]
    else:
        places = np.arange(bits - 1, -1, -1, dtype=np.uint16)
        packed = [np.packbits((row[:, None] >> places & 1).astype(np.uint8)).tobytes() for row in rows]
    head = struct.pack(">LLBBBBB", WIDTH, HEIGHT, bits, GREY if len(clear) == 1 else RGB, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in packed))
    parts = {b"IHDR": head, b"tRNS": struct.pack(f">{len(clear)}H", *clear), b"IDAT": body, b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, content) for kind, content in parts.items())


@pytest.mark.parametrize(("channels", "bits"), [(1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (3, 8), (3, 16)])
def test_the_transparent_value_of_a_png_counts_in_the_bits_of_its_pixels(channels: int, bits: int) -> None:
    most = (1 << bits) - 1
    values = np.zeros((HEIGHT, WIDTH, channels), np.uint16)
    values[:, WIDTH // 2 :] = most
    for clear, is_left in ((most, False), (0, True)):
        shown = pixels_of(make(png(values, bits, (clear,) * channels)).renditions[2], "RGBA")
        left, right = shown[:, : WIDTH // 2], shown[:, WIDTH // 2 :]
        assert (left[..., 3] == (0 if is_left else 255)).all()
        assert (right[..., 3] == (255 if is_left else 0)).all()


def gif(colours: int, *, has_control: bool, count: int = 1) -> bytes:
    """A red part, and later ones, on a larger canvas that nothing covers; its palette has `colours`, green first."""
    part = Image.new("P", (WIDTH // 2, HEIGHT), 1)
    palette = [(0, 255, 0), (255, 0, 0), *((number, 0, 0) for number in range(2, colours))]
    part.putpalette(np.asarray(palette, np.uint8).tobytes())
    out = io.BytesIO()
    part.save(out, "GIF", optimize=False)
    content = out.getvalue()
    frame_at = content.index(b",\0\0\0\0")
    frame = content[frame_at:-1]
    bits = max(1, (colours - 1).bit_length())
    table = bytes(value for colour in palette for value in colour).ljust(3 << bits, b"\0")
    control = b"!\xf9\4\4\x0a\0\0\0" if has_control else b""
    moved = [b"," + struct.pack("<H", number * WIDTH // 4) + frame[3:] for number in range(count)]
    head = b"GIF89a" + struct.pack("<HHBBB", WIDTH, HEIGHT, 0x80 | bits - 1, 0, 0) + table
    return head + b"".join(control + one for one in moved) + b";"


@pytest.mark.parametrize("has_control", [False, True])
@pytest.mark.parametrize("colours", [2, 200, 256])
@pytest.mark.parametrize("count", [1, 2])
def test_what_the_first_frame_of_a_gif_leaves_free_is_transparent(colours: int, has_control: bool, count: int) -> None:
    """As Chromium has it: it was of the first colour."""
    made = make(gif(colours, has_control=has_control, count=count), strategy="fixed")
    shown = pixels_of(made.renditions[2], "RGBA")
    assert shown.shape[:2] == (HEIGHT, WIDTH)
    assert shown[:, WIDTH // 2 + 2 :, 3].max() == 0
    part = shown[:, : WIDTH // 2 - 2].astype(int)
    assert part[..., 3].min() == 255
    assert np.abs(part[..., :3] - (255, 0, 0)).max() < 12


def test_what_a_later_frame_of_a_gif_leaves_free_is_transparent_too() -> None:
    made = make(gif(200, has_control=True, count=3), frame_time_s=0.2)
    shown = pixels_of(made.renditions[2], "RGBA")
    assert shown[:, WIDTH // 2 + 2 :, 3].min() == 255
    assert make(gif(200, has_control=True, count=3), frame_time_s=0.0).frame.time_s == 0.0
