"""The change that a batch makes to a row, and the columns of a result."""

from dataclasses import dataclass

from schemas.events import ThumbnailFailed, ThumbnailReady
from streams.rows.last_write_wins import APPLIED_OUTCOMES, FAILED, READY, Result, RowOutcome, RowState


@dataclass(slots=True)
class RowChange:
    """The change that a batch makes to one row: the newest result, the newest pictures, which an earlier one may bring, and its memory.

    `last` is None where another failure of the row's upload adds to the memory alone.
    """

    last: Result | None = None
    ready: ThumbnailReady | None = None
    given_up: tuple[str, ...] = ()
    external_id: str | None = None
    """The last that an upload gave; None leaves the row's: a backfill does not know it."""

    def add(self, result: Result, outcome: RowOutcome, after: RowState) -> None:
        """Add a result that has changed the row's state."""
        self.given_up = after.given_up
        if outcome in APPLIED_OUTCOMES:
            self.last = result
            self.external_id = result.media.external_id or self.external_id
            self.ready = result if isinstance(result, ThumbnailReady) else self.ready


def status_of(result: Result) -> str:
    """thumbnail_status."""
    return READY if isinstance(result, ThumbnailReady) else FAILED


def error_text(result: Result) -> str | None:
    """thumbnail_error."""
    return f"{result.error.code}: {result.error.message}" if isinstance(result, ThumbnailFailed) else None


def details_of(result: ThumbnailReady) -> dict[str, str | None]:
    """thumbnail_details: what thumbnail.state says of the pictures, and no other column has."""
    return {
        "upload_event_id": result.upload_event_id,
        "degraded_reason": result.degraded_reason or ("" if result.degraded else None),
        "storage_fallback": result.storage.fallback,
    }
