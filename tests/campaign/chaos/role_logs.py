"""Why roles ended by themselves, in their own words: read from their logs."""

import collections
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.campaign.chaos.oracle.facts import Finding

REASONS: Final = {
    "role_failed": "reason",
    "worker_failed": "reason",
    "role_exit_forced": "reason",
    "topics_missing": "reason",
    "dependency_failed": "problem",
}
"""Log events before an end with exit code 1, and the field that says why."""
_MOST_SAID: Final = 240


def ends_in(role: str, log: Path) -> Iterator[tuple[str, str, str]]:
    """Role, log event, and sentence of every end in a log of JSON lines; other lines are passed over."""
    for line in log.read_text(errors="replace").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        event = found.get("event") if isinstance(found, dict) else None
        if event in REASONS:
            place = f"{found['dependency']}: " if event == "dependency_failed" else ""
            yield role, event, f"{place}{found.get(REASONS[event])}"[:_MOST_SAID]


def count_ends(ends: Iterable[tuple[str, str, str]]) -> dict[str, int]:
    """For the report: each role's sentences, the most frequent first."""
    return dict(collections.Counter(f"{role}: {said}" for role, _, said in ends).most_common())


def check_starts(ends: Iterable[tuple[str, str, str]]) -> Iterator[Finding]:
    """A role that starts while the database is away must wait for it; without a broker it may end."""
    for role, event, said in ends:
        if event == "dependency_failed" and not said.startswith("Kafka "):
            yield Finding("bad start", f"{role} did not wait for its dependency: {said}")
