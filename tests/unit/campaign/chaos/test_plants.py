"""The bugs that can be planted still fit the product: a bug that is planted nowhere would prove nothing."""

import compileall
from pathlib import Path

import pytest

from tests.campaign.chaos.content_plants import ALL_PLANTS, CONTENT_PLANTS
from tests.campaign.chaos.plants import PLANTS, ROOT, Edit, PlantError, changed_copy


def test_no_two_bugs_have_the_same_name() -> None:
    assert len(ALL_PLANTS) == len(PLANTS) + len(CONTENT_PLANTS)


@pytest.mark.parametrize("name", sorted(ALL_PLANTS))
def test_each_bug_changes_a_copy_that_is_still_a_program(name: str, tmp_path: Path) -> None:
    root = changed_copy(ALL_PLANTS[name].edits, tmp_path)
    for edit in ALL_PLANTS[name].edits:
        assert (root / edit.path).read_text() != (ROOT / edit.path).read_text()
        assert compileall.compile_file(root / edit.path, quiet=1)


def test_a_bug_that_fits_no_more_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlantError, match="what nobody wrote"):
        changed_copy([Edit("streams/retry/role.py", "what nobody wrote", "")], tmp_path)
