"""The provider of docs/storage.md as an installed package: its code is taken from the page, word for word."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "storage.md"
_NAME = "my_package"


def code_of_the_page(language: str) -> str:
    """The page's one block in that language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    return str(found)


@contextmanager
def documented_provider(folder: Path) -> Iterator[None]:
    """Importable and known by its entry point for the length of a block."""
    (target,) = re.findall(r'sqlite = "(.*)"', code_of_the_page("toml"))
    information = folder / f"{_NAME}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {_NAME}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[thumbnails.storage_providers]\nsqlite = {target}\n")
    (folder / f"{_NAME}.py").write_text(code_of_the_page("python"))
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(_NAME, None)
