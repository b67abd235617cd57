"""Poll Kafka and the roles. What cannot be reached is shown, never raised."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from service.dead_letters import TOPICS, DeadLetterBox, DlqSource
from service.kafka.connection import KafkaUnreachableError
from service.settings import Settings
from service.status.fallbacks import Fallback, find_fallbacks
from service.status.recent_results import Recent, RecentResults
from service.status.role_endpoints import ask_roles
from service.status.snapshot import Snapshot, now
from service.status.topic_states import TopicBacklogs, read_topics
from streams.dlq.read import DeadLetterFilter, ErrorGroup, group_by_code
from streams.kafka.reader import TopicReadError

DEAD_LETTERS_EVERY_S: Final = 15.0
FALLBACKS_EVERY_S: Final = 15.0
"""The database is asked about the same fallbacks as rarely."""
MAX_DEAD_LETTERS: Final = 2000
"""Of each partition, the newest: `thumbnails dlq stats` counts all of them."""
_DEAD_LETTER_TOPICS: Final = (DlqSource.UPLOADS, DlqSource.READY)


class StatusReader:
    """Use it in one thread; close() when done."""

    def __init__(self, settings: Settings, urls: Sequence[str], window_s: float) -> None:
        self._settings: Final = settings
        self._urls: Final = urls
        self._window_s: Final = window_s
        self._recent: RecentResults | None = None
        self._dead_letters: dict[str, list[ErrorGroup]] = {}
        self._dead_letters_at = float("-inf")
        self._fallbacks: list[Fallback] = []
        self._reasons: dict[int, str] = {}
        self._fallbacks_at = float("-inf")

    def close(self) -> None:
        """Let go of the connections."""
        if self._recent is not None:
            self._recent.__exit__()
            self._recent = None

    def look(self) -> Snapshot:
        """Return what is found now; takes a second or two, and some 20 s when brokers are silent."""
        roles = ask_roles(self._urls)
        try:
            topics = read_topics(self._settings)
            if any(state.partitions == 0 for state in topics.states):
                return Snapshot(now(), roles, topics=topics)
            if self._recent is None:
                self._recent = RecentResults(self._settings, self._window_s)
            recent = self._recent.look()
            dead_letters = self._look_at_dead_letters(topics)
            fallbacks = self._look_at_fallbacks(recent)
            return Snapshot(now(), roles, topics=topics, recent=recent, dead_letters=dead_letters, fallbacks=fallbacks)
        except (KafkaUnreachableError, TopicReadError) as exc:
            problem = str(exc)
        self.close()  # a reader that was interrupted may have left something out
        return Snapshot(now(), roles, kafka_problem=problem)

    def _look_at_fallbacks(self, recent: Recent) -> list[Fallback]:
        found = recent.fallbacks
        reasons = {company: reason for company, (reason, _) in found.items()}
        if reasons == self._reasons and time.monotonic() - self._fallbacks_at < FALLBACKS_EVERY_S:
            return [replace(known, ready=found[known.company_id][1]) for known in self._fallbacks]
        self._fallbacks, self._reasons = find_fallbacks(self._settings, found), reasons
        self._fallbacks_at = time.monotonic()
        return self._fallbacks

    def _look_at_dead_letters(self, topics: TopicBacklogs) -> dict[str, list[ErrorGroup]]:
        if time.monotonic() - self._dead_letters_at < DEAD_LETTERS_EVERY_S:
            return self._dead_letters
        records = {state.name: state.records for state in topics.states}
        for source in _DEAD_LETTER_TOPICS:
            name = self._settings.kafka.topics.name_of(TOPICS[source])
            self._dead_letters[name] = self._groups(source) if records[name] else []
        self._dead_letters_at = time.monotonic()
        return self._dead_letters

    def _groups(self, source: DlqSource) -> list[ErrorGroup]:
        with DeadLetterBox(self._settings, source) as box:
            ledger = box.ledger()
            newest = {number: extent.newest(MAX_DEAD_LETTERS) for number, extent in box.extents().items()}
            return group_by_code(box.dead_letters(DeadLetterFilter(), newest), ledger)
