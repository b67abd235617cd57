"""X pixmaps whose colours are named for grey or black and white screens alone, or by a symbol, with these names as their colours."""

import re
from typing import Final

_MAGIC: Final = b"/* XPM */"
_TEXT: Final = re.compile(rb'"([^"]*)"')
_MAX_BYTES: Final = 4 * 1024**2
_MOST_COLOURS: Final = 65536
_BEST_FIRST: Final = (b"c", b"g", b"g4", b"m", b"s")
"""Screens of colours, of grey, of four greys, of black and white; a name that a program may give a colour to."""


def with_colours(content: bytes) -> bytes:
    """Return the pixmap with one colour for each of its signs; all else, and what is damaged, as it is."""
    if not content.startswith(_MAGIC) or len(content) > _MAX_BYTES:
        return content
    texts = _TEXT.finditer(content)
    head = next(texts, None)
    numbers = head[1].split() if head else []
    if len(numbers) < 4 or not all(number.isdigit() and len(number) < 6 for number in numbers[:4]):
        return content
    count, width = int(numbers[2]), int(numbers[3])
    made, done = b"", 0
    for _, found in zip(range(min(count, _MOST_COLOURS)), texts, strict=False):
        words = found[1][width:].split()
        named = dict(zip(words[::2], words[1::2], strict=False))
        colour = next((named[key] for key in _BEST_FIRST if key in named), None)
        if colour is None:
            return content
        made += content[done : found.start(1)] + found[1][:width] + b" c " + colour
        done = found.end(1)
    return made + content[done:]
