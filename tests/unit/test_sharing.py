"""Tests that share a set-up run in one process; system tests with an installation each are dealt out one by one."""

from collections import OrderedDict

import pytest

from tests.sharing import put_next_first, scope_of


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
