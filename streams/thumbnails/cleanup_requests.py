"""The results that leave objects behind which no row shows, and the request to delete them."""

from datetime import datetime

from schemas import headers as h
from schemas.cloudevents import context_headers, write_event
from schemas.errors import ErrorCode
from schemas.events import (
    THUMBNAIL_CLEANUP_TYPE,
    CleanupReason,
    ThumbnailCleanup,
    ThumbnailFailed,
    derived_event_id,
    upload_version,
)
from schemas.headers import Headers
from streams.kafka.records import OutboundRecord
from streams.rows.last_write_wins import Result, RowOutcome

_PASSED_ON = (h.TRACEPARENT, h.TRACESTATE, h.CORRELATION_ID, h.CAUSATION_ID)


def needs_cleanup(result: Result, outcome: RowOutcome) -> bool:
    """Return whether objects may be left that no row shows: a media's first success leaves none.

    An unknown company has no storage where anything could be, and its cleanup would be one more dead letter. For a
    company that was not active at the first attempt nothing was stored, and its storage may refuse us by now. At worst
    a first attempt was killed just before: the media's next upload deletes what that left.
    """
    if isinstance(result, ThumbnailFailed) and _is_untouched(result):
        return False
    if outcome is RowOutcome.APPLIED:
        return isinstance(result, ThumbnailFailed)
    return outcome not in (RowOutcome.OTHER_COMPANY, RowOutcome.REFUSED)


def _is_untouched(result: ThumbnailFailed) -> bool:
    code = result.error.code
    return code == ErrorCode.TENANT_UNKNOWN or (code == ErrorCode.TENANT_INACTIVE and result.attempts == 1)


def cleanup_request(
    topic: str, result: Result, outcome: RowOutcome, result_headers: Headers, now: datetime
) -> OutboundRecord:
    """Return the record for `topic`, in the trace of the result's own record."""
    request = ThumbnailCleanup(
        event_id=derived_event_id(result.upload_event_id, f"cleanup:{outcome}"),
        upload_event_id=result.upload_event_id,
        occurred_at=result.occurred_at,
        produced_at=now,
        company_id=result.company_id,
        media=result.media,
        version=upload_version(result.occurred_at, result.upload_event_id),
        reason=_reason(result, outcome),
    )
    context = context_headers(
        event_type=THUMBNAIL_CLEANUP_TYPE,
        event_id=request.event_id,
        occurred_at=request.produced_at,
        subject=result.media.record_key,
    )
    headers = context + tuple((name, value) for name, value in result_headers if name in _PASSED_ON)
    return OutboundRecord(topic, result.media.record_key.encode(), write_event(request), headers)


def _reason(result: Result, outcome: RowOutcome) -> CleanupReason:
    if outcome is RowOutcome.ROW_GONE:
        return CleanupReason.ROW_GONE
    if outcome is RowOutcome.STALE:
        return CleanupReason.STALE
    return CleanupReason.GIVEN_UP if isinstance(result, ThumbnailFailed) else CleanupReason.SUPERSEDED
