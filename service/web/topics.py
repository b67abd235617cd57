"""Asks for the topics' state now and then, as long as somebody looks."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from schemas.headers import format_time
from service.kafka.connection import KafkaUnreachableError
from service.periodic import Periodic
from service.status.topic_states import TopicBacklog

log = structlog.get_logger(__name__)

EVERY_S: Final = 5.0
LOOK_AGAIN_S: Final = 0.5


class TopicPoller:
    """Asks every few seconds while `is_watched` says so."""

    def __init__(
        self,
        read: Callable[[], tuple[TopicBacklog, ...]],
        is_watched: Callable[[], bool],
        on_topics: Callable[[dict[str, Any]], None],
    ) -> None:
        self._read: Final = read
        self._is_watched: Final = is_watched
        self._on_topics: Final = on_topics
        self._due_at = 0.0
        self._periodic: Final = Periodic("topics", self._ask, LOOK_AGAIN_S)
        self.start: Final = self._periodic.start

    def stop(self) -> None:
        """Publish nothing any more. A broker that is silent may hold up the thread for long: it is not waited for."""
        self._periodic.stop(wait=False)

    def _ask(self) -> None:
        if not self._is_watched() or time.monotonic() < self._due_at:
            return
        try:
            states = self._read()
        except KafkaUnreachableError as exc:
            # The page says since when Kafka is away; the last state stays, with its time.
            log.info("topics_unreachable", reason=str(exc))
        else:
            if not self._periodic.is_stopping:
                self._on_topics(as_json(states))
        self._due_at = time.monotonic() + EVERY_S


def as_json(states: Iterable[TopicBacklog]) -> dict[str, Any]:
    """Return what the browser gets."""
    return {
        "at": format_time(datetime.now(UTC)),
        "topics": [
            {
                "name": state.name,
                "partitions": state.partitions,
                "records": state.records,
                "groups": [
                    {
                        "group": group.group,
                        "lag_records": group.lag_records,
                        "oldest_unprocessed_at": format_time(group.oldest_unprocessed_at)
                        if group.oldest_unprocessed_at
                        else None,
                    }
                    for group in state.groups
                ],
            }
            for state in states
        ],
    }
