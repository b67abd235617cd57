"""Asks how the installation is going now and then, as long as somebody looks: the same look as `thumbnails status`."""

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from service.periodic import Periodic
from service.status.failures import about_dead_letters, about_storms
from service.status.snapshot import Snapshot

EVERY_S: Final = 5.0
LOOK_AGAIN_S: Final = 0.5
MAX_LAG_S: Final = 60.0
"""As of `thumbnails status`."""
MOST: Final = 50
"""Rows of a list that a browser gets, the largest: the event must fit well into what waits for a slow client."""
_KNOWN_WITHOUT_KAFKA: Final = ("at", "ok", "things", "attention", "kafka", "roles", "resting")


class Reader(Protocol):
    """In production service.status.reader.StatusReader. It is used in the poller's thread alone."""

    def look(self) -> Snapshot:
        """Return what is found now. Raises nothing that is expected."""


class OverviewPoller:
    """Asks every few seconds while `is_watched` says so; each time only what is new is read from the dead letters.

    While Kafka is away the last figures stay, with their time as `kafka_at`; what needs attention and the roles are new.
    """

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        is_watched: Callable[[], bool],
        on_overview: Callable[[dict[str, Any]], None],
    ) -> None:
        self._open_reader: Final = open_reader
        self._is_watched: Final = is_watched
        self._on_overview: Final = on_overview
        self._reader: Reader | None = None
        self._last: dict[str, Any] | None = None
        self._due_at = 0.0
        self._periodic: Final = Periodic("overview", self._ask, LOOK_AGAIN_S)
        self.start: Final = self._periodic.start

    def stop(self) -> None:
        """Publish nothing any more. A broker that is silent may hold up the thread for long: it is not waited for."""
        self._periodic.stop(wait=False)

    def _ask(self) -> None:
        if not self._is_watched() or time.monotonic() < self._due_at:
            return
        if self._reader is None:
            self._reader = self._open_reader()
        found = self._reader.look()
        overview = as_json(found)
        if found.kafka_problem is None:
            self._last = overview
        elif self._last is not None:
            overview = self._last | {name: overview[name] for name in _KNOWN_WITHOUT_KAFKA}
        if not self._periodic.is_stopping:
            self._on_overview(overview)
        self._due_at = time.monotonic() + EVERY_S


def as_json(found: Snapshot) -> dict[str, Any]:
    """Return what the browser gets: fields of docs/status.md, without those that it does not show.

    `things` counts what needs attention. `attention` leaves out the sentences about failures: `failures` says it in full,
    with `is_urgent` where it is one of the `things`.
    """
    data = found.to_json(MAX_LAG_S)
    groups = found.failures
    said = {*about_storms(groups), *about_dead_letters(groups)}
    urgent = [bool(group.waiting or about_storms([group])) for group in groups]
    rows = [group.to_json() | {"is_urgent": is_urgent} for group, is_urgent in zip(groups, urgent, strict=True)]
    rows.sort(key=lambda row: not row["is_urgent"])  # the largest first among each
    return {
        "at": data["at"],
        "kafka_at": None if found.kafka_problem else data["at"],
        "ok": data["ok"],
        "things": len(data["attention"]),
        "attention": [sentence for sentence in data["attention"] if sentence not in said],
        "kafka": data["kafka"],
        "throughput": data["throughput"],
        "topics": data["topics"],
        "retries": data["retries"],
        "waiting_retries": (data["waiting_retries"] or [])[:MOST],
        "failures": rows[:MOST],
        "failing_codes": len(groups),
        "dead_letters_waiting": None if found.dead_letters is None else sum(group.waiting for group in groups),
        "resting": data["resting"],
        "roles": [
            {name: role[name] for name in ("url", "role", "version", "ok", "problem", "down")} for role in data["roles"]
        ],
    }


def companies_of(overview: dict[str, Any]) -> set[int]:
    """Return the ids of the companies that an overview names."""
    rows = [*overview["waiting_retries"], *(row for group in overview["failures"] for row in group["companies"])]
    return {row["company_id"] for row in rows if row["company_id"] is not None}
