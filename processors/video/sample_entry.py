"""The facts of an MP4 about a video track beside its codec: the boxes within its sample entry."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from processors.iso_boxes import Box, walk_boxes
from processors.source_file import SourceFile

_LOOKED_INTO: Final = frozenset({b"trak", b"mdia", b"minf", b"stbl"})
_VISUAL_ENTRY_BYTES: Final = 78
_HEAD_KINDS: Final = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def is_mp4(head: bytes) -> bool:
    """Return whether a file begins with a box of MP4's or QuickTime's; `head` is its first eight bytes."""
    return head[4:8] in _HEAD_KINDS


def entry_boxes(file: SourceFile, film: int) -> Iterator[Box]:
    """Yield the boxes in the first sample entry of the film with this index among the file's films."""
    movie = next((box for box in walk_boxes(file) if box.kind == b"moov"), None)
    descriptions = None if movie is None else next(islice(_descriptions_of_films(file, movie), film, None), None)
    if descriptions is None:
        return
    entry = next(walk_boxes(file, start=descriptions.start + 8, end=descriptions.end), None)
    if entry is not None:
        yield from walk_boxes(file, start=entry.start + _VISUAL_ENTRY_BYTES, end=entry.end)


def _descriptions_of_films(file: SourceFile, movie: Box) -> Iterator[Box | None]:
    """Yield the sample descriptions (stsd) of each video track, in order; read no further than the track that is asked for."""
    is_film, descriptions = False, None
    for box in walk_boxes(file, _LOOKED_INTO, movie.start, movie.end):
        if box.kind == b"trak":
            if is_film:
                yield None  # the track before has none
            is_film, descriptions = False, None
        elif box.kind == b"hdlr":  # QuickTime has another one, of the data, in the same track
            is_film = is_film or box.read(file, 12)[8:12] == b"vide"
        elif box.kind == b"stsd":
            descriptions = box
        if is_film and descriptions is not None:
            yield descriptions
            is_film, descriptions = False, None
