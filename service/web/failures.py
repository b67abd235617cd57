"""Asks what fails now and then, as long as somebody looks: the same groups as `thumbnails status` shows."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import structlog

from schemas.headers import format_time
from service.periodic import Periodic
from service.status.failures import failure_groups, waiting_json
from streams.dlq.read import ErrorGroup
from streams.dlq.retries import WaitingRetry, by_code_and_company
from streams.kafka.reader import TopicReadError

log = structlog.get_logger(__name__)

EVERY_S: Final = 15.0
LOOK_AGAIN_S: Final = 0.5
MOST: Final = 50
"""Groups that a browser gets, the largest: the event must fit well into what waits for a slow client."""


class Reader(Protocol):
    """In production service.status.reader.FailureReader. It is used in the poller's thread alone."""

    def dead_letters(self) -> dict[str, list[ErrorGroup]]:
        """Return the groups of each dead letter topic. Raises TopicReadError."""

    def retries(self) -> list[WaitingRetry]:
        """Return what waits for a retry. Raises TopicReadError."""


class FailurePoller:
    """Asks every 15 seconds while `is_watched` says so; each time only what is new is read."""

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        is_watched: Callable[[], bool],
        on_failures: Callable[[dict[str, Any]], None],
    ) -> None:
        self._open_reader: Final = open_reader
        self._is_watched: Final = is_watched
        self._on_failures: Final = on_failures
        self._reader: Reader | None = None
        self._due_at = 0.0
        self._periodic: Final = Periodic("failures", self._ask, LOOK_AGAIN_S)
        self.start: Final = self._periodic.start

    def stop(self) -> None:
        """Publish nothing any more. A broker that is silent may hold up the thread for long: it is not waited for."""
        self._periodic.stop(wait=False)

    def _ask(self) -> None:
        if not self._is_watched() or time.monotonic() < self._due_at:
            return
        if self._reader is None:
            self._reader = self._open_reader()
        try:
            found = as_json(self._reader.dead_letters(), self._reader.retries())
        except TopicReadError as exc:
            # The page says since when Kafka is away; what was found last stays, with its time.
            log.info("failures_unreachable", reason=str(exc))
        else:
            if not self._periodic.is_stopping:
                self._on_failures(found)
        self._due_at = time.monotonic() + EVERY_S


def as_json(dead_letters: dict[str, list[ErrorGroup]], retries: list[WaitingRetry]) -> dict[str, Any]:
    """Return what the browser gets: `failures` and `waiting_retries` as in docs/status.md."""
    return {
        "at": format_time(datetime.now(UTC)),
        "failures": [group.to_json() for group in failure_groups(dead_letters, retries, {}, ())[:MOST]],
        "waiting_retries": waiting_json(by_code_and_company(retries)[:MOST]),
    }
