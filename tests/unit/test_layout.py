"""Unit tests stand where a reader looks for them: in the folder that the tested module has."""

from pathlib import Path

UNIT = Path(__file__).parent
ROOT = UNIT.parents[1]


def test_every_folder_of_unit_tests_is_a_folder_of_the_tree() -> None:
    folders = {path.parent.relative_to(UNIT) for path in UNIT.rglob("*.py")}
    strangers = [str(at) for at in folders if not (ROOT / at).is_dir() and not (ROOT / "tests" / at).is_dir()]
    assert strangers == []
