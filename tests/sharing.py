"""Which files a run loads; which tests xdist keeps in one process, those of a file, whose set-ups they share; and which
process takes which.
"""

import re
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

_ROOT = Path(__file__).parents[1]
_WITH_INSTALLATIONS = 2
"""So many processes begin with the long tests, which mostly wait; beside more of them, bounds do not hold on two cores."""


class Sharing(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """A file is dealt out as a whole, and most system tests one by one, for each sets up an installation of its own."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        put_next_first(self.workqueue, self.nodes.index(node))
        super()._assign_work_unit(node)


def put_next_first(scopes: OrderedDict[str, Any], process: int) -> None:
    """Scopes are dealt out from the front, where the long tests are; the third process begins with the quick ones, at the end."""
    if process >= _WITH_INSTALLATIONS:
        scopes.move_to_end(next(reversed(scopes)), last=False)


def scope_of(test: str) -> str:
    """Tests with the same scope run in one process, one after the other."""
    file = test.partition("::")[0]
    return test if file.startswith("tests/system/") and not _has_a_shared_set_up(file) else file


@cache
def _has_a_shared_set_up(file: str) -> bool:
    return 'scope="module"' in (_ROOT / file).read_text()


def may_have(markers: str, text: str) -> bool:
    """Return whether a file with this text may have tests for `-m markers`; of "timed and not alone" it names the first."""
    first = re.fullmatch(r"(alone|slow|timed)( and not \w+)*", markers)
    return first is None or f"mark.{first[1]}" in text
