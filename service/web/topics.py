"""Asks for the topics' state now and then, as long as somebody looks."""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from schemas.headers import format_time
from service.kafka.connection import KafkaUnreachableError
from service.status.topic_states import TopicState

log = structlog.get_logger(__name__)

EVERY_S: Final = 5.0
LOOK_AGAIN_S: Final = 0.5


class TopicPoller:
    """A thread that asks while `is_watched` says so. It is not waited for: a broker that is silent may hold it for long."""

    def __init__(
        self,
        read: Callable[[], tuple[TopicState, ...]],
        is_watched: Callable[[], bool],
        on_topics: Callable[[dict[str, Any]], None],
    ) -> None:
        self._read: Final = read
        self._is_watched: Final = is_watched
        self._on_topics: Final = on_topics
        self._ended: Final = threading.Event()

    def start(self) -> None:
        """Begin to ask."""
        threading.Thread(target=self._run, name="topics", daemon=True).start()

    def stop(self) -> None:
        """Tell nothing any more."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_AGAIN_S):
            if not self._is_watched():
                continue
            try:
                states = self._read()
            except KafkaUnreachableError as exc:
                # The page says since when Kafka is away; the last state stays, with its time.
                log.info("topics_out_of_reach", reason=str(exc))
            else:
                if not self._ended.is_set():
                    self._on_topics(as_json(states))
            self._ended.wait(EVERY_S)


def as_json(states: Iterable[TopicState]) -> dict[str, Any]:
    """What the browser gets."""
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
