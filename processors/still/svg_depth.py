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
_TAG: Final = re.compile(rb"""<(?:[^"'>]|"[^"]*"|'[^']*')*>""")
_WHOLE: Final = ""


class _Depths:
    """Gathers, for the whole drawing and for each element with an id, its own depth and what it refers to, and how deep inside."""

    def __init__(self, parser: expat.XMLParserType) -> None:
        self.own: Final[dict[str, int]] = defaultdict(int)
        self.references: Final[dict[str, dict[str, int]]] = defaultdict(dict)
        self.tags: Final[list[tuple[int, tuple[str, ...], set[str]]]] = []
        """Of those that refer to something: where they begin, in what they lie, and what they refer to."""
        self._open: Final[list[tuple[str, int]]] = [(_WHOLE, 0)]
        self._depth = 0
        self._count = 0
        self._parser: Final = parser

    def start(self, _name: str, attributes: Mapping[str, str]) -> None:
        """Go into an element."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _TooDeepError
        if identity := attributes.get("id"):
            self._open.append((identity, self._depth))
        targets = {found for value in attributes.values() if "#" in value for found in _REFERENCE.findall(value)}
        if targets:
            self.tags.append((self._parser.CurrentByteIndex, tuple(identity for identity, _ in self._open), targets))
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
    depths = _depths_of(text.encode("utf-8", "replace"))
    if depths is None:
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


def without_circles(text: str) -> str:
    """Return the drawing without the references by which an element would be drawn inside itself: browsers leave these out, too."""
    content = text.encode("utf-8", "replace")
    depths = _depths_of(content)
    if depths is None:
        return text
    circles = _closing(depths.references)
    made, done = b"", 0
    for start, identities, targets in depths.tags:
        tag = _TAG.match(content, start)
        closing = [target for target in targets if any((identity, target) in circles for identity in identities)]
        if tag is None or not closing:
            continue
        changed = tag[0]
        for target in closing:
            name = re.escape(target.encode())
            changed = re.sub(rb"""url\(\s*["']?\s*#""" + name + rb"""["']?\s*\)""", b"none", changed)
            changed = re.sub(rb"#" + name + rb"""(?=[\s"'])""", b"#", changed)
        made, done = made + content[done:start] + changed, tag.end()
    return (made + content[done:]).decode()


def _depths_of(content: bytes) -> _Depths | None:
    """None where it is no XML, and where elements lie too deep in each other."""
    parser = expat.ParserCreate("utf-8")
    depths = _Depths(parser)
    parser.StartElementHandler, parser.EndElementHandler = depths.start, depths.end
    try:
        parser.Parse(content, True)
    except (_TooDeepError, expat.ExpatError):
        return None
    return depths


def _closing(references: Mapping[str, Mapping[str, int]]) -> set[tuple[str, str]]:
    """Return the references that lead back to where the way to them came from."""
    found: set[tuple[str, str]] = set()
    done: set[str] = set()
    way = {_WHOLE: iter(references.get(_WHOLE, ()))}
    while way:
        identity, targets = next(reversed(way.items()))
        target = next(targets, None)
        if target is None:
            done.add(identity)
            del way[identity]
        elif target in way:
            found.add((identity, target))
        elif target not in done:
            way[target] = iter(references.get(target, ()))
    return found
