"""A thread that acts again and again, and ends when it is asked to."""

import threading

from service.periodic import Periodic

SOON_S = 10.0


def test_it_acts_again_and_again_until_it_is_stopped() -> None:
    enough, acts = threading.Event(), iter(range(3))

    def act() -> None:
        if next(acts, None) is None:
            enough.set()

    periodic = Periodic("test", act, 0.001)
    periodic.start()
    assert enough.wait(SOON_S)
    periodic.stop()
    assert "test" not in {thread.name for thread in threading.enumerate()}


def test_it_may_act_before_the_first_wait_is_over() -> None:
    acted = threading.Event()
    periodic = Periodic("test", acted.set, 1000.0, at_once=True)
    periodic.start()
    assert acted.wait(SOON_S)
    periodic.stop()


def test_it_can_be_stopped_before_it_acts() -> None:
    acted = threading.Event()
    periodic = Periodic("test", acted.set, 1000.0)
    periodic.start()
    periodic.stop()
    assert not acted.is_set()


def test_an_act_may_stop_it() -> None:
    acts: list[int] = []

    def act() -> None:
        acts.append(1)
        periodic.stop()
        ended.set()

    ended = threading.Event()
    periodic = Periodic("test", act, 0.001)
    periodic.start()
    assert ended.wait(SOON_S)
    periodic.stop()
    assert acts == [1]


def test_an_act_that_hangs_is_left_behind_unless_somebody_waits_for_it() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def act() -> None:
        begun.set()
        assert may_end.wait(SOON_S)

    periodic = Periodic("test", act, 0.001)
    periodic.start()
    assert begun.wait(SOON_S)
    periodic.stop(wait=False)
    assert periodic.is_stopping
    may_end.set()
    periodic.stop()
