"""Whether each record that waited was handed on: not before its time, and not later than faults explain."""

import collections
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.campaign.chaos.oracle.facts import RETRY_TOPICS, Finding, Incident, State
from tests.campaign.chaos.plan import FaultKind
from tests.campaign.chaos.topics import Record

HOLDS_UP: Final = frozenset(
    {
        *(FaultKind.KILL_RETRY, FaultKind.TERM_RETRY, FaultKind.STOP_RETRY),
        *(FaultKind.KILL_BROKER, FaultKind.STOP_BROKER, FaultKind.ROLLING_RESTART),
    }
)
"""What keeps the retry role from its work."""
RECOVERY_S: Final = 25.0
"""The role starts again or joins again after such a fault: a session of 6 s, a start, a rebalance."""
STARTS_IN_A_RECOVERY: Final = 3.0
"""Where the campaign's own first start of all roles was slow, a recovery may take as often as long, for other work slows both."""
MOST_LATE_S: Final = 15.0
"""Beside the time that faults explain, or as long as that first start took."""
MEDIAN_LATE_S: Final = 3.0
"""Half of all records must be handed on sooner: faults hold up few."""
_PAIRED_BY: Final = ("retry-attempt", "last-failed-at", "x-original-topic", "x-original-partition", "x-original-offset")


def check_retries(state: State, lateness_s: list[float]) -> Iterator[Finding]:
    """Of each record in a retry topic; `lateness_s` is filled with how late each was."""
    handed_on: dict[tuple[str, ...], list[Record]] = collections.defaultdict(list)
    for record in state.records("thumbnail.due"):
        handed_on[retry_id(record)].append(record)
    spans = _spans(state.incidents, max(RECOVERY_S, STARTS_IN_A_RECOVERY * state.start_s))
    most_late_s = max(MOST_LATE_S, state.start_s)
    for record in state.records(*RETRY_TOPICS):
        due = datetime.fromisoformat(record.header("retry-due-at"))
        again = [found for found in handed_on[retry_id(record)] if found.value == record.value]
        name = f"{record.key_text} of {record.topic}"
        if not again:
            yield Finding("lost", f"{name} waits at {record.partition}/{record.offset}")
            continue
        came = datetime.fromtimestamp(min(found.timestamp_ms for found in again) / 1000, UTC)
        late_s = (came - due).total_seconds()
        lateness_s.append(round(late_s, 3))
        if late_s < 0:
            yield Finding("early", f"{name} was handed on {-late_s:.3f} s before its time")
        explained_s = sum(_overlap_s(span, (due, came)) for span in spans)
        if late_s - explained_s > most_late_s:
            yield Finding(
                "late", f"{name} was handed on {late_s:.1f} s late, of which faults explain {explained_s:.1f} s"
            )
    ordered = sorted(lateness_s)
    if ordered and ordered[len(ordered) // 2] > MEDIAN_LATE_S:
        yield Finding("late", f"half of all retries were {ordered[len(ordered) // 2]:.1f} s late and more")


def _spans(incidents: tuple[Incident, ...], recovery_s: float) -> list[tuple[datetime, datetime]]:
    """When the role was held up, without overlaps."""
    spans: list[tuple[datetime, datetime]] = []
    for incident in sorted(incidents, key=lambda incident: incident.began_at):
        if incident.kind not in HOLDS_UP:
            continue
        began_at, ended_at = incident.began_at, incident.ended_at + timedelta(seconds=recovery_s)
        if spans and began_at <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], ended_at)
        else:
            spans.append((began_at, ended_at))
    return spans


def _overlap_s(one: tuple[datetime, datetime], other: tuple[datetime, datetime]) -> float:
    return max(0.0, (min(one[1], other[1]) - max(one[0], other[0])).total_seconds())


def retry_id(record: Record) -> tuple[str, ...]:
    """The same for a record in a retry topic and on thumbnail.due, and for no other hop."""
    return (record.key_text, *(record.header(name) for name in _PAIRED_BY))
