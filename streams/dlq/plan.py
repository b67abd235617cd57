"""The plan of a replay for one dead letter: pure, so that every rule can be tested without a broker."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas import headers as h
from schemas.errors import ErrorCode
from schemas.headers import Headers
from schemas.topics import (
    MEDIA_NOTIFICATIONS,
    MEDIA_UPLOADED,
    THUMBNAIL_CLEANUP,
    THUMBNAIL_DELETED,
    THUMBNAIL_DLQ,
    THUMBNAIL_DUE,
    THUMBNAIL_FAILED,
    THUMBNAIL_PARKED,
    THUMBNAIL_READY,
    THUMBNAIL_READY_DLQ,
    Topic,
    Topics,
)
from streams.dlq.read import DeadLetter
from streams.failures.marks import Mark
from streams.kafka.records import OutboundRecord

_OF_THE_WORKER: Final = {
    # Not back to media.uploaded: it is the upstream's topic, and others who read it have dealt with the upload already.
    MEDIA_UPLOADED: THUMBNAIL_DUE,
    THUMBNAIL_DUE: THUMBNAIL_DUE,
    THUMBNAIL_CLEANUP: THUMBNAIL_CLEANUP,
}
_OF_INGEST: Final = {MEDIA_NOTIFICATIONS: MEDIA_NOTIFICATIONS}
"""It is a server's topic, but whoever reads notifications has to bear repeats anyway."""
_OF_PERSIST: Final = {topic: topic for topic in (THUMBNAIL_READY, THUMBNAIL_FAILED, THUMBNAIL_DELETED)}
ALLOWED: Final[dict[Topic, dict[Topic, Topic]]] = {
    THUMBNAIL_DLQ: _OF_THE_WORKER | _OF_INGEST,
    THUMBNAIL_READY_DLQ: _OF_PERSIST,
    THUMBNAIL_PARKED: _OF_THE_WORKER | _OF_INGEST | _OF_PERSIST,
}
"""For each dead letter topic: where its records may have come from, and where each of those goes back to."""

_DROPPED: Final = (
    h.RETRY_ATTEMPT,
    h.RETRY_DUE_AT,
    h.RETRY_NOT_BEFORE,
    h.RETRY_HOPS,
    h.ERROR_CODE,
    h.ERROR_CLASS,
    h.ERROR_MESSAGE,
    h.ERROR_STAGE,
    h.RETRYABLE,
    h.ATTEMPTS,
    h.LAST_FAILED_AT,
    h.NEXT_ACTION,
    h.PARKED_AT,
    h.PARKED_REASON,
    h.CANCELLED_AT,
    h.CANCELLED_BY,
    h.CANCELLED_NOTE,
)
"""Headers about the failure. A replay removes them: attempts start again, and another failure writes its own. Origin and trace stay."""


_SAME_FILE: Final = (
    "it reads the same file again. It helps where that file was replaced in the storage, or a newer version reads more."
)
HOPELESS: Final[dict[ErrorCode, str]] = {
    ErrorCode.EVENT_MALFORMED: "it reads the same bytes again. It helps only where a newer version of this service reads them.",
    ErrorCode.EVENT_TOO_LARGE: "it reads the same bytes again, and they are as many.",
    ErrorCode.MEDIA_UNSUPPORTED: _SAME_FILE,
    ErrorCode.MEDIA_CORRUPT: _SAME_FILE,
    ErrorCode.MEDIA_NO_PICTURE: _SAME_FILE,
    ErrorCode.STORAGE_BAD_KEY: "its key stays outside of the company's storage_path. It helps only where storage_path was changed.",
}
"""Codes that the same record ends with again, unless something rare happened: why, as the end of «A replay fails again: …»."""


@dataclass(frozen=True)
class Send:
    """Send `record`; it `is_parked` when it goes to the parked dead letters instead of back to work.

    `decisions` are what people decided about it before; its new mark keeps them.
    """

    record: OutboundRecord
    is_parked: bool
    decisions: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Leave the dead letter where it is; `reason` is a sentence that says what to do."""

    reason: str


@dataclass(frozen=True)
class ReplayRules:
    """From which dead letter topic, under which names, and how often a record may come back before it is parked.

    `named` are the positions that a person named: only those are replayed although they were discarded.
    """

    source: Topic
    topics: Topics
    max_replays: int
    named: frozenset[str] = frozenset()
    doom_of: Callable[[DeadLetter], str | None] = lambda _dead_letter: None
    """Why a dead letter cannot succeed as things are: said of it, and no reason to leave it out."""

    def plan(self, dead_letter: DeadLetter, now: datetime) -> Send | Refusal:
        """Return what becomes of `dead_letter`. Key and value stay byte for byte, as do headers of others."""
        record = dead_letter.record
        origin = dead_letter.header(h.ORIGINAL_TOPIC)
        name_of = self.topics.name_of
        targets = {name_of(old): name_of(new) for old, new in ALLOWED[self.source].items()}
        if origin is None:
            return Refusal(f"It does not say where it came from ({h.ORIGINAL_TOPIC}): publish it again at its source.")
        if origin not in targets:
            return Refusal(f"It came from {origin[:100]}, and is replayed only if from {', '.join(sorted(targets))}.")
        if dead_letter.header(h.CUT) is not None:
            return Refusal(
                f"It holds only the beginning of its record ({h.CUT} says where the rest is): publish it again."
            )
        if dead_letter.code == ErrorCode.TENANT_NOT_OWNER:
            return Refusal("Its pictures are deleted: publish the upload again, with the company that owns its row.")
        is_parked_already = self.source is THUMBNAIL_PARKED
        if dead_letter.replays >= self.max_replays and not is_parked_already:
            reason = f"It failed again after {dead_letter.replays} replays (DLQ_MAX_REPLAYS)."
            parked = h.with_headers(record.headers, {h.PARKED_AT: h.format_time(now), h.PARKED_REASON: reason})
            return Send(OutboundRecord(self.topics.parked, record.key, record.value, parked), True)
        # Somebody looked at a parked dead letter and sent it on: it gets all its replays again.
        count = 1 if is_parked_already else dead_letter.replays + 1
        headers = self._replay_headers(dead_letter, count, now)
        return Send(OutboundRecord(targets[origin], record.key, record.value, headers), False)

    def _replay_headers(self, dead_letter: DeadLetter, count: int, now: datetime) -> Headers:
        facts = {
            h.REPLAY_COUNT: count,
            h.REPLAYED_AT: h.format_time(now),
            h.REPLAYED_FROM: f"{dead_letter.record.topic}/{dead_letter.record.partition}/{dead_letter.record.offset}",
        }
        return h.with_headers(h.without_headers(dead_letter.record.headers, _DROPPED), facts)
