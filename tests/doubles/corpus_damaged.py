"""Pictures that are cut or spoilt, of the scene under fine grain, so that every part of a picture has its share of the bytes."""

import io
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

import numpy as np
from PIL import Image

from service.demo.media import scene
from tests.doubles.corpus_kinds import saved

WIDTH, HEIGHT = 320, 240


@cache
def grainy(mode: str = "RGB") -> Image.Image:
    """The picture before it is spoilt."""
    grain = np.random.default_rng(3).integers(-25, 25, (HEIGHT, WIDTH, 1))
    values = (scene(WIDTH, HEIGHT, 0.3).astype(np.int16) + grain).clip(0, 255).astype(np.uint8)
    return Image.fromarray(values).convert(mode)


def sound(picture_format: str, **options: Any) -> bytes:
    """The picture as a sound file."""
    return saved(grainy(), picture_format, **options)


# PNG


def chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of a PNG's chunks."""
    at = 8
    while at < len(content):
        length = int.from_bytes(content[at : at + 4])
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        at += 12 + length


def chunk(kind: bytes, body: bytes, checksum: int | None = None) -> bytes:
    """A chunk, with a checksum of its own where one is given."""
    right = zlib.crc32(kind + body)
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", right if checksum is None else checksum)


def with_chunk(kind: bytes, body: bytes) -> bytes:
    """A sound PNG with one more chunk behind its header."""
    content = sound("PNG")
    return content[:33] + chunk(kind, body) + content[33:]


def with_wrong_checksums() -> bytes:
    """A PNG whose pixels are right, and no checksum of theirs is."""
    content = sound("PNG")
    return content[:8] + b"".join(chunk(kind, body, 1 if kind == b"IDAT" else None) for kind, body in chunks(content))


def interlaced_png(mode: str = "RGB") -> bytes:
    """A PNG in seven passes, which Pillow does not write."""
    values = np.asarray(grainy(mode)).reshape(HEIGHT, WIDTH, -1)
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b"".join(
        b"\0" + row.tobytes() for left, top, across, down in passes for row in values[top::down, left::across]
    )
    colour = {"RGB": 2, "L": 0}[mode]
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", WIDTH, HEIGHT, 8, colour, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


SPOILT_BESIDE_THE_PIXELS: Final[dict[str, tuple[bytes, bytes]]] = {
    "a text in an unknown compression": (b"zTXt", b"Comment\0\x78" + bytes(20)),
    "a text that is no text": (b"iTXt", b"\xff" * 40),
    "tags that are none": (b"eXIf", b"Lorem ipsum dolor sit amet"),
    "tags as text that is no number": (
        b"zTXt",
        b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n      10\nnot hexadecimal\n"),
    ),
    "colours of a wrong length": (b"cHRM", bytes(7)),
    "a gamma of a wrong length": (b"gAMA", b"\1"),
    "a profile that is none": (b"iCCP", b"name\0\0" + b"\xff" * 40),
    "frames without number": (b"acTL", b"\xff" * 8),
    "frames of a wrong length": (b"acTL", b"\0"),
}
"""By name: kind and content of a chunk that says nothing of the pixels."""


# AVIF


def with_two_associations() -> bytes:
    """An AVIF with alpha as cavif wrote them: one ipma box an item."""
    content = bytearray(saved(_half_clear(), "AVIF", quality=90))
    at = content.index(b"ipma") - 4
    end = at + int.from_bytes(content[at : at + 4])
    head, entries = bytes(content[at + 8 : at + 12]), bytes(content[at + 16 : end])
    first = entries[: 3 + entries[2]]
    made = b"".join(
        struct.pack(">L4s", 16 + len(part), b"ipma") + head + struct.pack(">L", 1) + part
        for part in (first, entries[len(first) :])
    )
    grown = len(made) - (end - at)
    for kind in (b"meta", b"iprp"):
        place = content.index(kind) - 4
        content[place : place + 4] = (int.from_bytes(content[place : place + 4]) + grown).to_bytes(4, "big")
    content[at:end] = made
    _move_items(content, grown)
    return bytes(content)


def without_size_of_alpha() -> bytes:
    """An AVIF whose alpha plane has its depth twice, and its size never."""
    content = bytearray(saved(_half_clear(), "AVIF", quality=90))
    properties = [content[at + 4 : at + 8] for at in _children(content, content.index(b"ipco") - 4)]
    at = content.index(b"ipma") + 12
    at += 3 + content[at + 2]  # the second item's
    own = range(at + 3, at + 3 + content[at + 2])
    size = next(place for place in own if properties[(content[place] & 127) - 1] == b"ispe")
    depth = next(place for place in own if properties[(content[place] & 127) - 1] == b"pixi")
    content[size] = content[depth]
    return bytes(content)


def with_alpha_of_nothing() -> bytes:
    """An AVIF whose alpha plane belongs to item 0, which is none."""
    content = bytearray(saved(_half_clear(), "AVIF", quality=90))
    at = content.index(b"auxl")
    content[at + 8 : at + 10] = b"\0\0"
    return bytes(content)


def with_spoilt_tags() -> bytes:
    """An AVIF whose EXIF is none."""
    tags = Image.Exif()
    tags[0x010E] = "a description"
    return saved(grainy(), "AVIF", quality=90, exif=tags).replace(b"II*\0", b"XX*\0").replace(b"MM\0*", b"XX\0*")


def _half_clear() -> Image.Image:
    picture = grainy("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, WIDTH // 2, HEIGHT))
    return picture


def _children(content: bytes | bytearray, at: int) -> Iterator[int]:
    end = at + int.from_bytes(content[at : at + 4])
    at += 8
    while at < end:
        yield at
        at += int.from_bytes(content[at : at + 4])


def _move_items(content: bytearray, by: int) -> None:
    at = content.index(b"iloc") + 4
    assert content[at : at + 6] == b"\0\0\0\0\x44\0", "offsets and lengths of four bytes"
    count = int.from_bytes(content[at + 6 : at + 8])
    at += 8
    for _ in range(count):
        assert content[at + 4 : at + 6] == b"\0\1", "one part an item"
        content[at + 6 : at + 10] = (int.from_bytes(content[at + 6 : at + 10]) + by).to_bytes(4, "big")
        at += 14


# TIFF


def tiff_of_strips(compression: str = "tiff_lzw") -> bytes:
    """A sound TIFF of many strips."""
    return sound("TIFF", compression=compression, tiffinfo={278: 16})


def with_a_spoilt_strip(number: int, compression: str = "tiff_lzw") -> bytes:
    """A TIFF of which one strip of 16 rows is noise."""
    content = bytearray(tiff_of_strips(compression))
    with Image.open(io.BytesIO(bytes(content))) as opened:
        offset, length = (opened.tag_v2[tag][number] for tag in (273, 279))  # type: ignore[attr-defined]
    content[offset : offset + length] = b"\xff" * length
    return bytes(content)


def gif_cut_in_its_only_block() -> bytes:
    """A GIF of one block of pixels, of which a third is missing."""
    content = saved(grainy().resize((14, 12)).quantize(16), "GIF", optimize=False)
    pixels_at = content.rindex(b"\0;") - content[content.rindex(b",") + 10 :].index(b"\0;")
    length = len(content) - 2 - pixels_at
    return content[: pixels_at + length * 2 // 3]


def grey_jpeg() -> bytes:
    """What is inside of old_jpeg_tiff."""
    return saved(grainy("L"), "JPEG", quality=95)


def old_jpeg_tiff(orientation: int = 1) -> bytes:
    """A TIFF of the first way to hold a JPEG (compression 6): all of it in one piece, beside tables that are none."""
    jpeg = grey_jpeg()
    tags = {256: WIDTH, 257: HEIGHT, 258: 8, 259: 6, 262: 1, 273: 8, 274: orientation, 277: 1, 278: HEIGHT}
    tags |= {279: len(jpeg), 513: 8, 514: len(jpeg), 519: 600, 520: 600, 521: 600}
    directory = struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHLL", tag, 4, 1, tags[tag]) for tag in sorted(tags)
    )
    return b"II*\0" + struct.pack("<L", 8 + len(jpeg)) + jpeg + directory + bytes(4)


def avif_with_a_brand_of_gain_maps() -> bytes:
    """An AVIF that claims to be compatible with gain maps, and has none."""
    content = sound("AVIF", quality=95)
    return content[:16] + content[16:64].replace(b"miaf", b"tmap", 1) + content[64:]


def avif_with_a_group() -> bytes:
    """An AVIF that calls its picture a layer of a pyramid, of which libavif knows nothing."""
    content = bytearray(sound("AVIF", quality=95))
    group = struct.pack(">L4s4L5H", 34, b"pymd", 0, 9, 1, 1, 512, 512, 1, 0, 0)
    made = struct.pack(">L4s", 8 + len(group), b"grpl") + group
    at = content.index(b"meta") - 4
    end = at + int.from_bytes(content[at : at + 4])
    content[at : at + 4] = (end - at + len(made)).to_bytes(4, "big")
    content[end:end] = made
    _move_items(content, len(made))
    return bytes(content)


def turned_avif() -> bytes:
    """An AVIF that is stored lying, and whose turn is one that readers must know."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(grainy().transpose(Image.Transpose.ROTATE_90), "AVIF", quality=95, exif=exif)


def avif_whose_turn_may_be_passed_over() -> bytes:
    """The same, but no property is called essential; browsers turn it all the same."""
    content = bytearray(turned_avif())
    at = content.index(b"ipma") + 4
    count = content[at + 10]
    for place in range(at + 11, at + 11 + count):
        content[place] &= 0x7F
    return bytes(content)
