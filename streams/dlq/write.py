"""What a dead letter says: the original record, where it came from, why it failed and what a person should do now."""

from datetime import datetime
from typing import Final

from schemas import headers as h
from schemas.errors import NEXT_ACTIONS, Stage, ThumbnailError, TransientError
from schemas.headers import Headers
from streams.dlq.size import fitted
from streams.kafka.records import InboundRecord, OutboundRecord

_WORKING_HEADERS: Final = (h.RETRY_ATTEMPT, h.RETRY_DUE_AT, h.RETRY_NOT_BEFORE)
"""Headers of a retry under way: they would count against the record when it is replayed."""


def origin_headers(record: InboundRecord, group: str) -> dict[str, object]:
    """Where a record was first read: what an earlier hop wrote stands, so the first origin is never overwritten."""
    here: dict[str, object] = {
        h.ORIGINAL_TOPIC: record.topic,
        h.ORIGINAL_PARTITION: record.partition,
        h.ORIGINAL_OFFSET: record.offset,
        h.ORIGINAL_TIMESTAMP: h.format_time(record.timestamp),
        h.CONSUMER_GROUP: group,
    }
    if h.get_header(record.headers, h.ORIGINAL_TOPIC) is None:
        return here
    return {name: h.get_header(record.headers, name) or value for name, value in here.items()}


def error_headers(error: ThumbnailError, stage: Stage) -> dict[str, object]:
    """The last error, each header replacing the one before so that nothing piles up."""
    return {
        h.ERROR_CODE: error.code,
        h.ERROR_CLASS: type(error).__name__,
        h.ERROR_MESSAGE: error.message,
        h.ERROR_STAGE: stage,
        h.RETRYABLE: str(isinstance(error, TransientError)).lower(),
    }


def dead_letter_headers(
    record: InboundRecord,
    error: ThumbnailError,
    *,
    stage: Stage,
    group: str,
    attempts: int,
    first_failed_at: datetime,
    now: datetime,
) -> Headers:
    """The original headers, then the facts of design section 6; every value one bounded line of text."""
    facts = {
        **origin_headers(record, group),
        **error_headers(error, stage),
        h.ATTEMPTS: attempts,
        h.FIRST_FAILED_AT: h.format_time(first_failed_at),
        h.LAST_FAILED_AT: h.format_time(now),
        h.NEXT_ACTION: NEXT_ACTIONS[error.code],
    }
    return h.with_headers(h.without_headers(record.headers, _WORKING_HEADERS), facts)


def dead_letter(topic: str, record: InboundRecord, headers: Headers) -> OutboundRecord:
    """The record for the dead letter topic: key and value byte for byte as they came, where the topic takes so much."""
    return fitted(OutboundRecord(topic, record.key, record.value, headers), record)
