"""How deep the elements of a drawing lie in each other, those that others refer to included: resvg calls itself for each level.

Its stack holds 200 levels at the least, on x86-64 with 8 MiB; beyond that the process would die.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Final
from xml.parsers import expat

MAX_DEPTH: Final = 120
"""Drawing programs stay far below 50."""
_MOST_REFERENCES: Final = 50_000
_REFERENCE: Final = re.compile(r"""(?:^|url\(\s*["']?)\s*#([^\s"')]+)""")
_WHOLE: Final = ""


class _Depths:
    """Gathers, for the whole drawing and for each element with an id, its own depth and what it refers to, and how deep inside."""

    def __init__(self) -> None:
        self.own: Final[dict[str, int]] = defaultdict(int)
        self.references: Final[dict[str, dict[str, int]]] = defaultdict(dict)
        self._open: Final[list[tuple[str, int]]] = [(_WHOLE, 0)]
        self._depth = 0
        self._count = 0

    def start(self, _name: str, attributes: Mapping[str, str]) -> None:
        """Go into an element."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _TooDeepError
        if identity := attributes.get("id"):
            self._open.append((identity, self._depth))
        targets = {found for value in attributes.values() if "#" in value for found in _REFERENCE.findall(value)}
        for identity, at in self._open:
            inside = self._depth - at + 1
            self.own[identity] = max(self.own[identity], inside)
            for target in targets:
                self._count += 1
                known = self.references[identity]
                known[target] = max(known.get(target, 0), inside)
        if self._count > _MOST_REFERENCES:
            raise _TooDeepError

    def end(self, _name: str) -> None:
        """Go out of an element."""
        if self._open[-1][1] == self._depth and len(self._open) > 1:
            self._open.pop()
        self._depth -= 1


class _TooDeepError(Exception):
    """Ends the parsing."""


def is_too_deep(text: str) -> bool:
    """Return whether drawing it might go deeper than MAX_DEPTH; also where that cannot be known, for it is no XML."""
    depths = _Depths()
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = depths.start, depths.end
    try:
        parser.Parse(text.encode("utf-8", "replace"), True)
    except (_TooDeepError, expat.ExpatError):
        return True
    reached, waiting = {_WHOLE: 0}, [_WHOLE]
    while waiting:
        identity = waiting.pop()
        at = reached[identity]
        if at + depths.own[identity] > MAX_DEPTH:
            return True
        for target, inside in depths.references[identity].items():
            if target in depths.own and reached.get(target, -1) < at + inside:
                reached[target] = at + inside
                waiting.append(target)
    return False
