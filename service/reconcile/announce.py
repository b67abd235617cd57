"""The records that a reconciliation sends, and its look at the topics before it takes an upload for stuck."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from schemas.cloudevents import context_headers, write_event
from schemas.events import THUMBNAIL_READY_TYPE, ThumbnailReady
from service.publish.uploads import publish_records
from service.settings import Settings
from service.status.topic_states import read_topics
from streams.kafka.ports import KafkaProducer
from streams.tracing import NO_TRACING, Tracing

ASK_AGAIN_S: Final = 10.0


def publish_ready(producer: KafkaProducer, event: ThumbnailReady, *, topic: str, tracing: Tracing = NO_TRACING) -> None:
    """Announce pictures as a worker does, and return when the broker has it. Raises PublishError."""
    headers = context_headers(
        event_type=THUMBNAIL_READY_TYPE,
        event_id=event.event_id,
        occurred_at=event.produced_at,
        subject=event.media.record_key,
    )
    publish_records(producer, topic, [(event.media.record_key.encode(), write_event(event), headers)], tracing)


class OldestWaiting:
    """Knows how far the roles are behind; asks Kafka again after a few seconds."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings: Final = settings
        self._clock: Final = clock
        self._known: tuple[float, datetime | None] | None = None

    def __call__(self) -> datetime | None:
        """Return the time of the oldest record that a role has not done; None where none waits. Raises KafkaUnreachableError.

        A record in a retry topic has the time of its last attempt.
        """
        if self._known is None or self._clock() - self._known[0] >= ASK_AGAIN_S:
            states = read_topics(self._settings).states
            found = [group.oldest_unprocessed_at for state in states for group in state.groups]
            self._known = self._clock(), min((moment for moment in found if moment is not None), default=None)
        return self._known[1]
