"""Camera raw files: the largest JPEG in them, upright; never a stamp, and never the sensor's numbers as a picture."""

import struct

import pytest
from PIL import Image

from schemas.errors import ErrorCode, PermanentError
from service.demo.media import scene
from tests.doubles.sources import BytesSource, pixels_of
from tests.unit.processors.sandbox.test_pool import make as make_caged
from tests.unit.processors.sandbox.test_pool import with_slots
from tests.unit.processors.still.test_pictures import assert_upright, encoded, make

CFA, YCBCR, RGB = 32803, 6, 2


def jpeg(width: int, height: int) -> bytes:
    return encoded(Image.fromarray(scene(width, height, 0.3)), "JPEG", quality=92)


def lossless() -> bytes:
    """How sensors' numbers are stored: as a JPEG that claims to be the largest, and is no picture."""
    return b"\xff\xd8\xff\xc3\x00\x0b\x10" + struct.pack(">HH", 4000, 6000) + b"\x01\x01\x11\x00\xff\xda" + bytes(3000)


Directory = dict[int, int | bytes]
"""By tag: a number, or bytes that lie elsewhere, for which the tag has their place, and the next tag their length."""


def tiff_of(directories: list[Directory], *, magic: bytes = b"II*\0", nested: int | None = None) -> bytes:
    """A little-endian TIFF of such directories: each the next of the one before, or, from `nested` on, inside the first."""
    content, places = bytearray(magic + bytes(4) + bytes(8)), []
    for number, directory in enumerate(directories):
        entries: dict[int, tuple[int, ...]] = {}
        for tag, value in directory.items():
            if isinstance(value, bytes):
                entries[tag], entries[{513: 514, 273: 279}[tag]] = (len(content),), (len(value),)
                content += value
            else:
                entries[tag] = (value,)
        if number == 0 and nested is not None:
            entries[330] = (0,) * max(1, len(directories) - nested)
        places.append(len(content))
        content += struct.pack("<H", len(entries))
        for tag, values in sorted(entries.items()):
            content += struct.pack("<HHLL", tag, 4, len(values), values[0])
        content += bytes(4)
    struct.pack_into("<L", content, 4, places[0])
    following = places[1:] if nested is None else places[1:nested]
    for place, after in zip(places, following, strict=False):
        count = struct.unpack_from("<H", content, place)[0]
        struct.pack_into("<L", content, place + 2 + 12 * count, after)
    if nested is not None:
        inside = places[nested:]
        at = content.index(struct.pack("<HHL", 330, 4, len(inside)), places[0])
        if len(inside) > 1:
            struct.pack_into("<L", content, at + 8, len(content))
            content += struct.pack(f"<{len(inside)}L", *inside)
        else:
            struct.pack_into("<L", content, at + 8, inside[0])
    return bytes(content)


LARGE, SMALL = jpeg(1600, 1200), jpeg(160, 120)
STAMP = Image.fromarray(scene(160, 120, 0.3)).tobytes()
SENSOR: Directory = {256: 6000, 257: 4000, 259: 7, 262: CFA, 273: lossless()}


def stamp_directory() -> Directory:
    return {256: 160, 257: 120, 258: 8, 259: 1, 262: RGB, 273: STAMP, 277: 3, 278: 120}


def dng() -> bytes:
    preview: Directory = {256: 1600, 257: 1200, 259: 7, 262: YCBCR, 273: LARGE}
    first = stamp_directory()
    first[50706] = 0x01040000
    return tiff_of([first, SENSOR, preview], nested=1)


def nef() -> bytes:
    return tiff_of([stamp_directory(), {259: 6, 513: LARGE}, {259: 34713, 262: CFA, 273: lossless()}], nested=1)


def cr2() -> bytes:
    made = tiff_of([{256: 1600, 257: 1200, 259: 6, 273: LARGE}, {513: SMALL}, SENSOR])
    return made[:8] + b"CR\2\0" + made[12:]


def arw() -> bytes:
    return tiff_of([{259: 6, 513: LARGE}, {513: SMALL}, {259: 32767, 262: CFA, 273: bytes(3000)}])


def orf() -> bytes:
    return tiff_of([{256: 4000, 257: 3000, 262: CFA, 273: bytes(3000)}], magic=b"IIRO") + SMALL + LARGE


def rw2() -> bytes:
    return b"IIU\0" + bytes(300) + LARGE + bytes(3000)


def raf() -> bytes:
    return b"FUJIFILMCCD-RAW ".ljust(84, b"0") + struct.pack(">LL", 160, len(LARGE)) + bytes(68) + LARGE + bytes(3000)


def cr3() -> bytes:
    head = struct.pack(">L", 24) + b"ftypcrx \0\0\0\1crx isom"
    tags = tiff_of([{274: 1}])
    return (
        head
        + struct.pack(">L", 8 + len(tags))
        + b"CMT1"
        + tags
        + b"\0\0\0\0PRVW"
        + SMALL
        + bytes(100)
        + LARGE
        + lossless()
    )


RAWS = {made.__name__: made for made in (dng, nef, cr2, arw, orf, rw2, raf, cr3)}


@pytest.mark.parametrize("name", RAWS)
def test_the_largest_preview_is_shown(name: str) -> None:
    made = make(RAWS[name]())
    assert (made.source.width, made.source.height, made.source.format) == (1600, 1200, "raw")
    assert (made.frame.method, made.degraded, made.source.kind) == ("image-preview", False, "image")
    assert_upright(made)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_it_is_turned_as_the_file_says(orientation: int) -> None:
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    stored = encoded(Image.fromarray(scene(1200, 1600, 0.3)).transpose(turn), "JPEG", quality=92)
    made = make(tiff_of([{259: 6, 513: stored, 274: orientation}, SENSOR]))
    assert_upright(made)
    assert made.source.rotation == {3: 180, 6: 90, 8: 270}[orientation]


def test_a_middle_sized_one_is_called_degraded() -> None:
    made = make(tiff_of([{259: 6, 513: jpeg(400, 300)}, SENSOR]))
    assert (made.degraded, made.source.width) == (True, 400)


@pytest.mark.parametrize("directories", [[stamp_directory(), SENSOR], [{259: 6, 513: SMALL}, SENSOR]])
def test_a_stamp_is_not_shown_as_the_photograph(directories: list[Directory]) -> None:
    with pytest.raises(PermanentError, match="a raw camera file without a preview larger than 320 pixels") as caught:
        make(tiff_of(directories))
    assert caught.value.code is ErrorCode.MEDIA_UNSUPPORTED


def test_a_damaged_preview_gives_way_to_the_next() -> None:
    damaged = LARGE[:700] + bytes(len(LARGE) - 700)
    made = make(tiff_of([{513: damaged}, {513: jpeg(800, 600)}, SENSOR]))
    assert made.source.width == 800


def test_only_headers_and_the_preview_are_read() -> None:
    content = dng() + bytes(40_000_000)
    source = BytesSource(content)
    made = with_slots(lambda slots: make_caged(slots, source))
    assert made.frame.method == "image-preview"
    assert made.bytes_read < 2_000_000


def test_an_ordinary_tiff_is_none() -> None:
    made = make(encoded(Image.fromarray(scene(320, 240, 0.3)), "TIFF"))
    assert (made.frame.method, made.source.codec) == ("image", "tiff")
    assert pixels_of(made.renditions[1]).shape == (240, 320, 3)
