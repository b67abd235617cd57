"""Tables of plain text: one record a line, never wrapped, so that a pipe can read them."""

from collections.abc import Iterable, Sequence
from itertools import chain


def aligned(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the heading and one line a row, in columns with two spaces between them."""
    lines = [[printable(cell) for cell in row] for row in chain([heading], rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "".join(f"{line.rstrip()}\n" for line in padded)


def printable(text: str) -> str:
    """Return `text` on one line, without what a terminal would obey: names in rows and of files may hold either."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
