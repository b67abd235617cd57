"""Boxes of ISO media files (MP4, QuickTime, AVIF, HEIC), for the few facts that decoders keep to themselves.

Everything in them may be forged: sizes are bounded by their surroundings, numbers of boxes by MAX_BOXES.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from processors.source_file import SourceFile

MAX_BOXES: Final = 200
"""In one parent; more are not looked at."""


@dataclass(frozen=True)
class Box:
    """A box's type, and where its content lies in the file."""

    kind: bytes
    start: int
    end: int

    def read(self, file: SourceFile, limit: int) -> bytes:
        """The content, at most `limit` bytes of it."""
        file.seek(self.start)
        return file.read(min(limit, self.end - self.start))


def boxes_in(file: SourceFile, start: int, end: int) -> Iterator[Box]:
    """The boxes between two places of the file, in order; what does not fit ends them."""
    for _ in range(MAX_BOXES):
        file.seek(start)
        head = file.read(min(16, max(0, end - start)))
        if len(head) < 8:
            return
        size, kind = int.from_bytes(head[:4]), head[4:8]
        content = start + 8
        if size == 1 and len(head) == 16:
            size, content = int.from_bytes(head[8:16]), start + 16
        stop = end if size == 0 else start + size
        if not content <= stop <= end:
            return
        yield Box(kind, content, stop)
        start = stop


def descend(file: SourceFile, parent: Box, *path: bytes) -> Box | None:
    """The first box of each kind on the way down."""
    found: Box | None = parent
    for kind in path:
        if found is None:
            return None
        # 'meta' has four bytes of version and flags before its children, and 'stsd' four more for their number.
        skipped = {b"meta": 4, b"stsd": 8}.get(found.kind, 0)
        found = next((box for box in boxes_in(file, found.start + skipped, found.end) if box.kind == kind), None)
    return found


def top_box(file: SourceFile, kind: bytes) -> Box | None:
    """The first box of this kind that no other holds."""
    return next((box for box in boxes_in(file, 0, file.size) if box.kind == kind), None)
