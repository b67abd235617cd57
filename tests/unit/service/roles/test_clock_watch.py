"""A clock that is set back ends the role; one that is set on, slewed or has a leap second does not."""

import pytest

from service.roles.clock_watch import ClockWatch


@pytest.mark.parametrize(
    ("steps_s", "ended"),
    [
        ([-3600], ["the system's clock was set back by 3600 s, and librdkafka would wait for as long"]),
        ([3600, 0, -3600], ["the system's clock was set back by 3600 s, and librdkafka would wait for as long"]),
        ([-6], ["the system's clock was set back by 6 s, and librdkafka would wait for as long"]),
        ([3600], []),
        ([-1], []),
        ([-0.0005] * 20_000, []),
    ],
    ids=["back", "on and back", "a little", "on", "leap second", "slewed"],
)
def test_only_a_step_back_ends_the_process(steps_s: list[float], ended: list[str]) -> None:
    said: list[str] = []
    time_s = wrong_s = 0.0
    watch = ClockWatch(said.append, lambda: 1_700_000_000 + time_s + wrong_s, lambda: time_s)
    for step_s in steps_s:
        time_s, wrong_s = time_s + 1, wrong_s + step_s
        watch.check()
    assert said == ended


@pytest.mark.parametrize("stands_at", range(2, 6))
def test_a_process_that_stands_between_two_readings_is_not_ended(stands_at: int) -> None:
    """It stands for half a minute before the reading of this number, of either clock."""
    said: list[str] = []
    readings = passed_s = 0

    def passing() -> float:
        nonlocal passed_s, readings
        passed_s += 30 if readings == stands_at else 0
        readings += 1
        return passed_s

    watch = ClockWatch(said.append, passing, passing)
    for _ in range(3):
        watch.check()
    assert said == []
