"""Reads the results and deletions in a batch of records."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from schemas.cloudevents import read_event, says_type
from schemas.errors import PermanentError
from schemas.events import THUMBNAIL_FAILED_TYPE, THUMBNAIL_READY_TYPE, ThumbnailFailed, ThumbnailReady
from schemas.media_state import THUMBNAIL_DELETED_TYPE, ThumbnailDeleted
from schemas.rejected import MEDIA_REJECTED_TYPE
from schemas.topics import Topics
from streams.kafka.records import InboundRecord
from streams.persist.batch import Item, Written
from streams.persist.counts import Received, Refused
from streams.rows.last_write_wins import Row, RowOutcome, row_of
from streams.rows.upsert import Result
from streams.tracing import Tracing

_STATE_OUTCOMES: Final = frozenset({RowOutcome.APPLIED, RowOutcome.REPLACED, RowOutcome.REPEATED, RowOutcome.ROW_GONE})
"""The outcomes after which this role, or the one that died in its place, owes the media's state."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """A deletion whose row the worker has marked, with the record that brought it."""

    record: InboundRecord
    event: ThumbnailDeleted


@dataclass
class Batch:
    """Records with the results and deletions that they hold, and those that hold none, with the reason."""

    records: list[InboundRecord]
    items: list[Item] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    """The records of `items` and `deletions`, each with the span of the work on it."""
    writing: Future[Written] = field(default_factory=Future)
    """Its rows under way, once it is begun."""
    begun: float = 0.0

    def media_to_announce(self, written: Written) -> set[Row]:
        """Return the media whose state is to be sent, once the rows are `written`."""
        media = {row_of(item.result) for item, outcome in written.outcomes if outcome in _STATE_OUTCOMES}
        return media | {(one.event.media.kind, one.event.media.row_id) for one in self.deletions}


class BatchReader:
    """Reads records of thumbnail.ready, thumbnail.failed and thumbnail.deleted."""

    def __init__(self, topics: Topics, tracing: Tracing) -> None:
        self._topics: Final = topics
        self._tracing: Final = tracing

    def read(self, records: list[InboundRecord]) -> Batch:
        """Return the results and deletions in `records`, and the records that hold none.

        A rejected record has no row: its record on thumbnail.failed is skipped.
        """
        batch = Batch(records)
        for record, span in map(self._tracing.receive, records):
            if record.topic == self._topics.failed and says_type(MEDIA_REJECTED_TYPE, record.value, record.headers):
                span.end()
                continue
            try:
                if record.topic == self._topics.deleted:
                    event = read_event(ThumbnailDeleted, THUMBNAIL_DELETED_TYPE, record.value, record.headers)
                    batch.deletions.append(Deletion(record, event))
                else:
                    batch.items.append(Item(record, self._result(record)))
                batch.received.append((record, span))
            except PermanentError as error:
                batch.refused.append((record, error))
                span.end(error.code)
        return batch

    def _result(self, record: InboundRecord) -> Result:
        if record.topic == self._topics.ready:
            return read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, record.value, record.headers)
        return read_event(ThumbnailFailed, THUMBNAIL_FAILED_TYPE, record.value, record.headers)
