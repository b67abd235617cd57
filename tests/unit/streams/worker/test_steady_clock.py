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
