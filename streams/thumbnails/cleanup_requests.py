"""The results that leave objects behind which no row shows, and the request to delete them."""

from datetime import datetime

from schemas import headers as h
from schemas.cloudevents import context_headers, write_event
from schemas.errors import ErrorCode
from schemas.events import (
    THUMBNAIL_CLEANUP_TYPE,
    CleanupReason,
    Media,
    ThumbnailCleanup,
    ThumbnailFailed,
    derived_event_id,
    upload_version,
)
from schemas.headers import Headers
from schemas.media_state import ThumbnailDeleted
from streams.kafka.records import OutboundRecord
from streams.rows.last_write_wins import Result, RowOutcome
from streams.rows.versions import version_of

_PASSED_ON = (h.TRACEPARENT, h.TRACESTATE, h.CORRELATION_ID, h.CAUSATION_ID)


def needs_cleanup(result: Result, outcome: RowOutcome, result_headers: Headers = ()) -> bool:
    """Return whether objects may be left that no row shows: a media's first success leaves none.

    Unless the worker found others of the same upload. A result of another company than the row's leaves all of its
    objects behind, in the storage of the company that it names.

    An unknown company has no storage where anything could be, and its cleanup would be one more dead letter. For a
    company that was not active at the first attempt nothing was stored, and its storage may refuse us by now. At worst
    a first attempt was killed just before: the media's next upload deletes what that left.
    """
    if isinstance(result, ThumbnailFailed) and _has_stored_nothing(result, outcome):
        return False
    if outcome is RowOutcome.APPLIED:
        return isinstance(result, ThumbnailFailed) or any(name == h.OTHER_PICTURES for name, _ in result_headers)
    # The dead letter of a refused one brings its pictures into the row, once that can be written. And what the row does
    # not remember as given up may still come to be shown: no object of it may be deleted.
    return outcome not in (RowOutcome.REFUSED, RowOutcome.UNREMEMBERED)


def _has_stored_nothing(failed: ThumbnailFailed, outcome: RowOutcome) -> bool:
    """Return whether no attempt of it can have come as far as a storage that a cleanup could open."""
    if failed.error.code == ErrorCode.EVENT_IN_FUTURE:
        return outcome is not RowOutcome.APPLIED  # the company of a row is known
    if failed.attempts == 1 and failed.error.code == ErrorCode.TENANT_LIMITED:
        return outcome is not RowOutcome.APPLIED  # as above, and it only ever waited for its turn
    was_inactive = failed.error.code == ErrorCode.TENANT_INACTIVE and failed.attempts == 1
    return was_inactive or failed.error.code == ErrorCode.TENANT_UNKNOWN


def cleanup_request(
    topic: str, result: Result, outcome: RowOutcome, result_headers: Headers, now: datetime
) -> OutboundRecord:
    """Return the record for `topic`, in the trace of the result's own record."""
    version = version_of(result)
    request = ThumbnailCleanup(
        event_id=derived_event_id(
            result.upload_event_id, result.company_id, result.media, f"cleanup:{outcome}:{version}"
        ),
        upload_event_id=result.upload_event_id,
        occurred_at=result.occurred_at,
        produced_at=now,
        company_id=result.company_id,
        media=result.media,
        version=version,
        reason=_reason(result, outcome),
    )
    return _request_record(topic, request, result_headers)


def deletion_cleanup(topic: str, deleted: ThumbnailDeleted, record_headers: Headers, now: datetime) -> OutboundRecord:
    """Return the record for `topic` that asks to delete all pictures of the media from before its deletion."""
    media, company_id = deleted.media, deleted.company_id
    assert company_id is not None  # noqa: S101 - the caller leaves the others out
    named = Media(
        kind=media.kind,
        id=media.id,
        ar_content_id=media.ar_content_id,
        key=media.key or media.record_key,  # no cleanup reads the source; the schema wants a key
    )
    request = ThumbnailCleanup(
        event_id=derived_event_id(deleted.event_id, company_id, named, "cleanup:deleted"),
        upload_event_id=deleted.event_id,
        occurred_at=deleted.occurred_at,
        produced_at=now,
        company_id=company_id,
        media=named,
        version=upload_version(deleted.occurred_at, deleted.event_id),
        reason=CleanupReason.ROW_GONE,
    )
    return _request_record(topic, request, record_headers)


def _request_record(topic: str, request: ThumbnailCleanup, cause: Headers) -> OutboundRecord:
    context = context_headers(
        event_type=THUMBNAIL_CLEANUP_TYPE,
        event_id=request.event_id,
        occurred_at=request.produced_at,
        subject=request.media.record_key,
    )
    headers = context + tuple((name, value) for name, value in cause if name in _PASSED_ON)
    return OutboundRecord(topic, request.media.record_key.encode(), write_event(request), headers)


def _reason(result: Result, outcome: RowOutcome) -> CleanupReason:
    if outcome in (RowOutcome.ROW_GONE, RowOutcome.OTHER_COMPANY):
        return CleanupReason.ROW_GONE
    if outcome is RowOutcome.STALE:
        return CleanupReason.STALE
    is_given_up = isinstance(result, ThumbnailFailed) or outcome is RowOutcome.OVERRULED
    return CleanupReason.GIVEN_UP if is_given_up else CleanupReason.SUPERSEDED
