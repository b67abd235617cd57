"""Which tests xdist keeps in one process: those of a file, whose set-ups they share."""

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

_ROOT = Path(__file__).parents[1]


class Sharing(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """A file is dealt out as a whole, and most system tests one by one, for each sets up an installation of its own."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(test: str) -> str:
    """Tests with the same scope run in one process, one after the other."""
    file = test.partition("::")[0]
    return test if file.startswith("tests/system/") and not _has_a_shared_set_up(file) else file


@cache
def _has_a_shared_set_up(file: str) -> bool:
    return 'scope="module"' in (_ROOT / file).read_text()
