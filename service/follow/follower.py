"""Follows one upload: what is in the topics of it already, then each step as it comes."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

from service.follow.steps import Sought, State, Step, event_id_of, step_of
from service.kafka.clients import consumers_of
from service.kafka.connection import connect
from service.settings import Settings
from streams.kafka.ports import TopicPartition
from streams.kafka.reader import COMMITTED_ONLY, Extent, PartitionReader, TopicReadError
from streams.kafka.records import InboundRecord

POLL_S: Final = 0.3
QUEUE_EVERY_S: Final = 1.0
PASSED_S: Final = 5.0
"""The outcome of a record stands in the topics before the group goes past it; readers may see it a moment later."""
OUTAGE_S: Final = 30.0
"""A broker may restart meanwhile."""


class Follower(AbstractContextManager["Follower"]):
    """Use it once, in a `with`. Raises KafkaUnreachableError and TopicReadError."""

    def __init__(self, settings: Settings, sought: Sought, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._topics: Final = settings.kafka.topics
        self._concurrency: Final = settings.worker.worker_concurrency
        self._settings: Final = settings
        self._sought: Final = sought
        self._monotonic: Final = monotonic
        # It asks how far the workers have come, and so is of their group; it joins nothing, and commits nothing.
        self._reader: Final = PartitionReader(
            consumers_of(settings.kafka, settings.worker.worker_group)(COMMITTED_ONLY)
        )
        self._positions: dict[TopicPartition, int] = {}
        self._upload: InboundRecord | None = None
        self._place: InboundRecord | None = None
        """Where it waits for a worker: in media.uploaded or thumbnail.due; None elsewhere."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    @property
    def upload(self) -> InboundRecord | None:
        """Return the upload's own record, once it was found."""
        return self._upload

    def steps(self, since: datetime, timeout_s: float | None) -> Iterator[Step]:
        """Yield each step until a final one, or until `timeout_s` seconds are over. `since` is how far to look back."""
        connect(self._settings.kafka)  # says why there is no connection, which a consumer would not
        last: Step | None = None
        for record in self._begin(since):
            last = self._take(record)
            yield last
        if last is not None and last.state.is_final:
            return
        yield from self._live(None if timeout_s is None else self._monotonic() + timeout_s)

    def _live(self, deadline: float | None) -> Iterator[Step]:
        heard_at, watch = self._monotonic(), _QueueWatch(self._queue, self._monotonic)
        while True:
            try:
                for step in self._look(watch):
                    yield step
                    if step.state.is_final:
                        return
                heard_at = self._monotonic()
            except TopicReadError:
                if self._monotonic() - heard_at > OUTAGE_S:
                    raise
            if deadline is not None and self._monotonic() >= deadline:
                return
            time.sleep(POLL_S)

    def _look(self, watch: "_QueueWatch") -> Iterator[Step]:
        for record in self._fitting(self._news()):
            watch.forget_passing()
            yield self._take(record)
        step = watch.look()
        if step is not None:
            yield step

    def _begin(self, since: datetime) -> list[InboundRecord]:
        """Return what the topics hold of it since then, in order of time, from its newest upload on."""
        topics = self._topics
        names = (topics.uploads, *topics.retries, topics.due, topics.ready, topics.dlq)
        partitions = [where for name in names for where in self._reader.partitions(name)]
        extents = self._reader.extents(partitions)
        starts = self._reader.offsets_at(partitions, int(since.timestamp() * 1000))
        self._positions = {where: extents[where].high for where in partitions}
        wanted = {
            where: Extent(max(start, extents[where].low), extents[where].high)
            for where, start in starts.items()
            if start >= 0  # none is as young
        }
        found = sorted(
            (record for record in self._reader.read(wanted) if self._sought.fits(record)),
            key=lambda record: (record.timestamp_ms, record.topic != topics.uploads, record.offset),
        )
        uploads = [number for number, record in enumerate(found) if record.topic == topics.uploads]
        if not uploads or not self._sought.is_key:
            return found
        newest = event_id_of(found[uploads[-1]])
        return [record for record in found[uploads[-1] :] if event_id_of(record) == newest]

    def _news(self) -> list[InboundRecord]:
        ends = self._reader.ends(list(self._positions))
        new = {where: Extent(self._positions[where], end) for where, end in ends.items()}
        records = list(self._reader.read(new))
        self._positions |= {where: max(end, self._positions[where]) for where, end in ends.items()}
        return sorted(records, key=lambda record: record.timestamp_ms)

    def _fitting(self, records: list[InboundRecord]) -> Iterator[InboundRecord]:
        for record in records:
            if not self._sought.fits(record):
                continue
            is_new = record.topic == self._topics.uploads
            if is_new or self._upload is None or event_id_of(record) == event_id_of(self._upload):
                yield record

    def _take(self, record: InboundRecord) -> Step:
        step = step_of(record, self._topics)
        if step.state is State.UPLOADED:
            self._upload = record
        self._place = record if step.state in (State.UPLOADED, State.DUE, State.REPLAYED) else None
        return step

    def _queue(self) -> Step | None:
        """Return how many records stand before it, None where it waits for no worker or nobody says."""
        place = self._place
        if place is None:
            return None
        where = (place.topic, place.partition)
        committed = self._reader.committed([where]).get(where)
        now = datetime.now(UTC)
        if committed is None:
            return Step(now, State.QUEUED, "no worker has read this partition yet: is `thumbnails worker` running?")
        before = place.offset - committed
        if before < 0:
            said = "a worker is past it without an outcome: a newer upload of the media has won, or its row is gone"
            return Step(now, State.NO_OUTCOME, said)
        if before < self._concurrency:
            return Step(now, State.WORKING, "a worker has it, or takes it next")
        return Step(now, State.QUEUED, f"{before} records of its partition stand before it", {"before": before})


class _QueueWatch:
    """Asks about the queue now and then, and tells what changed."""

    def __init__(self, ask: Callable[[], Step | None], monotonic: Callable[[], float]) -> None:
        self._ask: Final = ask
        self._monotonic: Final = monotonic
        self._asked_at = float("-inf")
        self._said: str | None = None
        self._passed_at: float | None = None

    def forget_passing(self) -> None:
        """Begin again: the upload goes on."""
        self._passed_at = None

    def look(self) -> Step | None:
        """Return what is new, a missing outcome only when it is missing for PASSED_S."""
        now = self._monotonic()
        if now - self._asked_at < QUEUE_EVERY_S:
            return None
        self._asked_at, found = now, self._ask()
        if found is not None and found.state is State.NO_OUTCOME:
            self._passed_at = self._passed_at or now
            return found if now - self._passed_at > PASSED_S else None
        self._passed_at = None
        if found is None or found.said == self._said:
            return None
        self._said = found.said
        return found
