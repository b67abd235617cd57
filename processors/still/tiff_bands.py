"""Large TIFFs, some strips or a row of tiles at a time: each as a small TIFF of its own, with the tags that say what its bytes mean.

Where the file has the same picture in smaller sizes beside it (overviews, a pyramid), the smallest one that is large enough is read.
"""

import io
import struct
from typing import Final

from PIL import Image

from processors.readers import DamagedMediaError, reading
from processors.still import tiff_tags as tags
from processors.still.bands import BandPlan, Bands
from processors.still.decode import widen_palette

_COPIED: Final = (
    *(tags.BITS, tags.COMPRESSION, tags.PHOTOMETRIC, tags.SAMPLES, tags.PLANAR, tags.TILE_WIDTH, tags.TILE_HEIGHT),
    *(266, 292, 293, 317, 320, 332, 338, 339, tags.JPEG_TABLES, 530, 531),
)
"""And order of bits, options of fax, predictor, colour map, inks, samples beside the colours, their format, coarseness of colours."""
_UNCOMPRESSED: Final = 1
_CHUNKY: Final = 1
_SMALLER_VERSION: Final = 1
_SPARE: Final = 5 / 4
_ASPECT_TOLERANCE: Final = 0.01
_BYTES, _SHORT, _LONG = 7, 3, 4


class TiffParts:
    """A TIFF's picture as the strips or tiles that hold it. `size` is as stored, not turned."""

    def __init__(self, content: tags.FileBytes, found: tags.Tags) -> None:
        """Take the directory `found`. Raises DamagedMediaError where its numbers make no sense."""
        self._content: Final = content
        self._found: Final = found
        self._is_tiled: Final = tags.TILE_WIDTH in found
        self.size: Final = (tags.one(found, tags.WIDTH), tags.one(found, tags.HEIGHT))
        self._samples: Final = tags.one(found, tags.SAMPLES, 1)
        self._planes: Final = 1 if tags.one(found, tags.PLANAR, _CHUNKY) == _CHUNKY else self._samples
        width = self.size[0]
        if self._is_tiled:
            across = tags.one(found, tags.TILE_WIDTH)
            self._rows, self._across = tags.one(found, tags.TILE_HEIGHT), -(-width // max(1, across))
            width = across * self._across
        else:
            self._rows, self._across = min(tags.one(found, tags.ROWS_PER_STRIP, self.size[1]), self.size[1]), 1
        self.row_bytes: Final = (width * self._samples * max(1, tags.one(found, tags.BITS, 1)) + 7) // 8
        names = (tags.TILE_OFFSETS, tags.TILE_BYTES) if self._is_tiled else (tags.STRIP_OFFSETS, tags.STRIP_BYTES)
        self._offsets, self._lengths = (found.get(name, ()) for name in names)
        wanted = self._across * self._planes * (-(-self.size[1] // self._rows) if self._rows > 0 else 0)
        if min(self.size) < 1 or self._rows < 1 or not 0 < wanted <= len(self._offsets) == len(self._lengths):
            raise DamagedMediaError("The picture's parts are not where its tags say.")

    @property
    def unpacked_bytes(self) -> int:
        """Return how many bytes all rows have."""
        return self.row_bytes * self.size[1]

    @property
    def rows_at_once(self) -> int:
        """Return the fewest rows that can be read: those of a strip or a tile; one where a strip is not packed."""
        return 1 if self._is_plain else self._rows

    @property
    def _is_plain(self) -> bool:
        is_packed = tags.one(self._found, tags.COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED
        return not is_packed and not self._is_tiled and self._planes == 1 and len(self._offsets) == 1

    def bands(self, plan: BandPlan) -> Bands:
        """Yield the picture as Pillow decodes it, not turned. Raises DamagedMediaError."""
        most_bytes = plan.rows * self.row_bytes * 2 + 65536  # more than unpacked: damaged
        for top, rows in plan.row_counts():
            parts = self._parts(top, rows)
            if sum(length for _, length in parts) > most_bytes:
                raise DamagedMediaError("The picture's parts are longer than their pixels.")
            small = self._small_tiff(rows, [self._content[at : at + length] for at, length in parts])
            with reading("picture"), Image.open(io.BytesIO(small), formats=("TIFF",)) as band:
                if band.mode == "P":
                    widen_palette(band)
                band.load()
                yield band

    def _parts(self, top: int, rows: int) -> list[tuple[int, int]]:
        """Return places and lengths of what holds these rows, plane after plane."""
        if self._is_plain:
            return [(self._offsets[0] + top * self.row_bytes, rows * self.row_bytes)]
        in_plane = len(self._offsets) // self._planes
        first, last = top // self._rows * self._across, -(-(top + rows) // self._rows) * self._across
        numbers = [plane * in_plane + number for plane in range(self._planes) for number in range(first, last)]
        return [(self._offsets[number], self._lengths[number]) for number in numbers]

    def _small_tiff(self, rows: int, parts: list[bytes]) -> bytes:
        magic = self._content[0:2]
        order = "<" if magic == b"II" else ">"
        entries = {number: self._found[number] for number in _COPIED if number in self._found}
        places, at = [], 8
        for part in parts:
            places.append(at)
            at += len(part)
        lengths = tuple(map(len, parts))
        entries |= {tags.WIDTH: (self.size[0],), tags.HEIGHT: (rows,)}
        if self._is_tiled:
            entries |= {tags.TILE_OFFSETS: tuple(places), tags.TILE_BYTES: lengths}
        else:
            in_strip = rows if self._is_plain else self._rows
            entries |= {tags.STRIP_OFFSETS: tuple(places), tags.STRIP_BYTES: lengths, tags.ROWS_PER_STRIP: (in_strip,)}
        head = magic + struct.pack(order + "HL", 42, at + at % 2)
        return b"".join((head, *parts, bytes(at % 2), _directory(entries, at + at % 2, order)))


def overview(content: tags.FileBytes, size: tuple[int, int], target: tuple[int, int]) -> tags.Tags:
    """Return the directory of the smallest version of the picture of `size` that is 5/4 of `target`; else the first one.

    Raises DamagedMediaError where there is none.
    """
    best: tags.Tags | None = None
    for found in tags.read_directories(content):
        if best is None:
            best = found
            continue
        width, height = tags.one(found, tags.WIDTH), tags.one(found, tags.HEIGHT)
        is_smaller_version = tags.one(found, tags.SUBFILE_TYPE) == _SMALLER_VERSION
        if not is_smaller_version or width < target[0] * _SPARE or height < target[1] * _SPARE:
            continue
        is_same_shape = abs(width * size[1] / (height * size[0]) - 1) < _ASPECT_TOLERANCE
        if is_same_shape and width * height < tags.one(best, tags.WIDTH) * tags.one(best, tags.HEIGHT):
            best = found
    if best is None:
        raise DamagedMediaError("The picture's beginning is damaged.")
    return best


def _directory(entries: tags.Tags, at: int, order: str) -> bytes:
    """Return a directory that begins at `at`, and the values that find no place in it behind."""
    values, behind = [], b""
    place = at + 6 + 12 * len(entries)
    for number in sorted(entries):
        numbers = entries[number]
        kind = _BYTES if number == tags.JPEG_TABLES else _SHORT if max(numbers) < 65536 else _LONG
        data = struct.pack(
            f"{order}{len(numbers)}{'B' if kind == _BYTES else 'H' if kind == _SHORT else 'L'}", *numbers
        )
        if len(data) > 4:
            data, behind = struct.pack(order + "L", place + len(behind)), behind + data + bytes(len(data) % 2)
        values.append(struct.pack(order + "HHL", number, kind, len(numbers)) + data.ljust(4, b"\0"))
    return struct.pack(order + "H", len(values)) + b"".join(values) + bytes(4) + behind
