"""Writes what a dead letter says: the original record, where it came from, why it failed and what a person should do now."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from schemas import headers as h
from schemas.errors import NEXT_ACTIONS, Stage, ThumbnailError, TransientError
from schemas.headers import Headers
from streams.failures.size import fitted
from streams.kafka.records import Delivery, OutboundRecord

_RETRY_HEADERS: Final = (h.RETRY_ATTEMPT, h.RETRY_DUE_AT, h.RETRY_NOT_BEFORE, h.RETRY_HOPS)
"""Headers of a retry under way: they would count against the record when it is replayed."""


@dataclass(frozen=True)
class Failure:
    """An attempt that failed; `attempts` counts since the last replay, this one included."""

    error: ThumbnailError
    stage: Stage
    attempts: int
    first_failed_at: datetime
    failed_at: datetime


def failure_headers(delivery: Delivery, failure: Failure, group: str) -> dict[str, object]:
    """Return what retries and dead letters say alike: the first origin, which no later hop overwrites, and the last error."""
    record, origin, error = delivery.record, delivery.origin, failure.error
    here: dict[str, object] = {
        h.ORIGINAL_TOPIC: record.topic,
        h.ORIGINAL_PARTITION: record.partition,
        h.ORIGINAL_OFFSET: record.offset,
        h.ORIGINAL_TIMESTAMP: h.format_time(record.timestamp),
        h.CONSUMER_GROUP: group,
    }
    if origin.topic is not None:
        before = (origin.topic, origin.partition, origin.offset, origin.timestamp, origin.group)
        here = {name: known or value for (name, value), known in zip(here.items(), before, strict=True)}
    return here | {
        h.ERROR_CODE: error.code,
        h.ERROR_CLASS: type(error).__name__,
        h.ERROR_MESSAGE: error.message,
        h.ERROR_STAGE: failure.stage,
        h.RETRYABLE: str(isinstance(error, TransientError)).lower(),
        h.FIRST_FAILED_AT: h.format_time(failure.first_failed_at),
        h.LAST_FAILED_AT: h.format_time(failure.failed_at),
    }


def dead_letter_headers(delivery: Delivery, failure: Failure, group: str) -> Headers:
    """Return the original headers, then why it failed and what to do now; every value one bounded line of text."""
    facts = {
        **failure_headers(delivery, failure, group),
        h.ATTEMPTS: failure.attempts,
        h.NEXT_ACTION: NEXT_ACTIONS[failure.error.code],
    }
    return h.with_headers(h.without_headers(delivery.record.headers, _RETRY_HEADERS), facts)


def make_dead_letter(topic: str, delivery: Delivery, failure: Failure, group: str) -> OutboundRecord:
    """Return the record for the dead letter topic: key and value byte for byte as they came, where the topic takes so much."""
    record, headers = delivery.record, dead_letter_headers(delivery, failure, group)
    made = fitted(OutboundRecord(topic, record.key, record.value, headers), delivery)
    return replace(made, headers=h.in_reading_order(made.headers))
