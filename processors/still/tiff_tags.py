"""The tags of TIFF files, camera raw files among them, without Pillow: which it does not show of kinds that it does not decode."""

import struct
from collections.abc import Iterator
from typing import Final

from processors.source_file import SourceFile

_MAX_DIRECTORIES: Final = 64
_MAX_TAGS: Final = 1000
_MAX_VALUES: Final = 1_000_000
_CODES: Final = {1: "B", 2: "B", 3: "H", 4: "L", 6: "b", 7: "B", 8: "h", 9: "l", 13: "L", 16: "Q", 17: "q", 18: "Q"}
"""By field type, struct's code; fractions and floats are not asked for."""
_MAGICS: Final = {b"*\0": "<", b"\0*": ">", b"RO": "<", b"RS": "<", b"U\0": "<", b"\x2b\0": "<", b"\0\x2b": ">"}
"""Behind the byte order: TIFF, Olympus (twice), Panasonic, BigTIFF."""

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 273, 274, 277, 278, 279
PLANAR, COLOUR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 284, 320, 322, 323, 324, 325
SUBFILE_TYPE, SUB_DIRECTORIES, JPEG_TABLES, JPEG_OFFSET, JPEG_BYTES = 254, 330, 347, 513, 514
PREDICTOR, INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, XMP = 317, 332, 338, 339, 700
EXIF_DIRECTORY, PROFILE, DNG_VERSION, PANASONIC_JPEG = 34665, 34675, 50706, 46

Tags = dict[int, tuple[int, ...]]
"""By number, the values of a tag; texts as their bytes."""


class FileBytes:
    """A file as bytes of which only what is asked for is read."""

    def __init__(self, file: SourceFile) -> None:
        self._file: Final = file

    def __len__(self) -> int:
        return self._file.size

    def __getitem__(self, part: slice) -> bytes:
        start, end, _ = part.indices(self._file.size)
        self._file.seek(start)
        return self._file.read(max(0, end - start))


Content = bytes | FileBytes


def read_directories(content: Content) -> Iterator[Tags]:
    """Yield the tags of every directory, those of pictures inside pictures too; what is damaged is left out."""
    if content[:2] not in (b"II", b"MM") or content[2:4] not in _MAGICS:
        return
    order = "<" if content[:2] == b"II" else ">"
    is_big = content[2:4] in (b"\x2b\0", b"\0\x2b")
    reader = _Reader(content, order, is_big=is_big)
    waiting = [reader.number(8 if is_big else 4)]
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_DIRECTORIES:
        at = waiting.pop(0)
        if at <= 0 or at >= len(content) or at in seen:
            continue
        seen.add(at)
        tags, following = reader.directory(at)
        waiting += tags.get(SUB_DIRECTORIES, ())[:_MAX_DIRECTORIES]
        waiting += tags.get(EXIF_DIRECTORY, ())[:1]
        waiting.append(following)
        yield tags


def one(tags: Tags, number: int, otherwise: int = 0) -> int:
    """Return a tag's first value."""
    found = tags.get(number)
    return found[0] if found else otherwise


class _Reader:
    def __init__(self, content: Content, order: str, *, is_big: bool) -> None:
        self._content: Final = content
        self._order: Final = order
        self._count_bytes, self._entry_bytes, self._offset_bytes = (8, 20, 8) if is_big else (2, 12, 4)

    def number(self, at: int, length: int | None = None) -> int:
        """Return the unsigned number at `at`; as long as an offset without `length`. 0 beyond the end."""
        raw = self._content[at : at + (length or self._offset_bytes)]
        return int.from_bytes(raw, "little" if self._order == "<" else "big")

    def directory(self, at: int) -> tuple[Tags, int]:
        """Return the directory's tags, and where the next one is."""
        count = min(self.number(at, self._count_bytes), _MAX_TAGS)
        first = at + self._count_bytes
        tags: Tags = {}
        for entry in range(first, first + count * self._entry_bytes, self._entry_bytes):
            values = self._values(entry)
            if values:
                tags.setdefault(self.number(entry, 2), values)
        return tags, self.number(first + count * self._entry_bytes)

    def _values(self, entry: int) -> tuple[int, ...]:
        code = _CODES.get(self.number(entry + 2, 2))
        count = self.number(entry + 4)
        if code is None or not 0 < count <= _MAX_VALUES:
            return ()
        place = entry + 4 + self._offset_bytes
        size = struct.calcsize("=" + code) * count
        if size > self._offset_bytes:
            place = self.number(place)
        if place + size > len(self._content):
            return ()
        return struct.unpack(f"{self._order}{count}{code}", self._content[place : place + size])


def with_tags(content: bytes, changed: Tags) -> bytes:
    """Return the file with another first directory, behind its end: its own entries, but for those in `changed`.

    Those without a value, and which way up the picture is, are left out. Not for BigTIFF.
    """
    order = "<" if content[:2] == b"II" else ">"
    at = struct.unpack_from(order + "L", content, 4)[0]
    (count,) = struct.unpack_from(order + "H", content, at)
    entries = dict(_entries(content, at, count, order))
    for number in (ORIENTATION, XMP, *(number for number, numbers in changed.items() if not numbers)):
        entries.pop(number, None)
    changed = {number: numbers for number, numbers in changed.items() if numbers}
    values = b""
    place = len(content) + 6 + 12 * (len(entries) + len(changed.keys() - entries.keys()))
    for number, numbers in changed.items():
        data = struct.pack(f"{order}{len(numbers)}L", *numbers)
        if len(numbers) > 1:
            data, values = struct.pack(order + "L", place + len(values)), values + data
        entries[number] = struct.pack(order + "HHL", number, 4, len(numbers)) + data
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries[number] for number in sorted(entries))
    return content[:4] + struct.pack(order + "L", len(content)) + content[8:] + directory + bytes(4) + values


def _entries(content: bytes, at: int, count: int, order: str) -> Iterator[tuple[int, bytes]]:
    for entry in range(at + 2, at + 2 + 12 * min(count, 1000), 12):
        if entry + 12 <= len(content):
            yield struct.unpack_from(order + "H", content, entry)[0], content[entry : entry + 12]
