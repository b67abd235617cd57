"""The record that tells a producer why a record of its had no effect, with all that is wrong with it."""

import uuid
from datetime import datetime
from typing import Final

from schemas import headers as h
from schemas.cloudevents import MAX_EVENT_BYTES, context_headers, write_event
from schemas.errors import NEXT_ACTIONS, ThumbnailError, TransientError
from schemas.events import DeadLetterInfo, ErrorInfo
from schemas.faults import Fault, RefusedEventError
from schemas.rejected import MEDIA_REJECTED_TYPE, MediaRejected, ReadableIds, RecordPlace
from schemas.topics import Topics
from streams.failures.dead_letter import Failure
from streams.failures.size import KEPT_KEY_BYTES
from streams.kafka.records import Delivery, OutboundRecord
from streams.thumbnails.events_out import MAX_MESSAGE_CHARS

_NAMESPACE: Final = uuid.UUID("0b0f6a4e-52c4-5c1f-9d3c-6f0a1f9f4b57")


def rejection(
    topics: Topics, delivery: Delivery, failure: Failure, dead_letter_topic: str, now: datetime
) -> OutboundRecord:
    """Return the record for thumbnail.failed, with the key of the rejected one: only of a longer key the beginning.

    Its id is the same however often the rejected record is delivered, and another one after a replay.
    """
    record, error, place = delivery.record, failure.error, _place_of(delivery)
    ids = ReadableIds(record.value, record.headers, most_bytes=MAX_EVENT_BYTES)
    where = f"{place.topic}/{place.partition}/{place.offset}"
    event = MediaRejected(
        event_id=str(uuid.uuid5(_NAMESPACE, f"{where} {delivery.replayed_from or ''} {error.code}")),
        produced_at=now,
        upload_event_id=ids.upload_event_id,
        company_id=ids.company_id,
        media=ids.media,
        error=ErrorInfo(
            code=error.code,
            message=error.message[:MAX_MESSAGE_CHARS],
            stage=failure.stage,
            retryable=isinstance(error, TransientError),
            next_action=NEXT_ACTIONS[error.code],
        ),
        faults=_faults_of(error),
        record=place,
        attempts=failure.attempts,
        first_failed_at=failure.first_failed_at,
        dead_letter=DeadLetterInfo(topic=dead_letter_topic),
    )
    key = None if record.key is None else record.key[:KEPT_KEY_BYTES]
    subject = (key or b"").decode("utf-8", "replace") or where
    context = context_headers(event_type=MEDIA_REJECTED_TYPE, event_id=event.event_id, occurred_at=now, subject=subject)
    cause = ids.upload_event_id or where
    links = {h.CORRELATION_ID: delivery.correlation_id or cause, h.CAUSATION_ID: cause}
    headers = h.with_extensions(h.with_headers(context, links) + delivery.trace)
    return OutboundRecord(topics.failed, key, write_event(event), headers)


def _place_of(delivery: Delivery) -> RecordPlace:
    """Return where the producer wrote it, also after waits and replays."""
    record, origin = delivery.record, delivery.origin
    if origin.topic is None:
        return RecordPlace(topic=record.topic, partition=record.partition, offset=record.offset)
    numbers = (
        text if text and text.isascii() and text.isdigit() else "0" for text in (origin.partition, origin.offset)
    )
    partition, offset = map(int, numbers)
    return RecordPlace(topic=origin.topic, partition=partition, offset=offset)


def _faults_of(error: ThumbnailError) -> tuple[Fault, ...]:
    if isinstance(error, RefusedEventError):
        return error.faults
    return (Fault(field=None, value=None, message=error.message[:MAX_MESSAGE_CHARS]),)
