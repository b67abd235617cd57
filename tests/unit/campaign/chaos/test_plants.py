"""The bugs that can be planted still fit the product: a bug that is planted nowhere would prove nothing."""

import compileall
from pathlib import Path

import pytest

from tests.campaign.chaos.plants import PLANTS, ROOT, Edit, Plant, PlantError, plant


@pytest.mark.parametrize("name", sorted(PLANTS))
def test_each_bug_changes_a_copy_that_is_still_a_program(name: str, tmp_path: Path) -> None:
    root = plant(name, tmp_path)
    for edit in PLANTS[name].edits:
        assert (root / edit.path).read_text() != (ROOT / edit.path).read_text()
        assert compileall.compile_file(root / edit.path, quiet=1)


def test_a_bug_that_fits_no_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outdated = Plant("gone", (Edit("streams/retry/role.py", "what nobody wrote", ""),), frozenset())
    monkeypatch.setitem(PLANTS, "outdated", outdated)
    with pytest.raises(PlantError, match="what nobody wrote"):
        plant("outdated", tmp_path)
