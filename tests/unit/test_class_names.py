"""One concept, one name: no two public classes of the product share theirs."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "storage", "processors", "streams", "service")


def test_no_two_public_classes_have_one_name() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].add(str(path.relative_to(ROOT)))
    assert places
    assert {name: sorted(found) for name, found in places.items() if len(found) > 1} == {}
