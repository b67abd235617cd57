"""TIFFs that Pillow misreads: uncompressed planes of 16 and 32 bits, and palettes of eight. The scene that was written is the judge."""

import io
import struct
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from tests.doubles.corpus_kinds import photograph, saved
from tests.doubles.sources import pixels_of
from tests.unit.processors.still.test_pictures import make

RGB, CMYK = 2, 5
SHORT, LONG = 3, 4


def tiff_in_planes(order: Literal["<", ">"], bits: int, photometric: int, rows: int) -> bytes:
    """The scene in strips of `rows` rows, plane after plane."""
    picture = photograph()
    values = np.asarray(picture.convert("CMYK") if photometric == CMYK else picture)
    height, width, samples = values.shape
    # The lowest byte says the contrary, so that bytes in the wrong order are seen.
    wide = values.astype(np.uint64) << (bits - 8) | (255 - values if bits > 8 else 0)
    strips = [
        wide[top : top + rows, :, sample].astype(f"{order}u{bits // 8}").tobytes()
        for sample in range(samples)
        for top in range(0, height, rows)
    ]
    offsets = list(8 + np.cumsum([0, *map(len, strips[:-1])]))
    tags = {256: [width], 257: [height], 258: [bits] * samples, 259: [1], 262: [photometric], 273: offsets,
            277: [samples], 278: [rows], 279: [len(strip) for strip in strips], 284: [2]}  # fmt: skip
    pixels = b"".join(strips)
    directory_at = 8 + len(pixels)
    values_at, entries, longer = directory_at + 2 + 12 * len(tags) + 4, b"", b""
    for tag, numbers in tags.items():
        kind = SHORT if tag in (258, 259, 262, 277, 284) else LONG
        packed = struct.pack(f"{order}{len(numbers)}{'H' if kind == SHORT else 'L'}", *map(int, numbers))
        if len(packed) > 4:
            packed, longer = struct.pack(order + "L", values_at + len(longer)), longer + packed
        entries += struct.pack(order + "HHL", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "L", directory_at)
    return head + pixels + struct.pack(order + "H", len(tags)) + entries + bytes(4) + longer


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("bits", "photometric"), [(16, RGB), (16, CMYK), (32, RGB)])
@pytest.mark.parametrize("rows", [240, 50])
def test_planes_of_many_bits_are_shown(order: Literal["<", ">"], bits: int, photometric: int, rows: int) -> None:
    made = make(tiff_in_planes(order, bits, photometric, rows))
    assert (made.source.codec, made.degraded) == ("tiff", False)
    eight = make(tiff_in_planes(order, 8, photometric, rows))
    shown, wanted = (pixels_of(one.renditions[2]).astype(int) for one in (made, eight))
    assert np.abs(shown - wanted).mean() < 3
    if photometric == RGB:
        assert np.abs(shown - np.asarray(photograph())).mean() < 4


def test_a_palette_whose_values_have_eight_bits_is_no_black_one() -> None:
    """As some scanners write it; libtiff's viewers show it."""
    content = saved(photograph().quantize(64), "TIFF")
    with Image.open(io.BytesIO(content)) as opened:
        wide = opened.tag_v2[320]  # type: ignore[attr-defined]
    narrow = struct.pack(f"<{len(wide)}H", *(value >> 8 for value in wide))
    spoilt = content.replace(struct.pack(f"<{len(wide)}H", *wide), narrow)
    assert spoilt != content
    shown, wanted = (pixels_of(make(one).renditions[2]).astype(int) for one in (spoilt, content))
    assert np.abs(shown - wanted).mean() < 2
