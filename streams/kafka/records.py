"""Kafka records as plain values, so that what decides about them needs no broker; each record's headers are read once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from schemas import headers as h
from schemas.headers import Headers
from schemas.topics import Topics

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
        """Return its topic, partition, offset and trace, which stand in every log line about it."""
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


@dataclass(frozen=True)
class Origin:
    """The place where a record was first read, as its headers say; None where they say nothing."""

    topic: str | None = None
    partition: str | None = None
    offset: str | None = None
    timestamp: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Delivery:
    """A record with what its headers say, as far as they are believed. The defaults hold where none was read."""

    record: InboundRecord
    origin_topic: str
    """The topic that it was first read from: only thumbnail.due carries records of other topics."""
    written_at: datetime
    """The time at which it was first written, by the clock of its writer, also after waits and replays."""
    origin: Origin = Origin()
    attempt: int = 1
    """1-based; it counts from the last replay."""
    first_failed_at: datetime | None = None
    """The time of the first failure ever."""
    budget_from: datetime | None = None
    """From when its time budget counts: its last replay, else its first failure; None for a first attempt."""
    is_again: bool = False
    """True where it was tried before: then a newer upload may have come meanwhile."""
    is_replay: bool = False
    replayed_from: str | None = None
    """The position of the dead letter that was replayed last; the same for all retries of the replay."""
    last_code: str | None = None
    """The error code of the failure before this attempt."""
    hops: int = 0
    """How often it was sent to a retry topic since the last replay."""
    attempt_id: tuple[str | None, ...] = ()
    """Differs between an event's attempts, waits and replays included, and is the same when one is delivered again."""
    correlation_id: str | None = None
    trace_id: str | None = None
    trace: Headers = ()
    """The W3C trace headers for what follows from the record. A longer one is none that anybody reads, and could make
    the announcement too large for its topic."""

    @property
    def producer(self) -> str | None:
        """Return what the record says of its source: other headers are no better, and the value may not be readable."""
        return h.get_header(self.record.headers, h.CE_SOURCE)

    @property
    def partition_name(self) -> str:
        """Return the partition's name for people."""
        return f"{self.record.topic} partition {self.record.partition}"


def read_delivery(record: InboundRecord, topics: Topics) -> Delivery:
    """Read the headers, once for all. Those that make no sense count as absent, and so do our working headers where
    producers could have written them, on media.uploaded: there the record comes back without them.
    """
    if record.topic == topics.uploads:
        headers = h.without_headers(record.headers, h.WORKING_HEADERS)
        record = record if len(headers) == len(record.headers) else replace(record, headers=headers)
    as_sent = h.from_extensions(record.headers)
    texts = _texts(as_sent)
    first_failed_at = h.parse_time(texts.get(h.FIRST_FAILED_AT))
    # A record that was replayed keeps its first failure for people to see; its budget begins again.
    replayed_at = h.parse_time(texts.get(h.REPLAYED_AT))
    is_retry = h.RETRY_ATTEMPT in texts
    return Delivery(
        record,
        origin_topic=(texts.get(h.ORIGINAL_TOPIC) or record.topic) if record.topic == topics.due else record.topic,
        written_at=h.parse_time(texts.get(h.ORIGINAL_TIMESTAMP)) or record.timestamp,
        origin=Origin(
            texts.get(h.ORIGINAL_TOPIC),
            texts.get(h.ORIGINAL_PARTITION),
            texts.get(h.ORIGINAL_OFFSET),
            texts.get(h.ORIGINAL_TIMESTAMP),
            texts.get(h.CONSUMER_GROUP),
        ),
        attempt=h.get_count(record.headers, h.RETRY_ATTEMPT) + 1,
        first_failed_at=first_failed_at,
        budget_from=(replayed_at or first_failed_at) if is_retry else None,
        is_again=is_retry or replayed_at is not None,
        is_replay=h.REPLAY_COUNT in texts,
        replayed_from=texts.get(h.REPLAYED_FROM),
        last_code=texts.get(h.ERROR_CODE),
        hops=h.get_count(record.headers, h.RETRY_HOPS),
        attempt_id=(texts.get(h.LAST_FAILED_AT), texts.get(h.REPLAYED_AT)),
        correlation_id=texts.get(h.CORRELATION_ID),
        trace_id=h.trace_id(as_sent),
        trace=tuple(
            (name, value)
            for name, value in as_sent
            if name in _TRACE_HEADERS and len(value or b"") <= h.MAX_HEADER_BYTES
        ),
    )


def unread_delivery(record: InboundRecord) -> Delivery:
    """Return a delivery of which nothing was read: without our working headers and its time, which may be to blame."""
    headers = h.without_headers(record.headers, h.WORKING_HEADERS)
    bare = replace(record, headers=headers, timestamp_ms=0)
    return Delivery(bare, record.topic, bare.timestamp)


_TRACE_HEADERS: Final = frozenset({h.TRACEPARENT, h.TRACESTATE})
_READ: Final = h.WORKING_HEADERS | {h.CORRELATION_ID}


def _texts(headers: Headers) -> Mapping[str, str]:
    """Return the last value of each header that is read, as text."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in headers if name in _READ}
