"""Kafka records as plain values, so that what decides about them needs no broker."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from schemas import headers as h
from schemas.headers import Headers

_LATEST_MS: Final = 253_370_764_800_000
"""The year 9999 begins. It leaves room for what is added to a record's time: Python's times end with that year."""
_FIRST_CLOCK: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""No clock shows less: a record of 1970 has no time, or has it in seconds."""


@dataclass(frozen=True)
class InboundRecord:
    """A record as it came from the broker; `timestamp_ms` is the broker's or producer's, in Unix milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def timestamp(self) -> datetime:
        """Return the record's time in UTC: the epoch where the broker had none, at most the year 9999.

        A producer may set any number; a time in microseconds is in the year 58000.
        """
        return datetime.fromtimestamp(min(max(self.timestamp_ms, 0), _LATEST_MS) / 1000, tz=UTC)

    @property
    def log_fields(self) -> dict[str, object]:
        """Where it stands, and the trace that it belongs to: in every log line about it."""
        trace = h.get_header(self.headers, h.TRACEPARENT)
        place: dict[str, object] = {"topic": self.topic, "partition": self.partition, "offset": self.offset}
        return place | ({"trace_id": trace[3:35]} if trace else {})


def place_of(record: InboundRecord) -> tuple[str, int, int]:
    """Topic, partition and offset: what no other record has."""
    return record.topic, record.partition, record.offset


def bounded_by(now: datetime, moment: datetime) -> datetime:
    """Return `moment`, the time that a record has, or `now` where it lies ahead of now or can be no clock's time."""
    return moment if _FIRST_CLOCK <= moment <= now else now


@dataclass(frozen=True)
class OutboundRecord:
    """A record that must be acknowledged by the broker before its cause counts as done."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
