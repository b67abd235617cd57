"""Tests that share a set-up run in one process; system tests with an installation each are dealt out one by one."""

import pytest

from tests.sharing import scope_of


@pytest.mark.parametrize(
    ("test", "scope"),
    [
        ("tests/unit/web/test_wall.py::test_it[a::b-tests/c]", "tests/unit/web/test_wall.py"),
        ("tests/system/test_health.py::test_a_role", "tests/system/test_health.py"),
        ("tests/system/test_stops.py::test_it[1]", "tests/system/test_stops.py::test_it[1]"),
    ],
    ids=["unit", "system, one installation", "system, one each"],
)
def test_the_scope_of(test: str, scope: str) -> None:
    assert scope_of(test) == scope


def test_xdist_deals_tests_out_by_their_scope(pytestconfig: pytest.Config) -> None:
    """By the hook, whose name xdist might change."""
    manager = pytestconfig.pluginmanager
    made = manager.hook.pytest_xdist_make_scheduler
    assert [found.function.__module__ for found in made.get_hookimpls()].count("tests.conftest") == 1
