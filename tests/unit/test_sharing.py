"""Tests that share a set-up run in one process; system tests with an installation each are dealt out one by one."""

import re
from collections import OrderedDict
from pathlib import Path

import pytest

from tests.sharing import may_have, put_next_first, scope_of


@pytest.mark.parametrize(
    ("test", "scope"),
    [
        ("tests/unit/service/web/test_wall.py::test_it[a::b-tests/c]", "tests/unit/service/web/test_wall.py"),
        ("tests/system/test_health.py::test_a_role", "tests/system/test_health.py"),
        ("tests/system/test_stops.py::test_it[1]", "tests/system/test_stops.py::test_it[1]"),
    ],
    ids=["unit", "system, one installation", "system, one each"],
)
def test_the_scope_of(test: str, scope: str) -> None:
    assert scope_of(test) == scope


def test_two_processes_take_the_long_tests_and_a_third_the_quick_ones_until_they_meet() -> None:
    left = OrderedDict.fromkeys(["kills", "chaos", "demo", "keys", "colours"])
    taken = []
    for process in (0, 1, 2, 0, 2):
        put_next_first(left, process)
        taken.append((process, left.popitem(last=False)[0]))
    assert taken == [(0, "kills"), (1, "chaos"), (2, "colours"), (0, "demo"), (2, "keys")]


def test_xdist_deals_tests_out_by_their_scope(pytestconfig: pytest.Config) -> None:
    """By the hook, whose name xdist might change."""
    manager = pytestconfig.pluginmanager
    made = manager.hook.pytest_xdist_make_scheduler
    assert [found.function.__module__ for found in made.get_hookimpls()].count("tests.conftest") == 1


@pytest.mark.parametrize(
    ("markers", "loaded"),
    [
        ("", {"alone", "timed", "neither"}),
        ("alone", {"alone"}),
        ("timed and not alone", {"timed", "alone"}),
        ("not timed and not alone", {"alone", "timed", "neither"}),
        ("alone or not slow", {"alone", "timed", "neither"}),
    ],
)
def test_a_run_of_few_tests_loads_their_files_alone(markers: str, loaded: set[str]) -> None:
    texts = {"alone": "@pytest.mark.timed\n@pytest.mark.alone", "timed": "= pytest.mark.timed", "neither": "timed = 1"}
    assert {name for name, text in texts.items() if may_have(markers, text)} == loaded


def test_the_makefile_asks_for_marks_as_the_files_are_chosen_by_them() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    asked = re.findall(r'^(?:ALONE|TIMED) := pytest -m "?([^"\n]*?)"?(?: --.*)?$', makefile, re.MULTILINE)
    assert len(asked) == 2
    assert not any(may_have(markers, "") for markers in asked)
