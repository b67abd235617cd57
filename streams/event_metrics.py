"""Counts events once each, however often they are delivered."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from schemas.errors import ErrorCode
from schemas.metrics import Metrics

Status = Literal["success", "failed", "retry"]


class TaskType(StrEnum):
    """The work that a record asks for."""

    GENERATE = "generate"
    CLEANUP = "cleanup"
    PERSIST = "persist"
    RETRY = "retry"
    INGEST = "ingest"


REMEMBERED: Final = 20_000
"""More events than one process finishes between two commits of its offsets: what was committed does not come again."""


class RecentIds:
    """Remembers the last few thousand ids. Not thread-safe."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size: Final = size
        self._hashes: Final[OrderedDict[int, None]] = OrderedDict()

    def add(self, id_: Hashable) -> bool:
        """Remember the id; return whether it is new."""
        number = hash(id_)
        if number in self._hashes:
            return False
        self._hashes[number] = None
        if len(self._hashes) > self._size:
            self._hashes.popitem(last=False)
        return True


@dataclass(frozen=True)
class EventSample:
    """The part that one delivery adds to the metrics; `kind` is None where it is no readable upload, or was not worked on."""

    event: Hashable = None
    """The same for each delivery of one attempt at one event, and for nothing else."""
    task: TaskType | None = None
    took_s: float = 0.0
    kind: str | None = None
    ready_after_s: float | None = None
    error: ErrorCode | None = None
    waits_for: str | None = None
    """The provider whose breaker is open: then the event waits."""
    was_tried: bool = True
    """False where the event only waits."""
    stale: str | None = None
    has_other_key: bool = False
    """Whether an upload's record came with another key than its media has."""
    trace_id: str | None = None


class EventMetrics:
    """Adds the samples to the metrics.

    It counts an event's attempt, once the record is acknowledged. A record that a process could not acknowledge, because it
    ended or lost the partition, is counted by the process that does. So an event can be counted twice only
    when a process is killed between acknowledging it and committing the offset (a second at most), and comes back in
    another process; in the same process it is known, for the last REMEMBERED events.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics: Final = metrics
        self._recent: Final = RecentIds()

    def count(self, status: Status, sample: EventSample) -> None:
        """Count the delivery, or that it was a redelivery."""
        metrics = self._metrics
        metrics.last_progress_timestamp_seconds.set_to_current_time()
        if not self._recent.add(sample.event):
            metrics.redelivered_total.labels(sample.task or "generate").inc()
            return
        if sample.has_other_key:
            metrics.key_mismatches_total.inc()
        if sample.stale is not None:
            metrics.stale_retries_total.labels(sample.stale).inc()
        if sample.error is not None and status == "retry":
            metrics.retries_total.labels(sample.error).inc()
        if sample.error is not None and status == "failed":
            metrics.dead_letters_total.labels(sample.error).inc()
        if sample.waits_for is not None:
            metrics.breaker_waiting_total.labels(sample.waits_for).inc()
        if sample.was_tried:
            self._count_work(status, sample)

    def _count_work(self, status: Status, sample: EventSample) -> None:
        metrics, exemplar = self._metrics, exemplar_of(sample.trace_id)
        if sample.task is not None:
            metrics.task_execution_total.labels(sample.task, status).inc()
            metrics.task_execution_duration_seconds.labels(sample.task).observe(sample.took_s, exemplar)
        if sample.kind is not None:
            metrics.generation_total.labels(sample.kind, status).inc()
            metrics.generation_duration_seconds.labels(sample.kind).observe(sample.took_s, exemplar)
        if sample.ready_after_s is not None:
            metrics.upload_to_ready_seconds.observe(sample.ready_after_s, exemplar)


def exemplar_of(trace_id: str | None) -> dict[str, str] | None:
    """Return the label that links an observation to its trace; it is shown in OpenMetrics only."""
    return None if trace_id is None else {"trace_id": trace_id}
