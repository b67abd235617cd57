"""Whether each media's row shows its newest upload, in every field."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from tests.campaign.chaos.oracle.facts import Finding, Published, State
from tests.campaign.chaos.pictures import AVERAGE_TOLERANCE, placeholder_distance
from tests.campaign.chaos.uploads import Case

CLOCK_S: Final = 1.0
"""So far may two readings of this machine's clock be out of order."""
PRECISION: Final = timedelta(milliseconds=1)
"""Of a record's time."""
_PICTURES: Final = ("thumbnail_url", "thumbnails", "thumbnail_placeholder")


def check_rows(state: State) -> Iterator[Finding]:
    """Of every media; and rows that nobody uploaded to show nothing."""
    for record_key, uploads in state.by_key.items():
        yield from _row(record_key, uploads, state)
    for record_key, row in state.evidence.rows.items():
        if record_key not in state.by_key and any(
            row[name] is not None for name in row if name.startswith("thumbnail")
        ):
            yield Finding("wrong row", f"{record_key} shows something, and had no upload")


def _row(record_key: str, uploads: list[Published], state: State) -> Iterator[Finding]:
    newest = max(uploads, key=lambda upload: upload.rank)
    case, row = newest.planned.case, state.evidence.rows.get(record_key)
    if case is Case.DELETED:
        if row is not None:
            yield Finding("campaign", f"the row of {record_key} was not deleted")
        return
    may_be_cancelled = state.is_cancelled(newest)
    if row is not None:
        yield from _tombstone(record_key, row, state)
    if row is None or row["thumbnail_status"] is None:
        if row is None or not may_be_cancelled:
            yield Finding("lost", f"the row of {record_key} ({case}) shows no result")
        elif any(row[name] is not None for name in _PICTURES):
            yield Finding("wrong row", f"{record_key} has pictures, and no status")
        return
    if may_be_cancelled and _is_marked(record_key, row, state):
        yield Finding("wrong row", f"{record_key} was deleted upstream, and still says {row['thumbnail_status']}")
        return
    shown = next((upload for upload in uploads if upload.planned.event_id == row["thumbnail_event_id"]), None)
    if shown is None or (shown is not newest and not may_be_cancelled):
        yield Finding("stale row", f"{record_key} ({case}) shows another upload than {newest.planned.event_id}")
        return
    yield from _state(record_key, row, shown, state)
    yield from _pictures(record_key, row, shown, state)


def _tombstone(record_key: str, row: dict[str, Any], state: State) -> Iterator[Finding]:
    """Every tombstone is in the row as if an upload of its time had come, or a newer upload is."""
    deleted_at = max(state.tombstones.get(record_key, ()), default=None)
    known_at = row["thumbnail_occurred_at"]
    if deleted_at is not None and (known_at is None or known_at <= deleted_at - PRECISION):
        yield Finding(
            "tombstone", f"{record_key} was deleted upstream at {deleted_at}, and its row knows of {known_at}"
        )


def _is_marked(record_key: str, row: dict[str, Any], state: State) -> bool:
    """Whether a tombstone came after all that the row knows: then it shows nothing."""
    return any(abs(row["thumbnail_occurred_at"] - time) < PRECISION for time in state.tombstones[record_key])


def _state(record_key: str, row: dict[str, Any], shown: Published, state: State) -> Iterator[Finding]:
    """Status, error and times."""
    code, event_id = shown.planned.error_code, shown.planned.event_id
    wanted = "failed" if code else "ready"
    if row["thumbnail_status"] != wanted:
        yield Finding("wrong row", f"{record_key} is {row['thumbnail_status']} instead of {wanted}")
    if code and not str(row["thumbnail_error"]).startswith(f"{code}:"):
        yield Finding("wrong row", f"{record_key}: {row['thumbnail_error']} instead of {code}")
    if not code and row["thumbnail_error"] is not None:
        yield Finding("wrong row", f"{record_key} is ready, and says {row['thumbnail_error']}")
    results = [record.event for record in [*state.ready.get(event_id, []), *state.failed.get(event_id, [])]]
    times = {datetime.fromisoformat(event["occurred_at"]) for event in results}
    if row["thumbnail_occurred_at"] not in times:
        yield Finding("wrong row", f"{record_key} says {row['thumbnail_occurred_at']}, and its results another time")
    made = min((datetime.fromisoformat(event["produced_at"]) for event in results), default=shown.published_at)
    clock = timedelta(seconds=CLOCK_S)
    if not made - clock <= row["thumbnail_updated_at"] <= state.evidence.read_at + clock:
        yield Finding(
            "wrong row", f"{record_key} was updated at {row['thumbnail_updated_at']}, its result made at {made}"
        )


def _pictures(record_key: str, row: dict[str, Any], shown: Published, state: State) -> Iterator[Finding]:
    """Its own pictures; beside a failure those of an earlier upload, or none."""
    found = state.announcement(record_key, row)
    if shown.planned.error_code and all(row[name] is None for name in _PICTURES):
        return
    if found is None:
        yield Finding("wrong row", f"{record_key} shows what no thumbnail.ready of its uploads announces")
        return
    upload, event = found
    is_own = upload is shown
    if not is_own and not (shown.planned.error_code and upload.rank < shown.rank):
        yield Finding("wrong row", f"{record_key} shows the pictures of {upload.planned.event_id}")
    if event["version"] in (row["thumbnail_given_up"] or "").split():
        yield Finding("wrong row", f"{record_key} shows {event['version']}, which it says was given up")
    if row["thumbnail_placeholder"] != event["placeholder"]:
        yield Finding("wrong row", f"{record_key} has another placeholder than its thumbnail.ready")
    if row["thumbnail_settings"] != event["settings"]:
        yield Finding("wrong row", f"{record_key} names other settings than its thumbnail.ready")
    far = placeholder_distance(row["thumbnail_placeholder"], upload.planned.colours)
    if far > AVERAGE_TOLERANCE:
        yield Finding("wrong picture", f"the placeholder of {record_key} is {far:.0f} off the colour of its source")
