"""Sends thumbnail.state: each record says what a media's row says at that moment, and none is older than the one before it."""

import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from schemas.cloudevents import context_headers, write_event
from schemas.database_faults import explain_database_fault
from schemas.media_state import THUMBNAIL_STATE_TYPE, ThumbnailState, record_key
from schemas.metrics import Metrics
from streams.kafka.records import OutboundRecord
from streams.persist.batch import DatabaseDownError
from streams.rows.last_write_wins import Row
from streams.rows.states import read_media_states, state_lock

DELETED: Final = "deleted"

SendAll = Callable[[list[OutboundRecord]], object]
"""Returns when all in-sync replicas have every record, and raises when one was not acknowledged."""
StateLock = Callable[[], AbstractContextManager[sa.Connection]]
"""Opens a transaction that no other holder of the lock, in any process, overlaps."""


class StateSender:
    """Reads the rows, sends their states and waits for the broker: all of it under one lock for the whole installation.

    Why no older state follows a newer one of the same media: a row's revision only rises, each state is read under
    the lock, and whoever holds the lock gives it back after the broker has acknowledged. So the next holder reads later, and
    sends later. Why the last record of a media is what its row says: each change of a row is committed before its state is
    sent, and the offset of its cause is committed after that. Dying in between repeats it: the same row has the same bytes.

    Only two faults at once break this: docs/decisions.md, "One topic with the present state".
    """

    def __init__(self, engine: sa.Engine, topic: str, metrics: Metrics, *, lock: StateLock | None = None) -> None:
        self._topic: Final = topic
        self._metrics: Final = metrics
        self._lock: Final = lock or (lambda: state_lock(engine, topic))

    def send(self, media: Collection[Row], send_all: SendAll) -> int:
        """Send the present state of each media that has one, and null for those that are gone; return how many.

        Raises DatabaseDownError, and what `send_all` raises: then some may have been sent, and all are to be sent again.
        """
        if not media:
            return 0
        began = time.perf_counter()
        try:
            with self._lock() as connection:
                states = read_media_states(connection, media)
                if states:
                    send_all([state_record(self._topic, row, state) for row, state in states.items()])
        except SQLAlchemyError as exc:
            raise DatabaseDownError(explain_database_fault(exc)) from exc
        self._metrics.state_duration_seconds.observe(time.perf_counter() - began)
        for status, count in Counter(DELETED if state is None else state.status for state in states.values()).items():
            self._metrics.states_total.labels(status).inc(count)
        return len(states)


def state_record(topic: str, row: Row, state: ThumbnailState | None) -> OutboundRecord:
    """Return the record for `topic`: the same bytes for the same row."""
    key = record_key(*row)
    if state is None:
        return OutboundRecord(topic, key.encode(), None, ())
    headers = context_headers(
        event_type=THUMBNAIL_STATE_TYPE, event_id=state.event_id, occurred_at=state.updated_at, subject=key
    )
    return OutboundRecord(topic, key.encode(), write_event(state), headers)
