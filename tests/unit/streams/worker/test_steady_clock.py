"""The worker's clock goes on when the system's is set back, and follows it otherwise."""

from datetime import timedelta

import pytest

from streams.worker.clock_skew import SteadyClock
from tests.doubles.pipeline import NOW

HOUR_S = 3600.0


@pytest.mark.parametrize(
    ("steps", "shown_s"),
    [
        ([(10, 0)], 10),
        ([(10, HOUR_S)], 10 + HOUR_S),
        ([(10, -HOUR_S)], 10),
        ([(10, -HOUR_S), (7, 0)], 17),
        ([(10, -HOUR_S), (7, HOUR_S)], 17),
        ([(10, -HOUR_S), (HOUR_S, 0), (5, HOUR_S + 1)], HOUR_S + 16),
        ([(10, -1), (10, -1)], 20),
    ],
    ids=["runs", "on", "back", "back for a while", "back and right again", "back, then on by more", "back twice"],
)
def test_it_is_never_behind_what_it_showed_and_the_time_since_then(
    steps: list[tuple[float, float]], shown_s: float
) -> None:
    """Each step is the seconds that pass, and by how many the system's clock is set then."""
    passed_s = set_s = 0.0
    clock = SteadyClock(lambda: NOW + timedelta(seconds=passed_s + set_s), lambda: passed_s)
    for pass_s, by_s in steps:
        passed_s, set_s = passed_s + pass_s, set_s + by_s
        shown = clock()
    assert (shown - NOW).total_seconds() == pytest.approx(shown_s)


@pytest.mark.parametrize("stands_at", range(2, 6))
def test_a_process_that_stands_between_two_readings_does_not_put_the_clock_ahead(stands_at: int) -> None:
    """It stands for half a minute before the reading of this number, of either clock."""
    readings = passed_s = 0

    def passing() -> float:
        nonlocal passed_s, readings
        passed_s += 30 if readings == stands_at else 0
        readings += 1
        return passed_s

    clock = SteadyClock(lambda: NOW + timedelta(seconds=passing()), passing)
    for _ in range(3):
        shown = clock()
    assert shown == NOW + timedelta(seconds=30)
