"""Whether thumbnail.state ends with what the rows say: its last record of each key."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

from tests.campaign.chaos.oracle.facts import Finding, State
from tests.campaign.chaos.topics import Record

_SCHEMA: Final = Path(__file__).parents[4] / "schemas" / "exported" / "thumbnail.state.v1.schema.json"
_SHOWN: Final = {
    "status": "status",
    "upload_event_id": "event_id",
    "thumbnail_url": "url",
    "placeholder": "placeholder",
}
"""Fields of a state, and the columns of the row that they repeat."""


def check_states(state: State) -> Iterator[Finding]:
    """Of every media that has a state or a result."""
    contract = Draft202012Validator(json.loads(_SCHEMA.read_text()))
    last = {record.key_text: record for record in sorted(state.records("thumbnail.state"), key=lambda one: one.offset)}
    for record in state.records("thumbnail.state"):
        if record.value is not None:
            for error in contract.iter_errors(record.event):
                yield Finding(
                    "wrong state", f"{record.key_text} at {record.partition}/{record.offset}: {error.message}"
                )
    for key in sorted(last.keys() | state.evidence.rows.keys()):
        row = state.evidence.rows.get(key)
        if row is None or row["thumbnail_event_id"] is None:
            yield from _without_row(key, last.get(key), is_there=row is not None)
        else:
            yield from _with_row(key, last.get(key), row)


def older_states(state: State) -> int:
    """Return how many states came after a newer one of the same media; two faults at once may cause some."""
    found, newest = 0, dict[str, int]()
    for record in sorted(state.records("thumbnail.state"), key=lambda one: one.offset):
        if record.value is None:
            newest.pop(record.key_text, None)
            continue
        revision = int(record.event.get("revision", 0))
        found += revision < newest.get(record.key_text, 0)
        newest[record.key_text] = max(revision, newest.get(record.key_text, 0))
    return found


def _without_row(key: str, last: Record | None, *, is_there: bool) -> Iterator[Finding]:
    """A media that is gone has no state, or null as its last one."""
    if last is not None and last.value is not None:
        what = "has no result" if is_there else "is gone"
        yield Finding("wrong state", f"the row of {key} {what}, and its state says {last.event.get('status')}")


def _with_row(key: str, last: Record | None, row: dict[str, Any]) -> Iterator[Finding]:
    if last is None:
        yield Finding("no state", f"{key} has a result in its row, and none on thumbnail.state")
    elif row["thumbnail_status"] is None:  # deleted upstream
        if last.value is not None:
            yield Finding("wrong state", f"{key} was deleted, and its state says {last.event.get('status')}")
    elif last.value is None:
        yield Finding("wrong state", f"{key} is {row['thumbnail_status']}, and its state says that it is gone")
    else:
        yield from _differences(key, last.event, row)


def _differences(key: str, said: dict[str, Any], row: dict[str, Any]) -> Iterator[Finding]:
    for name, column in _SHOWN.items():
        if said.get(name) != row[f"thumbnail_{column}"]:
            yield Finding(
                "wrong state", f"{key}: its {name} is {said.get(name)!r} instead of {row[f'thumbnail_{column}']!r}"
            )
    if said.get("renditions") != (row["thumbnails"] or []):
        yield Finding("wrong state", f"{key}: its renditions are not those of the row")
    if datetime.fromisoformat(said["occurred_at"]) != row["thumbnail_occurred_at"]:
        yield Finding("wrong state", f"{key}: it says {said['occurred_at']} instead of {row['thumbnail_occurred_at']}")
    error = said.get("error")
    text = None if error is None else f"{error['code']}: {error['message']}"
    if text != row["thumbnail_error"]:
        yield Finding("wrong state", f"{key}: its error is {text!r} instead of {row['thumbnail_error']!r}")
