"""Whether what was announced of each record is what had to be."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from tests.campaign.chaos.oracle.events import AFTER_OUTAGE_S, OUTAGES
from tests.campaign.chaos.oracle.facts import Finding, Published, State
from tests.campaign.chaos.uploads import Case

LATE_SOURCE_S: Final = 10.0
"""A source that came later than this may have been missed by all retries: they come 2, 4 and 8 s after each other."""
FEW_TOMBSTONES: Final = 4
"""A tombstone may be read after the retry of its upload, on a slow machine often. So of fewer than these, none need count."""


def check_outcomes(state: State) -> Iterator[Finding]:
    """Of every record, and of the tombstones as a whole."""
    for upload in state.published:
        yield from _outcome(upload, state)
    yield from _tombstones(state)


def _outcome(upload: Published, state: State) -> Iterator[Finding]:
    planned = upload.planned
    event_id, name = planned.event_id, upload.name
    if event_id not in state.sent:
        yield Finding("campaign", f"{name} never reached Kafka")
    elif planned.case is Case.POISON:
        yield from _poison(upload, state)
    elif planned.case is Case.REPAIRED:
        yield from _repaired(upload, state)
    elif planned.error_code is None:
        codes = state.codes(event_id)
        if _came_too_late(upload, codes, state):
            return
        if codes or event_id in state.failed:
            yield Finding("wrong outcome", f"{name} was given up: {sorted(codes)}")
        if event_id not in state.ready and not codes and not state.may_be_dropped(upload):
            yield Finding("lost", f"{name} has no outcome")
    else:
        yield from _given_up(upload, planned.error_code, state)


def _came_too_late(upload: Published, codes: set[str], state: State) -> bool:
    """Return whether the source missed all attempts; the storage may have been away at the last one."""
    if not codes or max(upload.source_late_s, default=0.0) <= LATE_SOURCE_S:
        return False
    if codes == {"source.missing"}:
        return True
    found = state.dead_letters.get(upload.planned.event_id, [])
    last = datetime.fromtimestamp(max(record.timestamp_ms for record in found) / 1000, UTC)
    had_outage = any(
        incident.kind in OUTAGES and incident.overlaps(upload.published_at, last, margin_s=AFTER_OUTAGE_S)
        for incident in state.incidents
    )
    return had_outage and codes <= {"source.missing", "storage.unavailable"}


def _given_up(upload: Published, code: str, state: State) -> Iterator[Finding]:
    event_id, name = upload.planned.event_id, upload.name
    codes = state.codes(event_id)
    announced = {record.event.get("error", {}).get("code") for record in state.failed.get(event_id, [])}
    if event_id in state.ready:
        yield Finding("wrong outcome", f"{name} is ready instead of {code}")
    elif not codes and not announced:
        if not state.may_be_dropped(upload):
            yield Finding("lost", f"{name} has no outcome")
    elif codes != {code}:
        yield Finding("wrong outcome", f"{name} has the dead letters {sorted(codes)} instead of {code}")
    elif announced != {code}:
        yield Finding("wrong outcome", f"{name} has a dead letter, and no thumbnail.failed of the same code")


def _poison(upload: Published, state: State) -> Iterator[Finding]:
    """A dead letter with its code, and an answer on thumbnail.failed with the same."""
    event_id, code, name = upload.planned.event_id, upload.planned.error_code, upload.name
    codes = state.codes(event_id)
    answers = [*state.failed.get(event_id, []), *state.rejected.get(event_id, [])]
    announced = {record.event.get("error", {}).get("code") for record in answers}
    if not codes:
        # Its media has no row: where the storage was away at the first attempt, the second finds nothing to work for.
        if code != "storage.bad_key" or event_id not in state.waited:
            yield Finding("lost", f"{name} has no dead letter")
    elif not codes == announced == {code}:
        yield Finding(
            "wrong outcome", f"{name} has {sorted(codes)} and {sorted(map(str, announced))} instead of {code}"
        )
    if event_id in state.ready:
        yield Finding("wrong outcome", f"{name} is ready")


def _repaired(upload: Published, state: State) -> Iterator[Finding]:
    """It may have been given up as missing, and it must be ready in the end."""
    event_id, name = upload.planned.event_id, upload.name
    codes = state.codes(event_id) - {"source.missing"}
    if codes:
        yield Finding("wrong outcome", f"{name} was given up: {sorted(codes)}")
    if event_id not in state.ready:
        replayed = len(state.replays.get(event_id, ()))
        yield Finding("lost", f"{name} is not ready, after {replayed} replays")


def _tombstones(state: State) -> Iterator[Finding]:
    """Of the uploads that waited while their media was deleted upstream, some must be dropped."""
    cancelled = [upload for upload in state.published if upload.planned.case is Case.TOMBSTONE]
    waited = [upload.planned.event_id for upload in cancelled if upload.planned.event_id in state.waited]
    if len(waited) >= FEW_TOMBSTONES and all(event_id in state.ready for event_id in waited):
        yield Finding("tombstone", f"all {len(waited)} uploads of deleted media that waited were worked on to the end")
