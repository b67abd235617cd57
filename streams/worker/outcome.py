"""The outcome of a record: what is sent for it, and what is said of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from schemas.errors import ErrorCode
from streams.event_metrics import EventSample, Status
from streams.kafka.records import OutboundRecord
from streams.tracing import Fact, StageTime


class Ending(StrEnum):
    """An end of the work on a record, named after the log line that says so, where there is one."""

    READY = "thumbnail_ready"
    DROPPED = "retry_dropped"
    CLEANED = "objects_cleaned"
    TOMBSTONE_SEEN = "tombstone_processed"
    WAITS = "retry_scheduled"
    TOMBSTONE_WAITS = "tombstone_waits"
    GIVEN_UP = "event_dead_lettered"
    TOMBSTONE_GIVEN_UP = "tombstone_dead_lettered"


STATUS: Final[Mapping[Ending, Status]] = {
    Ending.WAITS: "retry",
    Ending.TOMBSTONE_WAITS: "retry",
    Ending.GIVEN_UP: "failed",
    Ending.TOMBSTONE_GIVEN_UP: "failed",
}


@dataclass(frozen=True)
class Trail:
    """An attempt at an upload in its trace: the stages, and attributes."""

    stages: tuple[StageTime, ...] = ()
    attributes: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The records that the broker must acknowledge, in this order, before the record itself may be acknowledged.

    All else is for the observer: the fields of the log line, the sample for the metrics, and the trail in the trace.
    """

    ending: Ending
    status: Status
    records: tuple[OutboundRecord, ...]
    details: Mapping[str, object]
    sample: EventSample
    error_code: ErrorCode | None
    trail: Trail
