"""Follows thumbnail.ready and thumbnail.failed in a thread: the newest first, then each one as it comes, through outages."""

from typing import Final, Protocol

import structlog

from service.periodic import Periodic
from service.web.wall import Link, LinkState
from streams.kafka.reader import TopicReadError, UnknownTopicError
from streams.kafka.records import InboundRecord
from streams.kafka.topic_reader import TopicTail

log = structlog.get_logger(__name__)

RETRY_S: Final = 0.5


class Audience(Protocol):
    """Takes what was read; called from the reader's thread."""

    def records(self, records: list[InboundRecord]) -> None:
        """Take records, in order within each partition. After an outage some come again."""

    def link(self, link: Link) -> None:
        """Take the state of the connection to Kafka, again and again."""


class ResultReader:
    """Reads from start() to stop(). Whatever Kafka does, it goes on: after an outage it begins with the newest again."""

    def __init__(self, tail: TopicTail, audience: Audience) -> None:
        self._tail: Final = tail
        self._audience: Final = audience
        self._periodic: Final = Periodic("results", self._follow, RETRY_S, at_once=True)
        self.start: Final = self._periodic.start

    def stop(self) -> None:
        """Read no more; return when the thread has ended."""
        self._periodic.stop()
        self._tail.close()

    def _follow(self) -> None:
        """Read from the newest on; return when the topics are not what they were, or Kafka is away."""
        try:
            self._tail.begin()
            self._audience.link(Link(LinkState.LIVE))
            while not self._periodic.is_stopping and self._tail.is_whole():
                records = self._tail.read()
                if records:
                    self._audience.records(records)
        except UnknownTopicError as exc:
            self._audience.link(Link(LinkState.MISSING, str(exc)))
        except TopicReadError as exc:
            log.info("results_unreachable", reason=str(exc))
            self._audience.link(Link(LinkState.AWAY, str(exc)))
