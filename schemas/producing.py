"""For services in Python that announce uploads and deletions: the records of media.uploaded, for any Kafka client.

    record = upload_record(company_id=1, media={"kind": "video", "id": 42, "ar_content_id": 9, "key": "acme/uploads/a.mp4"})
    producer.produce("media.uploaded", record.value, record.key, headers=list(record.headers))

The producer must choose partitions as Java's clients do: `partitioner=murmur2_random` for librdkafka, or `partition_of`.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from schemas import headers as h
from schemas.cloudevents import CE_SOURCE, context_headers, write_event
from schemas.errors import ErrorCode
from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
from schemas.faults import RefusedEventError, faults_in
from schemas.media_state import MEDIA_DELETED_TYPE, MediaDeletion

_SEED: Final = 0x9747B28C
_MULTIPLIER: Final = 0x5BD1E995
_32_BITS: Final = 0xFFFFFFFF

TAnnounced = TypeVar("TAnnounced", MediaUploaded, MediaDeletion)


@dataclass(frozen=True)
class ProducerRecord:
    """A record for media.uploaded. Keep `event_id`: who sends an event again sends the same one."""

    key: bytes
    value: bytes
    headers: h.Headers
    event_id: str


def upload_record(
    company_id: int,
    media: Mapping[str, object],
    *,
    event_id: str | None = None,
    occurred_at: datetime | None = None,
    source: str = CE_SOURCE,
    **more: object,
) -> ProducerRecord:
    """Announce an upload; `media` and `more` have the fields of media.uploaded.v1.schema.json.

    Raises RefusedEventError with all that is wrong, as the worker would answer it.
    """
    facts = {"company_id": company_id, "media": dict(media), **more}
    return record_of(_checked(MediaUploaded, facts, event_id, occurred_at), source=source)


def deletion_record(
    company_id: int,
    media: Mapping[str, object],
    *,
    event_id: str | None = None,
    occurred_at: datetime | None = None,
    source: str = CE_SOURCE,
) -> ProducerRecord:
    """Announce that a media was deleted. Raises RefusedEventError with all that is wrong."""
    facts = {"company_id": company_id, "media": dict(media)}
    return record_of(_checked(MediaDeletion, facts, event_id, occurred_at), source=source)


def record_of(event: MediaUploaded | MediaDeletion, *, source: str = CE_SOURCE) -> ProducerRecord:
    """Return the record that announces `event`, a CloudEvent in binary mode."""
    key = event.media.record_key
    context = context_headers(
        event_type=MEDIA_UPLOADED_TYPE if isinstance(event, MediaUploaded) else MEDIA_DELETED_TYPE,
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        subject=key,
    )
    headers = h.with_headers(context, {h.CE_SOURCE: source})
    return ProducerRecord(key.encode(), write_event(event), headers, event.event_id)


def _checked(
    model: type[TAnnounced], facts: Mapping[str, object], event_id: str | None, occurred_at: datetime | None
) -> TAnnounced:
    moment = occurred_at or datetime.now(UTC)
    context: dict[str, Any] = {"event_id": event_id or str(uuid.uuid4()), "occurred_at": moment.isoformat()}
    try:
        return model.model_validate_json(json.dumps(context | dict(facts)))
    except ValidationError as exc:
        raise RefusedEventError(ErrorCode.EVENT_MALFORMED, faults_in(exc)) from exc


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` in a topic of so many, as the default of Java's clients chooses it."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    """Return the 32 bits of org.apache.kafka.common.utils.Utils.murmur2, unsigned."""
    found = (_SEED ^ len(data)) & _32_BITS
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        part = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _32_BITS
        part = (part ^ part >> 24) * _MULTIPLIER & _32_BITS
        found = found * _MULTIPLIER & _32_BITS ^ part
    if whole < len(data):
        found = (found ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _32_BITS
    found = (found ^ found >> 13) * _MULTIPLIER & _32_BITS
    return found ^ found >> 15
