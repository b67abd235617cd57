"""Define the error classes and codes. The class decides what happens next; the code is a metric label, a log field and a header."""

from enum import StrEnum
from typing import Final


class ErrorCode(StrEnum):
    """Stable codes to route on; a code never changes its meaning."""

    EVENT_MALFORMED = "event.malformed"
    EVENT_UNSUPPORTED_VERSION = "event.unsupported_version"
    EVENT_TOO_LARGE = "event.too_large"
    EVENT_IN_FUTURE = "event.in_future"
    TENANT_UNKNOWN = "tenant.unknown"
    TENANT_INACTIVE = "tenant.inactive"
    TENANT_NOT_OWNER = "tenant.not_owner"
    TENANT_LIMITED = "tenant.limited"
    SOURCE_MISSING = "source.missing"
    SOURCE_UNREADABLE = "source.unreadable"
    SOURCE_TOO_LARGE = "source.too_large"
    MEDIA_UNSUPPORTED = "media.unsupported"
    MEDIA_CORRUPT = "media.corrupt"
    MEDIA_NO_PICTURE = "media.no_picture"
    MEDIA_TOO_MANY_PIXELS = "media.too_many_pixels"
    MEDIA_TOO_MANY_FRAMES = "media.too_many_frames"
    MEDIA_TIMEOUT = "media.timeout"
    MEDIA_CRASHED_DECODER = "media.crashed_decoder"
    STORAGE_UNAVAILABLE = "storage.unavailable"
    STORAGE_RATE_LIMITED = "storage.rate_limited"
    STORAGE_LOCKED = "storage.locked"
    STORAGE_PAUSED = "storage.paused"
    STORAGE_DENIED = "storage.denied"
    STORAGE_FULL = "storage.full"
    STORAGE_BAD_KEY = "storage.bad_key"
    UPLOAD_UNVERIFIED = "upload.unverified"
    UPLOAD_CANCELLED = "upload.cancelled"
    DATABASE_UNAVAILABLE = "database.unavailable"
    RESULT_REFUSED = "result.refused"
    NOTIFICATION_MALFORMED = "notification.malformed"
    NOTIFICATION_NO_ROW = "notification.no_row"
    INTERNAL_ERROR = "internal.error"


class Stage(StrEnum):
    """The stage at which an event failed."""

    EVENT = "event"
    TENANT = "tenant"
    READ = "read"
    DECODE = "decode"
    UPLOAD = "upload"
    PERSIST = "persist"
    CLEANUP = "cleanup"


class ThumbnailError(Exception):
    """Base of every expected failure. Raise one of the two subclasses, never this one.

    `message` is one plain sentence without secrets: it goes to logs, headers and the database row.
    """

    retryable: bool = False

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class TransientError(ThumbnailError):
    """The same event may succeed later. It is retried until its attempts or its time budget are used up.

    `retry_after_s`, in seconds, is what the other side asked for. The retry policy waits at least that long.
    """

    retryable = True

    def __init__(self, code: ErrorCode, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(code, message)
        self.retry_after_s = retry_after_s


class PermanentError(ThumbnailError):
    """A retry cannot help: the event becomes a dead letter at once, and a person reads its next action."""


class ObjectNotFoundError(TransientError):
    """No object has this key yet. An upload may finish after its event, so the event is retried first."""

    def __init__(self, key: str) -> None:
        super().__init__(ErrorCode.SOURCE_MISSING, f"No object has the key {key!r}.")
        self.key = key


NEXT_ACTIONS: dict[ErrorCode, str] = {
    ErrorCode.EVENT_MALFORMED: "Fix the producer: the value must match the media.uploaded schema. Then publish the upload again.",
    ErrorCode.EVENT_UNSUPPORTED_VERSION: "Upgrade this service, or have the producer send a supported major version, then replay.",
    ErrorCode.EVENT_TOO_LARGE: "Fix the producer: an event carries a key, never the media itself. Then publish it again.",
    ErrorCode.EVENT_IN_FUTURE: "Correct the producer's clock and publish again. If the worker's clock was wrong, correct it and replay.",
    ErrorCode.TENANT_UNKNOWN: "Check company_id against the companies table; when the company exists, replay.",
    ErrorCode.TENANT_INACTIVE: "Activate the company, then replay; or purge the record when the company has left.",
    ErrorCode.TENANT_NOT_OWNER: "Correct company_id in the producer and publish the upload again: what was made of it is deleted.",
    ErrorCode.TENANT_LIMITED: "Too many uploads of the company failed, and this one was not tried within the time budget:"
    " fix what the others failed with, then replay.",
    ErrorCode.SOURCE_MISSING: "Check that the upload finished and that its key is right, then replay.",
    ErrorCode.SOURCE_UNREADABLE: "Check the object in the tenant's storage: it was there but could not be read. Then replay.",
    ErrorCode.SOURCE_TOO_LARGE: "Raise DECODE_MAX_SOURCE_BYTES if such files are expected, then replay.",
    ErrorCode.MEDIA_UNSUPPORTED: "Ask the uploader for a common format (MP4, MOV, WebM, JPEG, PNG, WebP) and upload again.",
    ErrorCode.MEDIA_CORRUPT: "The file is damaged: ask the uploader to export it again and upload the new file.",
    ErrorCode.MEDIA_NO_PICTURE: "The file has no video or picture stream: ask the uploader for a file that has one.",
    ErrorCode.MEDIA_TOO_MANY_PIXELS: (
        "Ask the uploader for a smaller picture, or raise DECODE_MAX_PIXELS, and DECODE_MEMORY_MB with it, then replay."
    ),
    ErrorCode.MEDIA_TOO_MANY_FRAMES: "Ask the uploader for a video instead, or raise DECODE_MAX_FRAMES, then replay.",
    ErrorCode.MEDIA_TIMEOUT: "Raise DECODE_TIMEOUT_S if such files are expected, or ask for a smaller file, then replay.",
    ErrorCode.MEDIA_CRASHED_DECODER: "Keep the file for a bug report: it kills the decoder. Replay after the decoder's upgrade.",
    ErrorCode.STORAGE_UNAVAILABLE: "Check the tenant's storage connection; when it answers again, replay.",
    ErrorCode.STORAGE_RATE_LIMITED: "The storage limits requests: lower WORKER_CONCURRENCY or raise its quota, then replay.",
    ErrorCode.STORAGE_LOCKED: "The storage keeps the file locked: wait for the other writer to finish, then replay.",
    ErrorCode.STORAGE_PAUSED: "The tenant's storage was down for the whole time budget: bring it back, then replay.",
    ErrorCode.STORAGE_DENIED: "Renew the storage connection's credentials or rights, then replay.",
    ErrorCode.STORAGE_FULL: "Free or add space in the tenant's storage, then replay.",
    ErrorCode.STORAGE_BAD_KEY: "Fix the producer: the key must stay inside the company's storage_path.",
    ErrorCode.UPLOAD_UNVERIFIED: "The storage did not confirm what was written: check it for faults, then replay.",
    ErrorCode.UPLOAD_CANCELLED: "Nothing, if that was meant: somebody gave it up while it waited for a retry. To have it tried after all,"
    " run `thumbnails dlq replay --topic parked` with its position.",
    ErrorCode.DATABASE_UNAVAILABLE: "Bring the database back; when it answers, replay.",
    ErrorCode.RESULT_REFUSED: "The database refuses a result of this service: the message says why. Correct the column or the constraint,"
    " then run `thumbnails dlq replay --topic ready`.",
    ErrorCode.NOTIFICATION_MALFORMED: "Correct what writes to the topic of notifications, or the rules of INGEST_RULES where they make no"
    " ids of the key. Then replay.",
    ErrorCode.NOTIFICATION_NO_ROW: "Write the row that has the object's path, then replay; or let a rule skip such objects, and discard"
    " the record.",
    ErrorCode.INTERNAL_ERROR: "Look up the trace id in the worker's log and report the bug; replay after the fix.",
}
"""What a person should do about each code, in one or two sentences."""

STAND_IN: Final = "Local storage stands in for the company's own"
"""How a source.missing begins whose cause is the company's storage connection; the reason follows in parentheses."""
