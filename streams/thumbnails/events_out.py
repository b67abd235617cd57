"""The records that announce what became of an upload; each result is linked to its upload and keeps its trace."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from schemas import headers as h
from schemas.cloudevents import context_headers, write_event
from schemas.errors import NEXT_ACTIONS, TransientError
from schemas.events import (
    THUMBNAIL_CLEANUP_TYPE,
    THUMBNAIL_FAILED_TYPE,
    THUMBNAIL_READY_TYPE,
    CleanupReason,
    DeadLetterInfo,
    ErrorInfo,
    MediaUploaded,
    ThumbnailCleanup,
    ThumbnailFailed,
    ThumbnailReady,
    result_event_id,
    upload_version,
)
from schemas.topics import Topics
from streams.failures.dead_letter import Failure
from streams.kafka.records import Delivery, OutboundRecord

MAX_MESSAGE_CHARS: Final = 1024


@dataclass(frozen=True)
class Announcements:
    """Makes the records of one upload's outcome, at the time `now`, for `topics`."""

    topics: Topics
    delivery: Delivery
    upload: MediaUploaded
    now: datetime
    given_up: tuple[str, ...] = ()
    """The versions of the upload that were given up, as far as its row says."""

    @property
    def version(self) -> str:
        """Return the name with which the folder of this attempt's renditions begins: the first that was not given up.

        It is the same for all retries and redeliveries, as long as none of them was given up.
        """
        occurred_at, event_id, start = self.upload.occurred_at, self.upload.event_id, _started_by(self.delivery)
        version, times = upload_version(occurred_at, event_id, self.delivery.replayed_from), 0
        while version in self.given_up:
            times += 1
            version = upload_version(occurred_at, event_id, f"{start} {times}")
        return version

    def ready(self, event: ThumbnailReady, *, is_beside_others: bool) -> OutboundRecord:
        """Announce thumbnails that are stored and confirmed, maybe beside others of the same upload that no row will show."""
        record = self._record(self.topics.ready, THUMBNAIL_READY_TYPE, event)
        facts = {h.OTHER_PICTURES: "true"} if is_beside_others else {}
        return replace(record, headers=h.with_headers(record.headers, facts))

    def failed(self, failure: Failure, dead_letter_topic: str) -> OutboundRecord:
        """Announce that the upload was given up, and is a dead letter in that topic."""
        event = ThumbnailFailed(
            event_id=result_event_id(self.upload, "failed", self.version),
            upload_event_id=self.upload.event_id,
            occurred_at=self.upload.occurred_at,
            produced_at=max(self.now, self.upload.occurred_at),  # see rows.last_write_wins.counted_time
            company_id=self.upload.company_id,
            media=self.upload.media,
            error=ErrorInfo(
                code=failure.error.code,
                message=failure.error.message[:MAX_MESSAGE_CHARS],
                stage=failure.stage,
                retryable=isinstance(failure.error, TransientError),
                next_action=NEXT_ACTIONS[failure.error.code],
            ),
            attempts=failure.attempts,
            first_failed_at=failure.first_failed_at,
            dead_letter=DeadLetterInfo(topic=dead_letter_topic),
            version=self.version,
        )
        return self._record(self.topics.failed, THUMBNAIL_FAILED_TYPE, event)

    def cleanup(self, reason: CleanupReason) -> OutboundRecord:
        """Ask to delete what an earlier attempt of the upload may have stored, and what is older."""
        event = ThumbnailCleanup(
            event_id=result_event_id(self.upload, f"cleanup:dropped:{reason}", self.version),
            upload_event_id=self.upload.event_id,
            occurred_at=self.upload.occurred_at,
            produced_at=self.now,
            company_id=self.upload.company_id,
            media=self.upload.media,
            version=self.version,
            reason=reason,
        )
        return self._record(self.topics.cleanup, THUMBNAIL_CLEANUP_TYPE, event)

    def _record(
        self, topic: str, event_type: str, event: ThumbnailReady | ThumbnailFailed | ThumbnailCleanup
    ) -> OutboundRecord:
        headers = self._headers(event_type, event.event_id)
        return OutboundRecord(topic, self.upload.media.record_key.encode(), write_event(event), headers)

    def _headers(self, event_type: str, event_id: str) -> h.Headers:
        upload = self.upload
        context = context_headers(
            event_type=event_type, event_id=event_id, occurred_at=self.now, subject=upload.media.record_key
        )
        links = {
            h.CORRELATION_ID: self.delivery.correlation_id or upload.event_id,
            h.CAUSATION_ID: upload.event_id,
        }
        return h.with_extensions(h.with_headers(context, links) + self.delivery.trace)


def _started_by(delivery: Delivery) -> str:
    """Return the position of the record that began the attempts: of the dead letter that was replayed, else of the upload."""
    origin, record = delivery.origin, delivery.record
    if origin.topic is not None:
        first = f"{origin.topic}/{origin.partition}/{origin.offset}"
    else:
        first = f"{record.topic}/{record.partition}/{record.offset}"
    return delivery.replayed_from or first
