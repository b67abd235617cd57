"""Poll Kafka and the roles. An unreachable source is shown, never raised."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from service.kafka.clients import consumers_of
from service.kafka.connection import KafkaUnreachableError
from service.settings import Settings
from service.status.fallbacks import Fallback, find_fallbacks, without_sources
from service.status.recent_results import RecentResults
from service.status.role_endpoints import ask_roles
from service.status.snapshot import Snapshot, now
from service.status.topic_states import read_topics, retry_group
from streams.dlq.read import ErrorGroup
from streams.dlq.retries import RetryWatch, WaitingRetry
from streams.dlq.watch import DeadLetterWatch
from streams.kafka.reader import TopicReadError

DEAD_LETTERS_EVERY_S: Final = 15.0
FALLBACKS_EVERY_S: Final = 15.0
"""The database is asked about the same fallbacks as rarely."""
RETRIES_EVERY_S: Final = 5.0


class FailureReader:
    """Reads dead letters and waiting retries: whole at the first look, then what is new. Use it in one thread; close() when done."""

    def __init__(self, settings: Settings) -> None:
        """Connect at the first look."""
        kafka, group = settings.kafka, f"{settings.worker.worker_group}-status"
        topics = (kafka.topics.dlq, kafka.topics.ready_dlq)
        self._dead_letter_watch: Final = DeadLetterWatch(consumers_of(kafka, group), topics, kafka.topics.replays)
        self._retry_watch: Final = RetryWatch(consumers_of(kafka, retry_group(settings)), kafka.topics)
        self._dead_letters: dict[str, list[ErrorGroup]] = {}
        self._dead_letters_at = float("-inf")
        self._retries: list[WaitingRetry] = []
        self._retries_at = float("-inf")

    def close(self) -> None:
        """Close the connections."""
        self._dead_letter_watch.close()
        self._retry_watch.close()

    def dead_letters(self) -> dict[str, list[ErrorGroup]]:
        """Return the groups of each dead letter topic, at most DEAD_LETTERS_EVERY_S old. Raises TopicReadError."""
        if time.monotonic() - self._dead_letters_at >= DEAD_LETTERS_EVERY_S:
            self._dead_letters = self._dead_letter_watch.poll()
            self._dead_letters_at = time.monotonic()
        return self._dead_letters

    def retries(self) -> list[WaitingRetry]:
        """Return what waits for a retry, at most RETRIES_EVERY_S old. Raises TopicReadError."""
        if time.monotonic() - self._retries_at >= RETRIES_EVERY_S:
            self._retries = self._retry_watch.poll()
            self._retries_at = time.monotonic()
        return self._retries


class StatusReader:
    """Use it in one thread; close() when done."""

    def __init__(self, settings: Settings, urls: Sequence[str], window_s: float) -> None:
        self._settings: Final = settings
        self._urls: Final = urls
        self._window_s: Final = window_s
        self._recent: RecentResults | None = None
        self._failures: FailureReader | None = None
        self._fallbacks: list[Fallback] = []
        self._reasons: dict[int, str] = {}
        self._fallbacks_at = float("-inf")

    def close(self) -> None:
        """Let go of the connections."""
        if self._recent is not None:
            self._recent.__exit__()
            self._recent = None
        if self._failures is not None:
            self._failures.close()
            self._failures = None

    def look(self) -> Snapshot:
        """Return what is found now; takes a second or two, and some 20 s when brokers are silent."""
        roles = ask_roles(self._urls)
        try:
            topics = read_topics(self._settings)
            if any(state.partitions == 0 for state in topics.states):
                return Snapshot(now(), roles, topics=topics)
            if self._recent is None:
                self._recent = RecentResults(self._settings, self._window_s)
            if self._failures is None:
                self._failures = FailureReader(self._settings)
            recent, dead_letters, waiting = self._recent.look(), self._failures.dead_letters(), self._failures.retries()
            return Snapshot(
                now(),
                roles,
                topics=topics,
                recent=recent,
                dead_letters=dead_letters,
                fallbacks=self._look_at_fallbacks(without_sources(dead_letters, waiting) | recent.fallbacks),
                waiting=waiting,
            )
        except (KafkaUnreachableError, TopicReadError) as exc:
            problem = str(exc)
        if self._recent is not None:
            self._recent.__exit__()  # a reader that was interrupted may have left something out
            self._recent = None
        return Snapshot(now(), roles, kafka_problem=problem)

    def _look_at_fallbacks(self, found: dict[int, tuple[str, int]]) -> list[Fallback]:
        reasons = {company: reason for company, (reason, _) in found.items()}
        if reasons == self._reasons and time.monotonic() - self._fallbacks_at < FALLBACKS_EVERY_S:
            return [replace(known, ready=found[known.company_id][1]) for known in self._fallbacks]
        self._fallbacks, self._reasons = find_fallbacks(self._settings, found), reasons
        self._fallbacks_at = time.monotonic()
        return self._fallbacks
