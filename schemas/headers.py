"""Read and write Kafka headers. They are UTF-8 text only, so that every Kafka UI can show and filter them."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

CE_SPECVERSION: Final = "ce_specversion"
CE_ID: Final = "ce_id"
CE_SOURCE: Final = "ce_source"
CE_TYPE: Final = "ce_type"
CE_TIME: Final = "ce_time"
CE_SUBJECT: Final = "ce_subject"
CONTENT_TYPE: Final = "content-type"

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
CORRELATION_ID: Final = "correlationid"
CAUSATION_ID: Final = "causationid"
EXTENSIONS: Final = {name: f"ce_{name}" for name in (TRACEPARENT, TRACESTATE, CORRELATION_ID, CAUSATION_ID)}
"""The names of the same as extension attributes, in which CloudEvents' SDKs write and read them on Kafka."""

RETRY_ATTEMPT: Final = "retry-attempt"
RETRY_DUE_AT: Final = "retry-due-at"
RETRY_NOT_BEFORE: Final = "retry-not-before"
RETRY_HOPS: Final = "retry-hops"
FIRST_FAILED_AT: Final = "first-failed-at"
LAST_FAILED_AT: Final = "last-failed-at"

ORIGINAL_TOPIC: Final = "x-original-topic"
ORIGINAL_PARTITION: Final = "x-original-partition"
ORIGINAL_OFFSET: Final = "x-original-offset"
ORIGINAL_TIMESTAMP: Final = "x-original-timestamp"
CONSUMER_GROUP: Final = "x-consumer-group"
ERROR_CODE: Final = "error-code"
ERROR_CLASS: Final = "error-class"
ERROR_MESSAGE: Final = "error-message"
ERROR_STAGE: Final = "error-stage"
RETRYABLE: Final = "retryable"
ATTEMPTS: Final = "attempts"
NEXT_ACTION: Final = "next-action"
OTHER_PICTURES: Final = "other-pictures"
"""Only on thumbnail.ready: the storage also held other pictures of the same upload, to be cleaned up once the row shows some."""
CUT: Final = "x-cut"
"""Only on a dead letter that holds a part of its record: says what is missing and where the whole record is."""

REPLAY_COUNT: Final = "replay-count"
REPLAYED_AT: Final = "replayed-at"
REPLAYED_FROM: Final = "replayed-from"
PARKED_AT: Final = "parked-at"
PARKED_REASON: Final = "parked-reason"
CANCELLED_AT: Final = "cancelled-at"
CANCELLED_BY: Final = "cancelled-by"
CANCELLED_NOTE: Final = "cancelled-note"

WORKING_HEADERS: Final = frozenset(
    {
        *(RETRY_ATTEMPT, RETRY_DUE_AT, RETRY_NOT_BEFORE, RETRY_HOPS, FIRST_FAILED_AT, LAST_FAILED_AT),
        *(ORIGINAL_TOPIC, ORIGINAL_PARTITION, ORIGINAL_OFFSET, ORIGINAL_TIMESTAMP, CONSUMER_GROUP),
        *(ERROR_CODE, ERROR_CLASS, ERROR_MESSAGE, ERROR_STAGE, RETRYABLE, ATTEMPTS, NEXT_ACTION, CUT, OTHER_PICTURES),
        *(REPLAY_COUNT, REPLAYED_AT, REPLAYED_FROM, PARKED_AT, PARKED_REASON),
        *(CANCELLED_AT, CANCELLED_BY, CANCELLED_NOTE),
    }
)
"""Headers that the roles write while they process a record. They are trusted on internal topics and dropped on all others."""

MAX_HEADER_BYTES: Final = 1024
"""The longest header that the roles write. A larger one would make the dead letter unsendable and stop the partition."""

_TIME_CHARS: Final = len("2026-11-23T18:09:00.123")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-")

Headers = tuple[tuple[str, bytes | None], ...]
"""Headers in wire order. In records of other producers names may repeat and values may be null."""


def header_text(value: object) -> bytes:
    """Return `value` as one printable line of at most MAX_HEADER_BYTES bytes of UTF-8, cut between characters."""
    text = str(value)
    if text.isascii() and text.isprintable():  # the fast path: nearly every header, about a dozen a record
        return text[:MAX_HEADER_BYTES].encode()
    line = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    return line.encode("utf-8", "replace")[:MAX_HEADER_BYTES].decode("utf-8", "ignore").encode()


def get_header(headers: Headers, name: str) -> str | None:
    """Return the last value of `name` as text (undecodable bytes replaced), or None when it is absent."""
    for key, value in reversed(headers):
        if key == name:
            return (value or b"").decode("utf-8", "replace")
    return None


def get_count(headers: Headers, name: str) -> int:
    """Return the number in `name`; 0 when the header is absent or is not one to nine digits."""
    text = get_header(headers, name) or "0"
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def trace_id(headers: Headers) -> str | None:
    """Return the trace id of a W3C traceparent, 32 hexadecimal digits; None when it is absent or invalid."""
    text = get_header(headers, TRACEPARENT)
    if text is None:
        text = get_header(headers, EXTENSIONS[TRACEPARENT])
    found = _TRACEPARENT.match(text or "")
    return found[1] if found else None


def with_headers(headers: Headers, changes: Mapping[str, object]) -> Headers:
    """Return `headers` with each name in `changes` exactly once, at the end. The others keep their bytes and order."""
    kept = tuple((key, value) for key, value in headers if key not in changes)
    return kept + tuple((name, header_text(value)) for name, value in changes.items())


_READ_FIRST: Final = {
    name: place for place, name in enumerate((NEXT_ACTION, ERROR_CODE, ERROR_MESSAGE, ERROR_STAGE, ATTEMPTS))
}


def in_reading_order(headers: Headers) -> Headers:
    """Return a dead letter's headers, what a person needs first: Kafka UIs show them as they come, and cut the line."""
    return tuple(
        sorted(headers, key=lambda header: _READ_FIRST.get(header[0], len(_READ_FIRST)))
    )  # the others as they were


def without_headers(headers: Headers, names: Iterable[str]) -> Headers:
    """Return `headers` without `names`.

    A name that goes on after a NUL counts as the part before it: librdkafka, and so the next role, reads no further.
    """
    dropped = frozenset(names)
    return tuple((key, value) for key, value in headers if key.partition("\0")[0] not in dropped)


def from_extensions(headers: Headers) -> Headers:
    """Return `headers` with those of EXTENSIONS that came only as CloudEvents extensions under their own names, too."""
    names = {name for name, _ in headers}
    own_names = {extension: name for name, extension in EXTENSIONS.items() if name not in names}
    return headers + tuple((own_names[name], value) for name, value in headers if name in own_names)


def with_extensions(headers: Headers) -> Headers:
    """Return `headers` and, after them, those of EXTENSIONS once more as CloudEvents extensions."""
    return headers + tuple((EXTENSIONS[name], value) for name, value in headers if name in EXTENSIONS)


def format_time(moment: datetime) -> str:
    """Format a time as RFC 3339 in UTC with milliseconds: 2026-11-23T18:09:00.123Z."""
    moment = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{moment.isoformat(timespec='milliseconds')[:_TIME_CHARS]}Z"


def parse_time(text: str | None) -> datetime | None:
    """Return the UTC time that an RFC 3339 header holds, or None when it is absent or unreadable.

    A time that leaves the years 1 to 9999 when it is converted to UTC is unreadable.
    """
    try:
        moment = datetime.fromisoformat(text) if text else None
        return moment.astimezone(UTC) if moment and moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
