"""Declare which role sends and receives what on which topic, and the records that are not events."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from schemas import events, media_state, rejected, topics
from schemas.contracts import examples
from schemas.contracts import headers as of
from schemas.contracts.headers import Header, headers_schema
from schemas.topics import Topic

MEDIA_KEY_PATTERN: Final = "^(video|ar_content):[1-9][0-9]*$"


@dataclass(frozen=True)
class Carrier:
    """A record that carries another one's bytes, or none: `payload` is its JSON Schema."""

    name: str
    summary: str
    payload: dict[str, Any]
    example: Any
    required: tuple[Header, ...]
    optional: tuple[Header, ...] = ()
    key: dict[str, Any] | None = None

    @property
    def headers(self) -> dict[str, Any]:
        """Return the JSON Schema of its headers; those of the original record stand beside them."""
        return headers_schema(self.required, self.optional)


_ANY: Final[dict[str, Any]] = {"description": "The original bytes: an event, or whatever could not be read as one."}
_ORIGINAL: Final = examples.MEDIA_UPLOADED[0]
_MARK: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What became of one dead letter or one waiting retry. A null value takes the mark away.",
    "properties": {
        "state": {
            "type": "string",
            "enum": ["sending", "replayed", "parked", "acknowledged", "discarded", "cancelled"],
        },
        "at": {"type": "string", "format": "date-time"},
        "to": {"type": "string", "description": "The topic that it went to; empty where it went nowhere."},
        "letter_timestamp_ms": {"type": "integer"},
        "by": {"type": "string", "description": "Who acknowledged, discarded or cancelled it."},
        "note": {"type": "string", "description": "Why."},
        "earlier": {
            "type": "array",
            "items": {"type": "object"},
            "description": "What people decided before, the oldest first: state, at, to, by and note of each.",
        },
    },
    "required": ["state", "at", "to", "letter_timestamp_ms"],
}

TOMBSTONE: Final = Carrier(
    "MediaDeleted",
    "No bytes, or JSON's null: the media of the key was deleted. Better is the event MediaDeletion, which has a time and a company.",
    {"type": "null"},
    None,
    (),
    of.TRACE,
)
STATE_TOMBSTONE: Final = Carrier(
    "StateDeleted",
    "No bytes: the media is gone, or was deleted upstream. What was announced of it is no longer true.",
    {"type": "null"},
    None,
    (),
    of.TRACE,
)
RETRY: Final = Carrier(
    "WaitingRecord",
    "A record that failed and waits for its next attempt: key and value as they came.",
    _ANY,
    _ORIGINAL,
    of.ORIGIN + of.ERROR + of.ATTEMPT + of.DUE_AT,
    of.NOT_BEFORE + of.HOPS + of.REPLAY + of.CANCELLED,
)
DUE: Final = Carrier(
    "DueRecord",
    "A record whose wait is over, or that was replayed: key and value as they came.",
    _ANY,
    _ORIGINAL,
    of.ORIGIN,
    of.ERROR + of.ATTEMPT + of.HOPS + of.REPLAY + of.CANCELLED,
)
DEAD_LETTER: Final = Carrier(
    "DeadLetter",
    "A record that was given up: key and value as they came, and headers that explain it.",
    _ANY,
    _ORIGINAL,
    of.ORIGIN + of.ERROR + of.DEAD_LETTER,
    of.CUT + of.REPLAY,
)
PARKED: Final = Carrier(
    "ParkedLetter",
    "A dead letter that failed again after every replay, or a waiting retry that somebody cancelled.",
    _ANY,
    _ORIGINAL,
    of.ORIGIN + of.ERROR + of.DEAD_LETTER + of.PARKED,
    of.REPLAY + of.CANCELLED,
)
MARK: Final = Carrier(
    "ReplayMark",
    "What became of one dead letter or one waiting retry, so that it is replayed once, and who decided so.",
    _MARK,
    examples.REPLAY_MARK,
    (),
    key={"type": "string", "pattern": r"^[^/]+/\d+/\d+$", "examples": ["thumbnail.dlq/0/17"]},
)
WAITING_CLEANUP: Final = Carrier(
    "WaitingCleanup",
    "A cleanup that is not due yet: a ThumbnailCleanup, and when it is due.",
    {"$ref": "#/components/schemas/ThumbnailCleanup"},
    examples.THUMBNAIL_CLEANUP[0],
    of.CONTEXT + of.DUE_AT,
    of.LINKS + of.TRACE,
)
CARRIERS: Final = (TOMBSTONE, STATE_TOMBSTONE, RETRY, DUE, DEAD_LETTER, PARKED, MARK, WAITING_CLEANUP)

Action = Literal["send", "receive"]


@dataclass(frozen=True)
class Operation:
    """The use of one topic by one role; `messages` by name."""

    name: str
    role: str
    action: Action
    topic: Topic
    messages: tuple[str, ...]
    summary: str


_UPLOADS: Final = (events.MediaUploaded.__name__, media_state.MediaDeletion.__name__, TOMBSTONE.name)
_STATE: Final = (media_state.ThumbnailState.__name__, STATE_TOMBSTONE.name)
_DELETED: Final = (media_state.ThumbnailDeleted.__name__,)
_READY: Final = (events.ThumbnailReady.__name__,)
_FAILED: Final = (events.ThumbnailFailed.__name__, rejected.MediaRejected.__name__)
_CLEANUP: Final = (events.ThumbnailCleanup.__name__,)

OPERATIONS: Final = (
    Operation(
        "receiveUploads", "worker", "receive", topics.MEDIA_UPLOADED, _UPLOADS, "Make thumbnails of each upload."
    ),
    Operation("receiveDue", "worker", "receive", topics.THUMBNAIL_DUE, (DUE.name,), "Try again what failed before."),
    Operation("receiveCleanup", "worker", "receive", topics.THUMBNAIL_CLEANUP, _CLEANUP, "Delete what no row shows."),
    Operation(
        "sendCleanupOfDropped", "worker", "send", topics.THUMBNAIL_CLEANUP, _CLEANUP, "Delete what a drop leaves."
    ),
    Operation(
        "sendWaitingCleanupOfDropped",
        "worker",
        "send",
        topics.THUMBNAIL_CLEANUP_WAITING,
        (WAITING_CLEANUP.name,),
        "Delete what a drop leaves, after a while.",
    ),
    Operation(
        "sendDeleted",
        "worker",
        "send",
        topics.THUMBNAIL_DELETED,
        _DELETED,
        "Say that the row of a deleted media shows nothing.",
    ),
    Operation("sendReady", "worker", "send", topics.THUMBNAIL_READY, _READY, "Announce stored thumbnails."),
    Operation(
        "sendFailed", "worker", "send", topics.THUMBNAIL_FAILED, _FAILED, "Announce what was given up or rejected."
    ),
    Operation(
        "sendDeadLetters", "worker", "send", topics.THUMBNAIL_DLQ, (DEAD_LETTER.name,), "Keep what was given up."
    ),
    Operation("sendCancelled", "worker", "send", topics.THUMBNAIL_PARKED, (PARKED.name,), "Keep what was cancelled."),
    *(
        Operation(f"sendRetry{tier}", "worker", "send", topic, (RETRY.name,), "Wait for the next attempt.")
        for tier, topic in enumerate(topics.THUMBNAIL_RETRIES, start=1)
    ),
    *(
        Operation(f"receiveRetry{tier}", "retry", "receive", topic, (RETRY.name,), "Wait until each record is due.")
        for tier, topic in enumerate(topics.THUMBNAIL_RETRIES, start=1)
    ),
    Operation(
        "receiveWaitingCleanup",
        "retry",
        "receive",
        topics.THUMBNAIL_CLEANUP_WAITING,
        (WAITING_CLEANUP.name,),
        "Wait until each cleanup is due.",
    ),
    Operation(
        "sendDueCleanup", "retry", "send", topics.THUMBNAIL_CLEANUP, _CLEANUP, "Send on each cleanup that is due."
    ),
    Operation("receiveMarks", "retry", "receive", topics.THUMBNAIL_REPLAYS, (MARK.name,), "See what was cancelled."),
    Operation("sendDue", "retry", "send", topics.THUMBNAIL_DUE, (DUE.name,), "Send back to work what is due."),
    Operation("receiveReady", "persist", "receive", topics.THUMBNAIL_READY, _READY, "Write the URLs to the row."),
    Operation("receiveFailed", "persist", "receive", topics.THUMBNAIL_FAILED, _FAILED, "Write the error to the row."),
    Operation(
        "receiveDeleted",
        "persist",
        "receive",
        topics.THUMBNAIL_DELETED,
        _DELETED,
        "Delete the state, then the pictures.",
    ),
    Operation("sendState", "persist", "send", topics.THUMBNAIL_STATE, _STATE, "Say what the row says now."),
    Operation("sendCleanup", "persist", "send", topics.THUMBNAIL_CLEANUP, _CLEANUP, "Have deleted what no row shows."),
    Operation(
        "sendWaitingCleanup",
        "persist",
        "send",
        topics.THUMBNAIL_CLEANUP_WAITING,
        (WAITING_CLEANUP.name,),
        "Have deleted, after a while, what no row shows.",
    ),
    Operation(
        "sendUnwritable",
        "persist",
        "send",
        topics.THUMBNAIL_READY_DLQ,
        (DEAD_LETTER.name,),
        "Keep the results that could not be written.",
    ),
    Operation("sendParked", "dlq", "send", topics.THUMBNAIL_PARKED, (PARKED.name,), "Park what fails for ever."),
    Operation(
        "sendMarks",
        "dlq",
        "send",
        topics.THUMBNAIL_REPLAYS,
        (MARK.name,),
        "Remember what was replayed, acknowledged, discarded or cancelled.",
    ),
)
"""By role: worker, persist and retry are processes, dlq is the command `thumbnails dlq`."""
