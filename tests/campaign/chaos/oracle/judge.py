"""Judges what a campaign has left behind: pure, and shares no code with the product."""

import collections
from collections.abc import Iterable

from tests.campaign.chaos.evidence import Evidence
from tests.campaign.chaos.oracle.bounds import check_duplicates
from tests.campaign.chaos.oracle.dead_letters import check_dead_letters
from tests.campaign.chaos.oracle.events import check_events
from tests.campaign.chaos.oracle.facts import RETRY_TOPICS, Finding, Incident, OracleReport, Published, State
from tests.campaign.chaos.oracle.objects import check_objects
from tests.campaign.chaos.oracle.outcomes import check_outcomes
from tests.campaign.chaos.oracle.retries import check_retries
from tests.campaign.chaos.oracle.rows import check_rows
from tests.campaign.chaos.oracle.states import check_states, older_states


def judge(
    published: Iterable[Published], evidence: Evidence, incidents: Iterable[Incident] = (), *, start_s: float = 0.0
) -> OracleReport:
    """What is wrong with `evidence`, given what was published and which faults hit.

    `start_s` is how long the first start of all roles took: the run's own measure of how fast the machine is.
    """
    state = State(list(published), evidence, tuple(incidents), start_s)
    report = OracleReport()
    found = report.findings
    found += check_outcomes(state)
    found += check_rows(state)
    found += check_states(state)
    found += check_objects(state)
    found += check_events(state)
    found += check_dead_letters(state)
    found += check_retries(state, report.lateness_s)
    found += check_duplicates(state, report)
    found += [Finding("not committed", f"{place} is {lag} behind") for place, lag in evidence.lags.items()]
    found += [Finding("leftover", what) for what in evidence.leftovers]
    for record in state.records("thumbnail.ready.dlq"):
        found.append(Finding("refused result", f"{record.key_text}: {record.header('error-message')}"))
    report.counts = _counts(state)
    return report


def _counts(state: State) -> dict[str, int]:
    codes = collections.Counter(record.header("error-code") for record in state.records(*RETRY_TOPICS))
    dead = collections.Counter(record.header("error-code") for record in state.records("thumbnail.dlq"))
    ready = state.records("thumbnail.ready")
    return {
        **{f"records of {topic}": len(records) for topic, records in state.evidence.records.items()},
        **{f"retries for {code}": count for code, count in sorted(codes.items())},
        **{f"dead letters for {code}": count for code, count in sorted(dead.items())},
        "replayed dead letters": sum(len(replays) for replays in state.replays.values()),
        "ready in fallback storage": sum(bool(record.event["storage"]["fallback"]) for record in ready),
        "states after a newer one of their media": older_states(state),
        "rows": len(state.evidence.rows),
        "objects whose picture was compared": len(state.evidence.objects),
    }
