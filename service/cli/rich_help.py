"""Typer's printer of help texts and of wrong uses, in half of its time."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


def load_help_printer() -> None:
    """Load it without Rich's printers of Markdown and of tracebacks: our help texts have none, and they take 0.1 s to load."""
    with _left_out("rich.markdown", "Markdown"), _left_out("rich.traceback", "Traceback"):
        import typer.rich_utils  # noqa: F401


@contextmanager
def _left_out(module: str, name: str) -> Iterator[None]:
    """Have `from module import name` give an empty class inside; after it the module is what it always was."""
    if module in sys.modules:
        yield
        return
    stand_in = ModuleType(module)
    setattr(stand_in, name, type(name, (), {}))
    sys.modules[module] = stand_in
    try:
        yield
    finally:
        del sys.modules[module]
