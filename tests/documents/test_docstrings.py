"""Do docstrings begin with what a thing is or does? A sentence that begins with As, What, Of or Whether hides it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("service", "streams", "storage", "schemas", "processors")
HIDING: Final = re.compile(r"(?:^|[.!?]\s+)((?:As|What|Of|Whether)\b[^.]*)")
DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, DOCUMENTED):
            yield " ".join((ast.get_docstring(node) or "").split())


@pytest.mark.parametrize("room", ROOMS)
def test_no_sentence_of_a_docstring_hides_its_subject(room: str) -> None:
    paths = sorted((ROOT / room).rglob("*.py"))
    found = [(path.name, hiding) for path in paths for text in docstrings(path) for hiding in HIDING.findall(text)]
    assert paths
    assert not found
