"""Ends a role whose topics are deleted: librdkafka's consumers wait for them in silence."""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from streams.worker.watchdog import CHECK_EVERY_S, FindTopics, MissingTopics

log = structlog.get_logger(__name__)


class TopicWatch:
    """Looks every few seconds, in a thread; `problem` is what it found, and `stop_role` is called once then."""

    def __init__(self, topics: frozenset[str], find_topics: FindTopics, stop_role: Callable[[], None]) -> None:
        self.problem: str | None = None
        self._missing: Final = MissingTopics(topics)
        self._find_topics: Final = find_topics
        self._stop_role: Final = stop_role
        self._ended: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="topic-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns when the thread has ended."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while self.problem is None and not self._ended.wait(CHECK_EVERY_S):
            self.problem = self._missing.problem(self._find_topics())
        if self.problem is not None:
            log.critical("topics_gone", reason=self.problem)
            self._stop_role()
