"""Which of the waiting records somebody cancelled: the marks of `thumbnails retries cancel`, read as they come."""

from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from schemas.topics import THUMBNAIL_RETRIES, Topics
from streams.failures.marks import Mark, MarkState, read_mark, read_place
from streams.kafka.follower import Listener, TopicFollower
from streams.kafka.ports import MakeConsumer
from streams.kafka.reader import TopicReadError
from streams.kafka.records import InboundRecord

log = structlog.get_logger(__name__)

KEPT_FOR: Final = timedelta(milliseconds=2 * max(topic.retention_ms for topic in THUMBNAIL_RETRIES))
"""A record that was cancelled longer ago is not in its topic any more."""


class Cancellations:
    """Reads the ledger's new marks at each look, in the retry role's own thread, and keeps those of waiting records alone."""

    def __init__(self, make_consumer: MakeConsumer, topics: Topics) -> None:
        """Connect at the first look."""
        self._retries: Final = frozenset(topics.retries)
        self._follower: Final = TopicFollower(make_consumer, topics.replays)
        self._marks: Final[dict[tuple[str, int, int], tuple[int, Mark]]] = {}
        self._works = True

    def close(self) -> None:
        """Close the connections."""
        self._follower.close()

    def look(self) -> None:
        """Read what is new. Where that is not possible, retries go on: a cancellation may come too late, no record may wait for ever."""
        try:
            self._follower.look(Listener(self._take, lambda _number: self._marks.clear()))
        except TopicReadError as exc:
            if self._works:
                log.warning("cancellations_unread", reason=str(exc))
            self._works = False
        else:
            self._works = True

    def of(self, record: InboundRecord) -> Mark | None:
        """Return the mark that cancels a waiting record; None where nobody has cancelled it, as of the last look."""
        found = self._marks.get((record.topic, record.partition, record.offset))
        return found[1] if found is not None and found[0] == record.timestamp_ms else None

    def _take(self, record: InboundRecord) -> None:
        place = read_place(record.key)
        if place is None or place[0] not in self._retries:
            return
        found = read_mark(record.value)
        is_cancelled = found is not None and found[1].state is MarkState.CANCELLED
        if found is not None and is_cancelled and found[1].at > datetime.now(UTC) - KEPT_FOR:
            self._marks[place] = found
        else:
            self._marks.pop(place, None)
