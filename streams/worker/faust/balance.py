"""Divides partitions among the members of a group: evenly, and with as few moves as that allows."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

Held = Mapping[str, Mapping[str, Collection[int]]]
"""The partitions of each topic that each member has, or believes to have."""
Shares = dict[str, dict[str, list[int]]]
"""The partitions of each topic that each member gets."""


@dataclass(frozen=True)
class Copartitioned:
    """Topics with the same number of partitions and the same subscribers.

    Partitions with one number stay together: their records have the same keys.
    """

    topics: frozenset[str]
    partitions: int
    members: frozenset[str]


def divide(groups: Iterable[Copartitioned], held: Held) -> Shares:
    """Return the share of each member.

    Within each group, a member has at most one partition number more than another. The same holds for the sum over the groups
    if all members subscribe to the same topics. Within that, nearly all partitions stay that can. The result depends
    on nothing but the arguments.
    """
    plans = [_Plan(group, held) for group in sorted(groups, key=lambda group: sorted(group.topics))]
    totals: Counter[str] = Counter()
    for plan in plans:
        plan.choose_larger_shares(totals)
        totals.update({member: plan.size_of(member) for member in plan.members})
    while _move_one(plans, totals):
        pass
    shares: Shares = {}
    for plan in plans:
        for member, numbers in plan.numbers().items():
            shares.setdefault(member, {}).update(dict.fromkeys(plan.group.topics, numbers))
    return shares


class _Plan:
    """How many partition numbers of one group each member gets: `base`, and one more for those with a larger share."""

    def __init__(self, group: Copartitioned, held: Held) -> None:
        self.group: Final = group
        self.members: Final = sorted(group.members)
        self.base, self._larger_shares = divmod(group.partitions, len(self.members))
        self.kept: Final = _claims(group, held)
        self.larger: set[str] = set()

    def size_of(self, member: str) -> int:
        """Return how many partition numbers the member gets."""
        return self.base + (member in self.larger)

    def has_more(self, member: str) -> bool:
        """Return whether the member loses a partition unless its share is a larger one."""
        return len(self.kept[member]) > self.base

    def choose_larger_shares(self, totals: Counter[str]) -> None:
        """Give them to members who have so many, then to those who have fewest of the other groups."""
        ranked = sorted(self.members, key=lambda member: (not self.has_more(member), totals[member], member))
        self.larger = set(ranked[: self._larger_shares])

    def numbers(self) -> dict[str, list[int]]:
        """Return the partition numbers of each member."""
        given = {member: sorted(self.kept[member])[: self.size_of(member)] for member in self.members}
        free = set(range(self.group.partitions)).difference(*given.values())
        for number in sorted(free):
            member = min(self.members, key=lambda name: (len(given[name]) - self.size_of(name), name))
            given[member].append(number)
        return {member: sorted(numbers) for member, numbers in given.items()}


def _claims(group: Copartitioned, held: Held) -> dict[str, set[int]]:
    """Return who keeps which number. Several may believe to have it: a member that was away for a rebalance does."""
    claims: dict[str, set[int]] = {member: set() for member in group.members}
    for number in range(group.partitions):
        weights = {
            member: sum(number in held.get(member, {}).get(topic, ()) for topic in group.topics)
            for member in sorted(group.members)
        }
        owner = min(weights, key=lambda member: (-weights[member], len(claims[member]), member))
        if weights[owner]:
            claims[owner].add(number)
    return claims


def _move_one(plans: Sequence[_Plan], totals: Counter[str]) -> bool:
    """Hand a larger share from a member who has two more than another to that other; return whether there was one."""
    moves = [
        (plan.has_more(rich) - plan.has_more(poor), totals[poor] - totals[rich], number, rich, poor)
        for number, plan in enumerate(plans)
        for rich, poor in permutations(plan.members, 2)
        if totals[rich] >= totals[poor] + 2 and rich in plan.larger and poor not in plan.larger
    ]
    if not moves:
        return False
    _, _, number, rich, poor = min(moves)
    plans[number].larger.symmetric_difference_update((rich, poor))
    totals.update({rich: -1, poor: 1})
    return True
