"""Dead letters in groups, one an error code: how many, since when, an example, and what to do."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from schemas import headers as h
from schemas.errors import NEXT_ACTIONS, ErrorCode
from streams.dlq.read import DeadLetter


@dataclass
class Group:
    """All letters with one code; `waiting` of them were neither replayed nor parked.

    `example` is the newest's place. `companies` counts those that wait, by whose they are; None where no company can be read.
    """

    code: str
    first_at: datetime
    last_at: datetime
    example: str
    example_message: str
    count: int = 0
    waiting: int = 0
    companies: Counter[int | None] = field(default_factory=Counter)

    @property
    def next_action(self) -> str:
        """What a person should do now."""
        try:
            return NEXT_ACTIONS[ErrorCode(self.code)]
        except ValueError:
            return f"No such error is known here: look at it with `thumbnails dlq show {self.example}`."


def group_by_code(letters: Iterable[tuple[DeadLetter, bool]]) -> list[Group]:
    """The groups, largest first; each letter comes with whether it is still waiting for somebody."""
    groups: dict[str, Group] = {}
    for letter, is_waiting in letters:
        at = letter.failed_at
        group = groups.get(letter.code)
        if group is None:
            group = groups[letter.code] = Group(letter.code, at, at, "", "")
        if at >= group.last_at:
            group.last_at, group.example = at, letter.position
            group.example_message = letter.header(h.ERROR_MESSAGE) or ""
        group.first_at = min(group.first_at, at)
        group.count += 1
        group.waiting += is_waiting
        if is_waiting:
            group.companies[letter.company_id] += 1
    return sorted(groups.values(), key=lambda group: (-group.count, group.code))
