"""The records for media.uploaded that a change of an object becomes."""

import uuid
from typing import Final

from pydantic import ValidationError

from schemas import headers as h
from schemas.errors import ErrorCode
from schemas.events import Media, MediaUploaded
from schemas.faults import RefusedEventError, faults_in
from schemas.media_state import DeletedMedia, MediaDeletion
from schemas.producing import record_of
from streams.ingest.notifications import ChangeKind, ObjectChange
from streams.ingest.rules import Target
from streams.kafka.records import Delivery, OutboundRecord

_NAMESPACE: Final = uuid.UUID("f3f0a3c6-5b0e-5d8c-9f27-2f4f5d1f7a90")
SOURCE: Final = "/thumbnail-pipeline/ingest/s3/"


def event_id(change: ObjectChange) -> str:
    """Return the id of the change: the same however often a server, Kafka or this role repeats its notification."""
    facts = (change.version_id, change.sequencer, change.etag, change.occurred_at.isoformat())
    named = "\n".join([change.kind, change.bucket, change.key, *(fact or "" for fact in facts)])
    return f"s3-{uuid.uuid5(_NAMESPACE, named)}"


def event_record(topic: str, change: ObjectChange, key: str, target: Target, delivery: Delivery) -> OutboundRecord:
    """Return the upload or the deletion of one media; `key` is the object's in the company's storage.

    Raises RefusedEventError notification.malformed for what is no event, with all that is wrong.
    """
    try:
        event = _deletion(change, key, target) if change.kind is ChangeKind.REMOVED else _upload(change, key, target)
    except ValidationError as exc:
        raise RefusedEventError(ErrorCode.NOTIFICATION_MALFORMED, faults_in(exc)) from exc
    record = record_of(event, source=f"{SOURCE}{change.bucket}")
    links = {h.CORRELATION_ID: delivery.correlation_id or event.event_id}
    return OutboundRecord(topic, record.key, record.value, h.with_headers(record.headers, links) + delivery.trace)


def _upload(change: ObjectChange, key: str, target: Target) -> MediaUploaded:
    media = Media(
        kind=target.kind,
        id=target.id,
        ar_content_id=target.ar_content_id,
        key=key,
        content_type=change.content_type,
        size_bytes=change.size_bytes,
        version=change.version_id or change.etag,
    )
    return MediaUploaded(
        event_id=event_id(change), occurred_at=change.occurred_at, company_id=target.company_id, media=media
    )


def _deletion(change: ObjectChange, key: str, target: Target) -> MediaDeletion:
    media = DeletedMedia(kind=target.kind, id=target.id, ar_content_id=target.ar_content_id, key=key)
    return MediaDeletion(
        event_id=event_id(change), occurred_at=change.occurred_at, company_id=target.company_id, media=media
    )
