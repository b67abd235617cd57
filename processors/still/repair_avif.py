"""AVIFs that libavif refuses and browsers show, as AVIFs that it takes: the same pictures, in boxes as the standard has them.

Nothing moves in the file, for other boxes point into it: entries are rewritten in their place, and what only describes the picture and
is broken gets a name that no reader knows.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

_PARENTS: Final = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6}
"""Boxes to look into, and the bytes before their children."""
_MAX_BOXES: Final = 4096
_FULL_BOX: Final = 12
_LEFT_OUT: Final = {b"Exif", b"mime", b"tmap"}
"""Items beside the picture: tags, and the gain map of its other rendering."""
_ESSENTIAL: Final = (b"clap", b"irot", b"imir")
_GROUPS: Final = b"grpl"
_UNKNOWN: Final = b"skip"


@dataclass(frozen=True)
class _Box:
    kind: bytes
    start: int
    """Where its header begins; its content does 8 bytes later."""
    end: int


def repair_avif(content: bytes) -> Iterator[bytes]:
    """Yield the file with its boxes put right, then the same without its tags, its gain map and what it groups."""
    if content[4:8] != b"ftyp":
        return
    repaired = bytearray(content)
    boxes = list(_walk(content, 0, len(content)))
    _without_brand(repaired, b"tmap")
    _merge_associations(repaired, [box for box in boxes if box.kind == b"ipma"])
    _size_alpha(repaired, boxes)
    _mark_turns(repaired, boxes)
    for box in boxes:
        if box.kind == b"iref":
            _point_at_primary(repaired, box, boxes)
    if repaired != content:
        yield bytes(repaired)
    for box in boxes:
        # version 2: header, version and flags, two bytes of number, two of protection, then the kind
        at = box.start + _FULL_BOX + (4 if repaired[box.start + 8 : box.start + 9] == b"\2" else 6)
        if box.kind == b"infe" and bytes(repaired[at : at + 4]) in _LEFT_OUT:
            repaired[at : at + 4] = _UNKNOWN
        elif box.kind == _GROUPS:
            repaired[box.start + 4 : box.start + 8] = _UNKNOWN
    yield bytes(repaired)


def _walk(content: bytes, start: int, end: int) -> Iterator[_Box]:
    """Yield the boxes between two places, with those inside of them."""
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        size = int.from_bytes(content[start : start + 4]) or end - start
        if size < 8:
            return
        box = _Box(content[start + 4 : start + 8], start, min(start + size, end))
        yield box
        if box.kind in _PARENTS:
            before = _PARENTS[box.kind] + (2 if box.kind == b"iinf" and content[start + 8 : start + 9] != b"\0" else 0)
            yield from _walk(content, start + 8 + before, box.end)
        start += size


def _without_brand(repaired: bytearray, brand: bytes) -> None:
    """Take a brand from the list of what the file is compatible with: `tmap` has libavif refuse a gain map that browsers pass over."""
    for at in range(16, min(int.from_bytes(repaired[:4]), len(repaired)), 4):
        if repaired[at : at + 4] == brand:
            repaired[at : at + 4] = b"mif1"


def _mark_turns(repaired: bytearray, boxes: list[_Box]) -> None:
    """Call turns, mirrors and crops essential, as the standard wants them to be."""
    container = next((box for box in boxes if box.kind == b"ipco"), None)
    found = next((box for box in _walk(bytes(repaired), 0, len(repaired)) if box.kind == b"ipma"), None)
    if container is None or found is None or repaired[found.start + 8] != 0 or repaired[found.start + 11] & 1:
        return
    properties = [box.kind for box in boxes if container.start < box.start < container.end]
    at = found.start + _FULL_BOX + 4
    for _ in range(int.from_bytes(repaired[at - 4 : at])):
        if at + 3 > found.end:
            return
        for place in range(at + 3, min(at + 3 + repaired[at + 2], found.end)):
            if _property(properties, repaired[place] & 0x7F) in _ESSENTIAL:
                repaired[place] |= 0x80
        at += 3 + repaired[at + 2]


def _merge_associations(repaired: bytearray, boxes: list[_Box]) -> None:
    """Make one ipma box of several: cavif wrote one an item, where one is allowed for all."""
    alike = [box for box in boxes if box.end - box.start >= _FULL_BOX + 4]
    if len(alike) < 2 or any(one.end != other.start for one, other in pairwise(alike)):
        return
    heads = {bytes(repaired[box.start + 8 : box.start + 12]) for box in alike}
    if len(heads) != 1:
        return
    entries = b"".join(bytes(repaired[box.start + _FULL_BOX + 4 : box.end]) for box in alike)
    count = sum(int.from_bytes(repaired[box.start + _FULL_BOX : box.start + _FULL_BOX + 4]) for box in alike)
    size = (
        alike[-1].end - alike[0].start
    )  # nothing may stand behind the box: what is left belongs to it, and is not read
    made = struct.pack(">I4s", size, b"ipma") + heads.pop() + struct.pack(">I", count) + entries
    repaired[alike[0].start : alike[-1].end] = made.ljust(size, b"\0")


def _size_alpha(repaired: bytearray, boxes: list[_Box]) -> None:
    """Give an auxiliary picture without a size (ispe) the first one, in the place of its depth (pixi), which decoders know anyway."""
    container = next((box for box in boxes if box.kind == b"ipco"), None)
    properties = [] if container is None else [box.kind for box in boxes if container.start < box.start < container.end]
    if b"ispe" not in properties:
        return
    size = properties.index(b"ispe") + 1
    found = next((box for box in _walk(bytes(repaired), 0, len(repaired)) if box.kind == b"ipma"), None)
    if found is None or repaired[found.start + 8] != 0 or repaired[found.start + 11] & 1:
        return  # numbers of four bytes, or properties of two: nothing that needs this writes them
    at = found.start + _FULL_BOX + 4
    for _ in range(int.from_bytes(repaired[at - 4 : at])):
        if at + 3 > found.end:
            return
        count = repaired[at + 2]
        own = range(at + 3, min(at + 3 + count, found.end))
        kinds = {place: _property(properties, repaired[place] & 0x7F) for place in own}
        depth = next((place for place, kind in kinds.items() if kind == b"pixi"), None)
        if b"ispe" not in kinds.values() and b"av1C" in kinds.values() and depth is not None:
            repaired[depth] = size
        at += 3 + count


def _property(properties: list[bytes], number: int) -> bytes | None:
    return properties[number - 1] if 0 < number <= len(properties) else None


def _point_at_primary(repaired: bytearray, iref: _Box, boxes: list[_Box]) -> None:
    """An alpha plane that belongs to item 0, which is none, belongs to the picture."""
    primary = next((box for box in boxes if box.kind == b"pitm" and repaired[box.start + 8] == 0), None)
    if primary is None or repaired[iref.start + 8] != 0:
        return
    number = repaired[primary.start + _FULL_BOX : primary.start + _FULL_BOX + 2]
    at = iref.start + _FULL_BOX
    while at + 14 <= iref.end:
        if repaired[at + 4 : at + 8] == b"auxl" and repaired[at + 10 : at + 14] == b"\0\1\0\0":
            repaired[at + 12 : at + 14] = number
        at += max(8, int.from_bytes(repaired[at : at + 4]))
