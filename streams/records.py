"""Kafka records as plain values, so that what decides about them needs no broker."""

from dataclasses import dataclass
from datetime import UTC, datetime

from schemas import headers as h
from schemas.headers import Headers


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
        """The record's time in UTC; the epoch where the broker had none."""
        return datetime.fromtimestamp(max(self.timestamp_ms, 0) / 1000, tz=UTC)

    @property
    def log_fields(self) -> dict[str, object]:
        """Where it stands, and the trace that it belongs to: in every log line about it."""
        trace = h.get_header(self.headers, h.TRACEPARENT)
        place: dict[str, object] = {"topic": self.topic, "partition": self.partition, "offset": self.offset}
        return place | ({"trace_id": trace[3:35]} if trace else {})


def place_of(record: InboundRecord) -> tuple[str, int, int]:
    """Topic, partition and offset: what no other record has."""
    return record.topic, record.partition, record.offset


@dataclass(frozen=True)
class OutboundRecord:
    """A record that must be acknowledged by the broker before its cause counts as done."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
