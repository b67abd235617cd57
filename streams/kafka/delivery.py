"""A record with what its headers say about earlier attempts and replays, as far as they are to be believed."""

from dataclasses import dataclass, replace
from datetime import datetime

from schemas import headers as h
from schemas.topics import Topics
from streams.kafka.records import InboundRecord


@dataclass(frozen=True)
class Delivery:
    """`attempt` is 1-based, and counts from the last replay; `first_failed_at` is of the first failure ever."""

    record: InboundRecord
    attempt: int
    first_failed_at: datetime | None
    budget_from: datetime | None
    """From when its time budget counts: its last replay, else its first failure; None for a first attempt."""
    is_again: bool
    """Whether it was tried before: then a newer upload may have come meanwhile."""


def read_delivery(record: InboundRecord) -> Delivery:
    """What the headers say; those that make no sense count as absent."""
    first_failed_at = h.parse_time(h.get_header(record.headers, h.FIRST_FAILED_AT))
    # A record that was replayed keeps its first failure for people to see; its budget begins anew.
    replayed_at = h.parse_time(h.get_header(record.headers, h.REPLAYED_AT))
    is_retry = h.get_header(record.headers, h.RETRY_ATTEMPT) is not None
    return Delivery(
        record,
        attempt=h.get_count(record.headers, h.RETRY_ATTEMPT) + 1,
        first_failed_at=first_failed_at,
        budget_from=(replayed_at or first_failed_at) if is_retry else None,
        is_again=is_retry or replayed_at is not None,
    )


def believed(record: InboundRecord, topics: Topics) -> InboundRecord:
    """Return the record without our working headers where producers could have written them: on media.uploaded.

    Whoever acts on a record asks this first. Attempts, time budget, origin and waits then come from our roles alone.
    """
    if record.topic != topics.uploads:
        return record
    headers = h.without_headers(record.headers, h.WORKING_HEADERS)
    return record if len(headers) == len(record.headers) else replace(record, headers=headers)


def origin_topic(record: InboundRecord, topics: Topics) -> str:
    """Return the topic that the record was first read from: only thumbnail.due carries records of other topics."""
    if record.topic != topics.due:
        return record.topic
    return h.get_header(record.headers, h.ORIGINAL_TOPIC) or record.topic


def written_at(record: InboundRecord) -> datetime:
    """Return when the record was first written, by the clock of whoever wrote it, also after waits and replays."""
    return h.parse_time(h.get_header(record.headers, h.ORIGINAL_TIMESTAMP)) or record.timestamp
