"""When a worker whose consumer is silent must end: by signs alone, with a clock that stands where it is put."""

from collections.abc import Callable

import pytest
from aiokafka.errors import GroupAuthorizationFailedError  # type: ignore[import-untyped] # it has no stubs

from streams.worker.watchdog import GONE_S, SILENCE_S, ConsumerWatch, Signs

TOPICS = frozenset({"media.uploaded", "thumbnail.ready"})
REBALANCE_S = 180.0


class Watched:
    """A watch, and a consumer that shows the same signs every two seconds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.watch = ConsumerWatch(TOPICS, rebalance_timeout_s=REBALANCE_S, clock=lambda: self.now)

    def problem_within(
        self, seconds: float, signs: Callable[[float], Signs], existing: frozenset[str] | None = TOPICS
    ) -> str | None:
        until = self.now + seconds
        while self.now < until:
            problem = self.watch.problem(signs(self.now), existing)
            if problem is not None:
                return problem
            self.now += 2.0
        return None


def fetching(now: float) -> Signs:
    return Signs(newest_fetch_ms=int(now * 1000))


def silent(_now: float) -> Signs:
    return Signs(newest_fetch_ms=1)


def test_a_consumer_that_fetches_goes_on_for_ever() -> None:
    assert Watched().problem_within(10_000, fetching) is None


def test_a_standby_without_partitions_goes_on_for_ever_as_a_member_of_its_group() -> None:
    assert Watched().problem_within(10_000, lambda _now: Signs(newest_fetch_ms=None)) is None


def test_a_consumer_that_hears_nothing_of_a_broker_that_answers_ends() -> None:
    watched = Watched()
    watched.problem_within(10, fetching)
    problem = watched.problem_within(60, silent)
    assert problem is not None
    assert "heard nothing" in problem
    assert watched.now - 110 <= SILENCE_S + 4


def test_a_leader_that_left_out_topics_which_exist_ends_at_once() -> None:
    watched = Watched()
    assert watched.problem_within(60, lambda _now: Signs(left_out=TOPICS), existing=None) is None
    problem = watched.problem_within(4, lambda _now: Signs(left_out=frozenset({"media.uploaded"})))
    assert problem is not None
    assert "media.uploaded" in problem


def test_one_that_lost_its_membership_ends_too() -> None:
    assert Watched().problem_within(60, lambda _now: Signs(newest_fetch_ms=None, is_member=False)) is not None


def test_an_outage_however_long_is_waited_for() -> None:
    watched = Watched()
    assert watched.problem_within(10_000, silent, existing=None) is None
    back_at = watched.now
    assert watched.problem_within(SILENCE_S - 2, silent) is None, "the consumer gets its time when the broker is back"
    assert watched.problem_within(10, silent) is not None
    assert watched.now - back_at < 30


def test_who_works_need_not_fetch() -> None:
    assert Watched().problem_within(1000, lambda _now: Signs(newest_fetch_ms=1, in_flight=1)) is None


def test_a_rebalance_may_take_as_long_as_another_workers_event() -> None:
    watched = Watched()
    joining = Signs(newest_fetch_ms=None, is_member=False, is_joining=True)
    assert watched.problem_within(REBALANCE_S, lambda _now: joining) is None
    assert watched.problem_within(60, lambda _now: joining) is not None


@pytest.mark.parametrize("signs", [fetching, silent])
def test_what_killed_the_consumer_is_told_at_once(signs: Callable[[float], Signs]) -> None:
    watched = Watched()
    watched.problem_within(4, signs)
    failed = Signs(failure=GroupAuthorizationFailedError("thumbnails"), newest_fetch_ms=1)
    problem = watched.watch.problem(failed, TOPICS)
    assert problem is not None
    assert "let this user READ the consumer group" in problem


def test_topics_that_are_gone_are_named_and_a_glimpse_without_them_is_forgiven() -> None:
    watched = Watched()
    left = frozenset({"media.uploaded"})
    assert watched.problem_within(GONE_S - 2, fetching, existing=left) is None
    assert watched.problem_within(2, fetching) is None
    assert watched.problem_within(GONE_S - 2, fetching, existing=left) is None
    problem = watched.problem_within(10, fetching, existing=left)
    assert problem == "Topics are gone: thumbnail.ready: run `thumbnails topics create`"
