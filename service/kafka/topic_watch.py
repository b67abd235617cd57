"""Ends a role whose topics are deleted: librdkafka's consumers wait for them in silence."""

from collections.abc import Callable
from typing import Final

import structlog

from service.periodic import Periodic
from streams.worker.watchdog import CHECK_EVERY_S, FindTopics, MissingTopics

log = structlog.get_logger(__name__)


class TopicWatch:
    """Asks for the topics every few seconds; `problem` is what it found, and `stop_role` is called once then."""

    def __init__(self, topics: frozenset[str], find_topics: FindTopics, stop_role: Callable[[], None]) -> None:
        self.problem: str | None = None
        self._missing: Final = MissingTopics(topics)
        self._find_topics: Final = find_topics
        self._stop_role: Final = stop_role
        self._periodic: Final = Periodic("topic-watch", self._check, CHECK_EVERY_S)
        self.start: Final = self._periodic.start
        self.stop: Final = self._periodic.stop

    def _check(self) -> None:
        self.problem = self._missing.problem(self._find_topics())
        if self.problem is not None:
            self._periodic.stop()
            log.critical("topics_missing", reason=self.problem)
            self._stop_role()
