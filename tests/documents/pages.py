"""The project's Markdown pages: their headings' anchors, their links, their code blocks."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_FENCE: Final = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
_ANCHOR: Final = re.compile(r'<a (?:id|name)="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block: what it says that it is, and what it holds."""

    page: Path
    language: str
    text: str


def all_pages() -> list[Path]:
    """Every Markdown file that is, or will be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    return [Block(page, found[2], found[3]) for found in _FENCE.finditer(page.read_text(encoding="utf-8"))]


def prose(page: Path) -> str:
    """A page without its fenced blocks and code spans."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"(?<!\[)`[^`\n]*`(?!\])", "", text)


def code_spans(page: Path) -> list[str]:
    """The code within sentences and tables."""
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """What a link may name on a page, as GitHub makes it of headings."""
    made: set[str] = set(_ANCHOR.findall(page.read_text(encoding="utf-8")))
    counts: dict[str, int] = {}
    for heading in _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        seen = counts.get(slug, 0)
        counts[slug] = seen + 1
        made.add(f"{slug}-{seen}" if seen else slug)
    return made


def broken_links(page: Path, root: Path = ROOT) -> Iterator[str]:
    """Links within the project whose file or heading is not there, as sentences."""
    for target in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists():
            yield f"{page.relative_to(root)}: {target} is not there"
        elif anchor and path.suffix == ".md" and anchor not in anchors(path):
            yield f"{page.relative_to(root)}: {target} has no such heading"
