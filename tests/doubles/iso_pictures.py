"""AVIF and HEIC pictures of tiles, as phones store photographs: put together here from frames that libavif and x265 have coded."""

import io
import struct
from collections.abc import Sequence
from typing import Any, Final

from PIL import Image

from processors.source_file import BytesInMemory, SourceFile
from processors.still.iso_items import IsoItems

_KINDS: Final = {"AVIF": (b"av01", b"av1C", b"avif"), "HEIF": (b"hvc1", b"hvcC", b"heic")}
Coded = tuple[bytes, bytes]
"""A frame's bytes, and its decoder's configuration."""


def coded(image: Image.Image, picture_format: str, **options: Any) -> Coded:
    """One frame. Of HEIF only where pillow_heif's plugin is registered."""
    out = io.BytesIO()
    image.save(out, picture_format, **options)
    items = IsoItems(SourceFile(BytesInMemory(out.getvalue())))
    shown = items.by_number[items.primary]
    return items.content(shown), shown.properties[_KINDS[picture_format][1]]


def tiled(
    tiles: Sequence[Coded],
    picture_format: str,
    *,
    columns: int,
    tile: tuple[int, int],
    size: tuple[int, int],
    properties: Sequence[tuple[bytes, bytes]] = (),
    shared: bool = False,
) -> bytes:
    """A file whose picture of `size` is a grid of tiles, row after row. Tiles that are one and the same object lie there once.

    `properties` are the picture's own, beside its size. `shared`: such tiles are one item, too, which libavif does not take.
    """
    kind, setup, brand = _KINDS[picture_format]
    items = list({id(one): one for one in tiles}.values()) if shared else list(tiles)
    numbers = {id(one): number for number, one in enumerate(items, 2)}
    named = [numbers[id(one)] for one in tiles] if shared else list(range(2, len(tiles) + 2))
    grid = struct.pack(">BBBBHH", 0, 0, len(tiles) // columns - 1, columns - 1, *size)
    kinds = [(1, b"grid"), *((number, kind) for number in range(2, len(items) + 2))]
    entries = b"".join(_box(b"infe", struct.pack(">IHH", 2 << 24, number, 0) + name + b"\0") for number, name in kinds)
    both = [
        (b"ispe", bytes(4) + struct.pack(">II", *size)),
        (b"ispe", bytes(4) + struct.pack(">II", *tile)),
        (setup, tiles[0][1]),
        (b"colr", b"nclx" + struct.pack(">HHHB", 1, 13, 6, 0x80)),
        *properties,
    ]
    own = [1, 4, *(number | 0x80 for number in range(5, 5 + len(properties)))]
    of_tiles = b"".join(struct.pack(">HB", number, 3) + bytes([2, 0x83, 4]) for number, _ in kinds[1:])
    associations = struct.pack(">IIHB", 0, len(kinds), 1, len(own)) + bytes(own) + of_tiles
    references = struct.pack(">HH", 1, len(tiles)) + struct.pack(f">{len(named)}H", *named)
    lists = b"".join(
        (
            _box(b"hdlr", struct.pack(">II4s12xx", 0, 0, b"pict")),
            _box(b"pitm", struct.pack(">IH", 0, 1)),
            _box(b"iinf", struct.pack(">IH", 0, len(kinds)) + entries),
            _box(b"iref", bytes(4) + _box(b"dimg", references)),
            _box(b"iprp", _box(b"ipco", b"".join(_box(*one) for one in both)) + _box(b"ipma", associations)),
        )
    )
    begin = _box(b"ftyp", brand + bytes(4) + b"mif1" + brand + b"miaf")
    data_at = len(begin) + 8 + 4 + len(lists) + 8 + 8 + 14 * len(kinds) + 8
    places, data = [(data_at, len(grid))], grid
    known: dict[int, tuple[int, int]] = {}
    for one in items:
        if id(one) not in known:
            known[id(one)] = (data_at + len(data), len(one[0]))
            data += one[0]
        places.append(known[id(one)])
    located = struct.pack(">IBBH", 0, 0x44, 0, len(kinds)) + b"".join(
        struct.pack(">HHHII", number, 0, 1, *place) for (number, _), place in zip(kinds, places, strict=True)
    )
    return begin + _box(b"meta", bytes(4) + lists + _box(b"iloc", located)) + _box(b"mdat", data)


def in_tiles(
    image: Image.Image,
    picture_format: str,
    *,
    tile: int,
    times: int = 1,
    properties: Sequence[tuple[bytes, bytes]] = (),
    **options: Any,
) -> bytes:
    """The picture, `times` times below itself, in square tiles: the last column is filled with magenta, which is not to be seen."""
    columns, rows = -(-image.width // tile), image.height // tile
    padded = Image.new("RGB", (columns * tile, rows * tile), "magenta")
    padded.paste(image)
    parts = [
        coded(padded.crop((x * tile, y * tile, (x + 1) * tile, (y + 1) * tile)), picture_format, **options)
        for y in range(rows)
        for x in range(columns)
    ]
    size = (image.width, times * image.height)
    return tiled(parts * times, picture_format, columns=columns, tile=(tile, tile), size=size, properties=properties)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body
