"""Declare what each Kafka header means, and which records carry it."""

from dataclasses import dataclass
from typing import Any, Final

from schemas import headers as h
from schemas.contracts.examples import HEADERS

_TIME: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"
_COUNT: Final = r"^\d{1,3}$"
_NUMBER: Final = r"^\d+$"


@dataclass(frozen=True)
class Header:
    """One header: UTF-8 text of at most MAX_HEADER_BYTES bytes; `pattern` where its form is fixed."""

    name: str
    meaning: str
    pattern: str | None = None

    def schema(self, constant: str | None = None) -> dict[str, Any]:
        """Return the JSON Schema of the header; with `constant`, its only value."""
        said: dict[str, Any] = {"type": "string", "description": self.meaning}
        if constant is not None:
            return said | {"const": constant}
        form = {} if self.pattern is None else {"pattern": self.pattern}
        return said | form | {"maxLength": h.MAX_HEADER_BYTES, "examples": [HEADERS[self.name]]}


CONTEXT: Final = (
    Header(h.CE_SPECVERSION, "CloudEvents version."),
    Header(h.CE_ID, "The event's id: as `event_id` in the value."),
    Header(h.CE_SOURCE, "Who made the event."),
    Header(h.CE_TYPE, "The event's type; its last part is the major version.", r"^[a-z][a-z0-9_.]*\.v[0-9]{1,4}$"),
    Header(h.CE_TIME, "When it happened, RFC 3339.", _TIME),
    Header(h.CE_SUBJECT, "The media: the same text as the record's key."),
    Header(h.CONTENT_TYPE, "application/json, or application/cloudevents+json for a structured event."),
)
CORRELATION: Final = (
    Header(h.CORRELATION_ID, "Links everything that came of one upload: the upload's own, else its event_id."),
)
LINKS: Final = (
    *CORRELATION,
    Header(h.CAUSATION_ID, "The event_id of the upload that caused this event."),
)
TRACE: Final = (
    Header(h.TRACEPARENT, "W3C Trace Context, as the upload had it or the next step of its trace."),
    Header(h.TRACESTATE, "W3C Trace Context, passed on from the upload."),
)
_AS_EXTENSION: Final = "The header {} as an extension attribute, in which CloudEvents' SDKs write and read it."
SENT_EXTENSIONS: Final = tuple(
    Header(h.EXTENSIONS[name], _AS_EXTENSION.format(name)) for name in (h.TRACEPARENT, h.TRACESTATE, h.CORRELATION_ID)
)
EXTENSIONS: Final = (*SENT_EXTENSIONS, Header(h.EXTENSIONS[h.CAUSATION_ID], _AS_EXTENSION.format(h.CAUSATION_ID)))
ORIGIN: Final = (
    Header(h.FIRST_FAILED_AT, "When it failed for the first time.", _TIME),
    Header(h.ORIGINAL_TOPIC, "The topic where the record was first read."),
    Header(h.ORIGINAL_PARTITION, "Its partition there.", _NUMBER),
    Header(h.ORIGINAL_OFFSET, "Its offset there.", _NUMBER),
    Header(h.ORIGINAL_TIMESTAMP, "Its timestamp there.", _TIME),
    Header(h.CONSUMER_GROUP, "The consumer group that failed."),
)
ERROR: Final = (
    Header(h.LAST_FAILED_AT, "When it failed for the last time.", _TIME),
    Header(h.ERROR_CODE, "Stable code to route on, see docs/errors.md; new codes may come.", r"^[a-z_]+\.[a-z_]+$"),
    Header(h.ERROR_CLASS, "The class of the error, for developers."),
    Header(h.ERROR_MESSAGE, "What went wrong: one plain sentence without secrets."),
    Header(h.ERROR_STAGE, "How far the event had come; new stages may come.", "^[a-z_]+$"),
    Header(h.RETRYABLE, "Whether the same record may succeed later.", "^(true|false)$"),
)
ATTEMPT: Final = (Header(h.RETRY_ATTEMPT, "Which retry this is, from 1.", _COUNT),)
DUE_AT: Final = (Header(h.RETRY_DUE_AT, "When it leaves the retry topic.", _TIME),)
NOT_BEFORE: Final = (Header(h.RETRY_NOT_BEFORE, "The storage asked not to be tried before.", _TIME),)
HOPS: Final = (Header(h.RETRY_HOPS, "How often it was sent to a retry topic, since its last replay.", _COUNT),)
OTHER_PICTURES: Final = (
    Header(h.OTHER_PICTURES, "The storage also holds other pictures of the same upload; a cleanup follows.", "^true$"),
)
DEAD_LETTER: Final = (
    Header(h.ATTEMPTS, "How often it was tried, since its last replay.", _NUMBER),
    Header(h.NEXT_ACTION, "What a person should do now."),
)
CUT: Final = (
    Header(
        h.CUT, "Only the beginning of the record is here, for it is too large: what is missing, and where the whole is."
    ),
)
REPLAY: Final = (
    Header(h.REPLAY_COUNT, "How often it was replayed.", _COUNT),
    Header(h.REPLAYED_AT, "When it was replayed for the last time.", _TIME),
    Header(h.REPLAYED_FROM, "The dead letter that was replayed: topic/partition/offset.", r"^[^/]+/\d+/\d+$"),
)
PARKED: Final = (
    Header(h.PARKED_AT, "When it was parked.", _TIME),
    Header(h.PARKED_REASON, "Why it is not replayed any more."),
)
CANCELLED: Final = (
    Header(h.CANCELLED_AT, "When somebody cancelled its retry.", _TIME),
    Header(h.CANCELLED_BY, "Who did so."),
    Header(h.CANCELLED_NOTE, "Why, in that person's words."),
)
ALL_HEADERS: Final = (
    *(CONTEXT + LINKS + TRACE + EXTENSIONS + OTHER_PICTURES + ORIGIN + ERROR),
    *(ATTEMPT + DUE_AT + NOT_BEFORE + HOPS + DEAD_LETTER + CUT + REPLAY + PARKED + CANCELLED),
)


def headers_schema(
    required: tuple[Header, ...], optional: tuple[Header, ...], constants: dict[str, str] | None = None
) -> dict[str, Any]:
    """Return the JSON Schema of a record's headers as one object; other headers may stand beside them."""
    fixed = constants or {}
    return {
        "type": "object",
        "properties": {header.name: header.schema(fixed.get(header.name)) for header in required + optional},
        "required": [header.name for header in required],
    }
