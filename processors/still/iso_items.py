"""The items of AVIF and HEIC files: pictures, the tiles that pictures are made of, transparency; where each lies, and what it is like.

Source: ISO/IEC 14496-12 (meta, iloc, iinf, iref), ISO/IEC 23008-12 (iprp, grid).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from processors.iso_boxes import walk_boxes
from processors.limits import MIB
from processors.readers import DamagedMediaError
from processors.source_file import SourceFile

_LOOKED_INTO: Final = frozenset({b"meta", b"iprp", b"ipco"})
_ASKED: Final = (b"pitm", b"iloc", b"iinf", b"iref", b"ipma", b"idat")
_MOST_BYTES: Final = 4 * MIB
"""Of a box that lists items."""
_MOST_ITEMS: Final = 65535
_DAMAGED: Final = "The picture's beginning is damaged: its list of items is."


@dataclass
class IsoItem:
    """One item: its type, its properties by their types, the items that it is made of, and the places of its bytes in the file."""

    kind: bytes = b""
    properties: dict[bytes, bytes] = field(default_factory=dict)
    tiles: tuple[int, ...] = ()
    auxiliary_of: tuple[int, ...] = ()
    is_in_idat: bool = False
    extents: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, as the file claims them; 0 where it does not."""
        claimed = self.properties.get(b"ispe", b"")
        return int.from_bytes(claimed[4:8]), int.from_bytes(claimed[8:12])


class IsoItems:
    """The items of a file, by their numbers."""

    def __init__(self, file: SourceFile) -> None:
        """Read the lists. Raises DamagedMediaError."""
        self._file: Final = file
        found: dict[bytes, bytes] = {}
        self._idat_at = 0
        properties: list[tuple[bytes, bytes]] = []
        container = (0, 0)
        for box in walk_boxes(file, _LOOKED_INTO):
            if box.kind == b"ipco":
                container = (box.start, box.end)
            elif container[0] <= box.start < container[1]:
                properties.append((box.kind, box.read(file, _MOST_BYTES)))
            elif box.kind in _ASKED and box.kind not in found:
                found[box.kind] = box.read(file, _MOST_BYTES)
                if box.kind == b"idat":
                    self._idat_at = box.start
        self.by_number: Final[dict[int, IsoItem]] = {}
        primary = _Numbers(found.get(b"pitm", b""))
        self.primary: Final = primary.next(4 if primary.version else 2)
        self._read_kinds(_Numbers(found.get(b"iinf", b"")))
        self._read_places(_Numbers(found.get(b"iloc", b"")))
        self._read_properties(_Numbers(found.get(b"ipma", b"")), properties)
        if b"iref" in found:
            self._read_references(_Numbers(found[b"iref"]))

    def content(self, item: IsoItem) -> bytes:
        """Return the item's bytes. Raises DamagedMediaError where they are not in the file."""
        parts = []
        for start, length in item.extents:
            start += self._idat_at if item.is_in_idat else 0
            if start + length > self._file.size:
                raise DamagedMediaError("The picture is cut off: its end is missing.")
            self._file.seek(start)
            parts.append(self._file.read(length or self._file.size - start))
        return b"".join(parts)

    def _read_kinds(self, numbers: "_Numbers") -> None:
        for _ in range(min(_MOST_ITEMS, numbers.next(4 if numbers.version else 2))):
            entry = _Numbers(numbers.take(numbers.next(4) - 8 + 4)[4:])
            number = entry.next(4 if entry.version > 2 else 2)
            entry.next(2)
            self.by_number[number] = IsoItem(entry.take(4))

    def _read_places(self, numbers: "_Numbers") -> None:
        sizes, more = numbers.next(1), numbers.next(1)
        version = numbers.version
        for _ in range(min(_MOST_ITEMS, numbers.next(2 if version < 2 else 4))):
            item = self.by_number.get(numbers.next(2 if version < 2 else 4), IsoItem())
            item.is_in_idat = version > 0 and numbers.next(2) & 15 == 1
            numbers.next(2)
            base = numbers.next(more >> 4)
            for _ in range(numbers.next(2)):
                numbers.next(more & 15 if version > 0 else 0)
                start = base + numbers.next(sizes >> 4)
                item.extents.append((start, numbers.next(sizes & 15)))

    def _read_properties(self, numbers: "_Numbers", properties: list[tuple[bytes, bytes]]) -> None:
        is_wide = numbers.flags & 1
        for _ in range(min(_MOST_ITEMS, numbers.next(4))):
            item = self.by_number.get(numbers.next(2 if numbers.version < 1 else 4), IsoItem())
            for _ in range(numbers.next(1)):
                at = numbers.next(2) & 0x7FFF if is_wide else numbers.next(1) & 0x7F
                if 0 < at <= len(properties):
                    kind, value = properties[at - 1]
                    if (
                        kind != b"colr" or value[:4] == b"nclx"
                    ):  # of two descriptions of its colours the one that is asked for
                        item.properties[kind] = value

    def _read_references(self, numbers: "_Numbers") -> None:
        width = 4 if numbers.version else 2
        while numbers.left >= 8:
            numbers.next(4)
            kind, origin = numbers.take(4), self.by_number.get(numbers.next(width), IsoItem())
            pointed = tuple(numbers.next(width) for _ in range(numbers.next(2)))
            if kind == b"dimg":
                origin.tiles = pointed
            elif kind == b"auxl":
                origin.auxiliary_of = pointed

    def alpha(self) -> IsoItem | None:
        """Return the item that holds the primary picture's transparency."""
        return next(
            (item for item in self._auxiliary() if b":alpha" in item.properties[b"auxC"] or _is_hevc_alpha(item)), None
        )

    def _auxiliary(self) -> Iterator[IsoItem]:
        for item in self.by_number.values():
            if self.primary in item.auxiliary_of and b"auxC" in item.properties:
                yield item


def _is_hevc_alpha(item: IsoItem) -> bool:
    return item.properties[b"auxC"][4:].startswith(b"urn:mpeg:hevc:2015:auxid:1\0")


class _Numbers:
    """The content of a box: its version, its flags, then numbers, the most significant byte first. Raises DamagedMediaError at its end."""

    def __init__(self, content: bytes) -> None:
        self._content: Final = content
        self._at = 0
        self.version: Final = self.next(1)
        self.flags: Final = self.next(3)

    @property
    def left(self) -> int:
        return len(self._content) - self._at

    def take(self, length: int) -> bytes:
        if not 0 <= length <= self.left:
            raise DamagedMediaError(_DAMAGED)
        self._at += length
        return self._content[self._at - length : self._at]

    def next(self, length: int) -> int:
        return int.from_bytes(self.take(length))
