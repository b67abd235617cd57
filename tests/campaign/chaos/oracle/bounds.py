"""How many outcomes there are more than there had to be. Delivery is at least once: each fault allows some, and no more."""

import collections
from collections.abc import Iterator
from typing import Final

from tests.campaign.chaos.oracle.facts import DEAD_LETTER_TOPICS, Finding, OracleReport, State
from tests.campaign.chaos.oracle.retries import retry_id
from tests.campaign.chaos.plan import FaultKind
from tests.campaign.chaos.topics import Record

REDELIVERING: Final = frozenset(
    {
        *(FaultKind.KILL_WORKER, FaultKind.TERM_WORKER, FaultKind.STOP_WORKER),
        *(FaultKind.ADD_WORKER, FaultKind.REMOVE_WORKER, FaultKind.ADD_PARTITIONS),
        *(FaultKind.KILL_BROKER, FaultKind.STOP_BROKER, FaultKind.ROLLING_RESTART),
        *(FaultKind.KILL_RETRY, FaultKind.TERM_RETRY, FaultKind.STOP_RETRY),
    }
)
"""Faults after which records come again that were worked on already."""
FOR_EACH_FAULT: Final = 20
"""Duplicates that one of them may cause in a topic: four workers with four records in work each, and what waits for a commit.
The three runs of the release before had 27 at most, in all topics, of some 40 such faults."""
FOR_ONE_UPLOAD: Final = 6
"""More outcomes of one upload than deliveries: it would have met as many faults in a row."""


def check_duplicates(state: State, report: OracleReport) -> Iterator[Finding]:
    """Fill the figures of `report`; a topic or an upload with more than faults can explain is a finding."""
    faults = sum(incident.kind in REDELIVERING for incident in state.incidents)
    outcomes = {
        "thumbnail.ready": state.ready,
        "thumbnail.failed": state.failed,
        "thumbnail.dlq": _dead_letters(state),
    }
    for topic, found in outcomes.items():
        more = {event_id: _more(event_id, records, state) for event_id, records in found.items()}
        report.duplicates[topic] = sum(more.values())
        for event_id, count in more.items():
            if count > min(FOR_ONE_UPLOAD, faults):
                yield Finding("duplicates", f"{event_id} has {count} records too many on {topic}")
    due = collections.Counter(retry_id(record) for record in state.records("thumbnail.due") if not _is_replay(record))
    report.duplicates["thumbnail.due"] = sum(due.values()) - len(due)
    for topic, count in report.duplicates.items():
        report.duplicate_bounds[topic] = faults * FOR_EACH_FAULT
        if count > report.duplicate_bounds[topic]:
            yield Finding("duplicates", f"{count} on {topic}, with {faults} faults that can cause some")


def _more(event_id: str, records: list[Record], state: State) -> int:
    deliveries = len(state.sent.get(event_id, ())) + len(state.replays.get(event_id, ()))
    return max(0, len(records) - max(1, deliveries))


def _dead_letters(state: State) -> dict[str, list[Record]]:
    """Without the parked ones, which are moved and no outcome of their own."""
    first, _parked = DEAD_LETTER_TOPICS
    return {
        event_id: [record for record in records if record.topic == first]
        for event_id, records in state.dead_letters.items()
    }


def _is_replay(record: Record) -> bool:
    """One that came straight from a dead letter, and not from a retry topic after it."""
    return not record.header("retry-attempt")
