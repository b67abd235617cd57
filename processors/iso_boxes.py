"""Boxes of ISO media files (MP4, QuickTime, AVIF, HEIC), for the few facts that decoders keep to themselves.

Everything in them may be forged. The walk is flat: the children of a box are the boxes that come next, whatever size the
box itself claims, so that no parent can hide a child that a decoder would find.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from processors.source_file import SourceFile

MAX_BOXES: Final = 4096
"""In one walk; more are not looked at. The headers of no picture and of no video have so many."""
_META_BYTES: Final = 4
"""Version and flags, which a `meta` box has before its children."""


@dataclass(frozen=True)
class Box:
    """A box's type, and where its content lies in the file, as it says itself."""

    kind: bytes
    start: int
    end: int

    def read(self, file: SourceFile, limit: int) -> bytes:
        """Return the content, at most `limit` bytes of it."""
        file.seek(self.start)
        return file.read(min(limit, self.end - self.start))


def walk_boxes(
    file: SourceFile, inside: frozenset[bytes] = frozenset(), start: int = 0, end: int | None = None
) -> Iterator[Box]:
    """Yield the boxes between two places of the file (its end, without `end`), in the order in which they lie.

    After a box of a kind in `inside` come its children; all other boxes are passed by. A box that cannot be one ends the
    walk, and a box that claims to reach beyond `end` ends there.
    """
    end = file.size if end is None else min(end, file.size)
    for _ in range(MAX_BOXES):
        file.seek(start)
        head = file.read(min(16, max(0, end - start)))
        size, kind = int.from_bytes(head[:4]), head[4:8]
        header = 16 if size == 1 else 8
        if len(head) < header:
            return
        if size == 1:
            size = int.from_bytes(head[8:16])
        size = size or end - start  # 0: up to the end
        if size < header:
            return
        yield Box(kind, start + header, min(start + size, end))
        if kind in inside:
            start += header + (_META_BYTES if kind == b"meta" else 0)
        else:
            start += size
