"""Partitions are divided evenly, whatever members come, go and restart, and no more of them move than that asks for."""

from collections import Counter
from itertools import combinations, product
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.worker.faust.balance import Copartitioned, Held, Shares, divide

MOVES: Final = st.lists(st.sampled_from(["join", "leave", "restart", "stale", "grow"]), max_size=12)
SIZES: Final = st.lists(st.integers(1, 30), min_size=1, max_size=4)


class Group:
    """A consumer group whose members believe to have what they were last given."""

    def __init__(self, sizes: list[int], members: int) -> None:
        self.sizes = sizes
        self.held: dict[str, dict[str, list[int]]] = {}
        self._made = 0
        for _ in range(members):
            self.join()

    def join(self) -> None:
        self._made += 1
        self.held[f"m{self._made * 7919 % 1000:03}"] = {}

    def leave(self) -> None:
        if len(self.held) > 1:
            del self.held[sorted(self.held)[self._made % len(self.held)]]

    def restart(self) -> None:
        self.leave()
        self.join()

    def stale(self) -> None:
        """A member was away for a rebalance, and comes back with what others have by now."""
        if len(self.held) > 1:
            away = sorted(self.held)[self._made % len(self.held)]
            believes = self.held.pop(away)
            self.rebalance()
            self.held[away] = believes

    def grow(self) -> None:
        self.sizes[0] += 3

    def topics(self) -> list[Copartitioned]:
        names = {size: frozenset(f"t{n}" for n, one in enumerate(self.sizes) if one == size) for size in self.sizes}
        return [Copartitioned(topics, size, frozenset(self.held)) for size, topics in names.items()]

    def rebalance(self) -> Shares:
        shares = divide(self.topics(), self.held)
        self.held = {member: shares[member] for member in self.held}
        return shares


def check(group: Group, shares: Shares) -> None:
    totals: Counter[str] = Counter(dict.fromkeys(group.held, 0))
    for topics in group.topics():
        for topic in topics.topics:
            assert sorted(n for share in shares.values() for n in share[topic]) == list(range(topics.partitions))
        for member in group.held:
            (numbers,) = {tuple(shares[member][topic]) for topic in topics.topics}
            totals[member] += len(numbers)
        assert spread(Counter({member: len(shares[member][min(topics.topics)]) for member in group.held})) <= 1
    assert spread(totals) <= 1
    assert divide(group.topics(), shares) == shares, "a rebalance without a change moves something"


def spread(counts: Counter[str]) -> int:
    return max(counts.values()) - min(counts.values())


@settings(max_examples=300, deadline=None)
@given(SIZES, st.integers(1, 14), MOVES)
def test_every_division_is_even_and_complete_whatever_came_before(
    sizes: list[int], members: int, moves: list[str]
) -> None:
    group = Group(sizes, members)
    check(group, group.rebalance())
    for move in moves:
        getattr(group, move)()
        check(group, group.rebalance())


def kept(topics: list[Copartitioned], held: Held, shares: Shares) -> int:
    return sum(
        len(set(held[member].get(min(group.topics), ())) & set(shares[member][min(group.topics)]))
        for group in topics
        for member in group.members
    )


def most_that_can_stay(topics: list[Copartitioned], held: Held) -> int:
    """Try every choice of the members with a larger share; the members' present partitions do not overlap."""
    members = sorted(topics[0].members)
    best = -1
    larger = [list(combinations(members, group.partitions % len(members))) for group in topics]
    for choice in product(*larger):
        sizes = {
            member: [
                group.partitions // len(members) + (member in more) for group, more in zip(topics, choice, strict=True)
            ]
            for member in members
        }
        totals = Counter({member: sum(of) for member, of in sizes.items()})
        if spread(totals) <= 1:
            stays = sum(
                min(len(held[member].get(min(group.topics), ())), size)
                for member in members
                for group, size in zip(topics, sizes[member], strict=True)
            )
            best = max(best, stays)
    return best


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.integers(1, 5),
    st.lists(st.sampled_from(["join", "leave", "restart"]), max_size=5),
)
def test_as_many_partitions_stay_as_an_even_division_allows(sizes: list[int], members: int, moves: list[str]) -> None:
    """All of them with one group of topics; with several, one for each more of them may move without need."""
    group = Group(sizes, members)
    group.rebalance()
    for move in moves:
        getattr(group, move)()
        before, topics = group.held, group.topics()
        best = most_that_can_stay(topics, before)
        assert best - len(topics) + 1 <= kept(topics, before, group.rebalance()) <= best


@pytest.mark.parametrize(("partitions", "members"), [(12, 8), (12, 5), (24, 7)])
def test_a_restarted_member_gets_its_share(partitions: int, members: int) -> None:
    """Faust's own division left one without a partition, or with two fewer than others (faust-streaming/faust#93)."""
    group = Group([partitions, 3], members)
    group.rebalance()
    group.restart()
    shares = group.rebalance()
    counts = sorted(len(share["t0"]) for share in shares.values())
    assert counts[-1] - counts[0] <= 1
    assert counts[0] >= partitions // members


def test_topics_that_were_not_copartitioned_before_come_together() -> None:
    held = {"a": {"x": [0, 1], "y": [1]}, "b": {"x": [2], "y": [0, 2]}}
    shares = divide([Copartitioned(frozenset("xy"), 3, frozenset("ab"))], held)
    assert [shares[member]["x"] == shares[member]["y"] for member in "ab"] == [True, True]
    assert 2 in shares["b"]["x"], "both topics' partition 2 was there"
