"""docs/walkthrough.md names the hot path, and the hot path reads in one sitting."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_FILES = 13
MOST_LINES = 1_900
NAMED = re.compile(r"^\d+\. \[`([^`]+)`\]\(\.\./([^)]+)\): \S.*\.$", re.MULTILINE)


def hot_path(page: str) -> list[str]:
    """The files that the page numbers, each with its sentence."""
    found = NAMED.findall(page)
    assert len(found) == len(re.findall(r"^\d+\. ", page, re.MULTILINE)), "a line is no link with a sentence"
    assert all(name == target for name, target in found)
    return [name for name, _ in found]


def problem_with(names: list[str], root: Path) -> str | None:
    """Why the path does not read in one sitting; None when it does."""
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        return f"no such file: {', '.join(missing)}"
    lines = sum(len((root / name).read_text().splitlines()) for name in names)
    if len(names) > MOST_FILES or lines > MOST_LINES:
        return f"{len(names)} files and {lines} lines"
    return None


def test_the_hot_path_reads_in_one_sitting() -> None:
    names = hot_path((ROOT / "docs/walkthrough.md").read_text())
    assert len(set(names)) == len(names) >= 10
    assert problem_with(names, ROOT) is None


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([f"{number}.py" for number in range(MOST_FILES + 1)], "14 files and 14 lines"),
        (["long.py"], "1 files and 1901 lines"),
        (["gone.py"], "no such file: gone.py"),
    ],
)
def test_a_longer_one_is_found(tmp_path: Path, names: list[str], problem: str) -> None:
    for number in range(MOST_FILES + 1):
        (tmp_path / f"{number}.py").write_text("one\n")
    (tmp_path / "long.py").write_text("one\n" * (MOST_LINES + 1))
    assert problem_with(names, tmp_path) == problem
