"""A mark says what became of one dead letter or one waiting retry, and who decided so: a record of thumbnail.dlq.replays."""

import json
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from schemas import headers as h
from streams.kafka.records import InboundRecord, OutboundRecord

MAX_EARLIER: Final = 10
"""Decisions of people that a mark keeps of those before it."""


class MarkState(StrEnum):
    """The outcome of a dead letter. `SENDING` is only written for brokers without transactions: perhaps it was sent.

    A person has seen what is acknowledged, and may still replay it. A discarded one is given up: only a replay that names it sends it.
    A waiting retry that is cancelled is not tried again when it is due.
    Version 0.1 does not know these three, and takes such a dead letter for one that waits.
    """

    SENDING = "sending"
    REPLAYED = "replayed"
    PARKED = "parked"
    ACKNOWLEDGED = "acknowledged"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Mark:
    """The outcome of one dead letter, its time, and its target topic; "" for none.

    `by` and `note` say who decided so, and why; both are "" for a replay. `earlier` are the decisions before, the oldest first.
    """

    state: MarkState
    at: datetime
    to: str
    by: str = ""
    note: str = ""
    earlier: tuple["Mark", ...] = ()

    def decisions(self) -> tuple["Mark", ...]:
        """Return what people decided up to this mark, for the mark that takes its place: at most MAX_EARLIER, the newest last."""
        own = (replace(self, earlier=()),) if self.by else ()
        return (*self.earlier, *own)[-MAX_EARLIER:]


def ledger_key(record: InboundRecord) -> str:
    """Return TOPIC/PARTITION/OFFSET of a record: the key of its mark."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def mark_record(topic: str, dead_letter: InboundRecord, mark: Mark) -> OutboundRecord:
    """Return the record that keeps `mark` in the ledger's `topic`."""
    value = _facts(mark) | {"letter_timestamp_ms": dead_letter.timestamp_ms}
    if mark.earlier:
        value["earlier"] = [_facts(one) for one in mark.earlier]
    return OutboundRecord(topic, ledger_key(dead_letter).encode(), json.dumps(value).encode(), ())


def waits(state: MarkState | None) -> bool:
    """Return whether a record with this state waits for somebody: neither surely sent, nor acknowledged, nor given up."""
    return state in (None, MarkState.SENDING)


def born_mark(dead_letter: InboundRecord) -> Mark | None:
    """Return the mark that a dead letter brings with it in its headers: somebody cancelled it while it waited for a retry."""
    at = h.parse_time(h.get_header(dead_letter.headers, h.CANCELLED_AT))
    if at is None:
        return None
    by, note = (_line(dead_letter, name) for name in (h.CANCELLED_BY, h.CANCELLED_NOTE))
    return Mark(MarkState.DISCARDED, at, "", by or "unknown", note)


def _line(record: InboundRecord, name: str) -> str:
    return h.header_text(h.get_header(record.headers, name) or "").decode()


def read_place(key: bytes | None) -> tuple[str, int, int] | None:
    """Return topic, partition and offset of the record that a mark's key names; None where it is no such key."""
    found = (key or b"").decode("utf-8", "replace").rsplit("/", 2)
    if len(found) != 3 or not all(text.isascii() and text.isdigit() and len(text) < 20 for text in found[1:]):
        return None
    return found[0], int(found[1]), int(found[2])


def _facts(mark: Mark) -> dict[str, Any]:
    facts = {"state": mark.state, "at": h.format_time(mark.at), "to": mark.to}
    return facts | ({"by": mark.by, "note": mark.note} if mark.by else {})


def read_mark(value: bytes | None) -> tuple[int, Mark] | None:
    """Return the timestamp of the record that a mark is about, in Unix milliseconds, and the mark; None where it is none."""
    try:
        data = json.loads(value or b"null")
        mark = _read_facts(data)
        if mark is None:
            return None
        return int(data["letter_timestamp_ms"]), replace(mark, earlier=_read_earlier(data.get("earlier")))
    except (AttributeError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _read_earlier(found: object) -> tuple[Mark, ...]:
    """Return the decisions that can be read: an odd one must not hide that its dead letter was replayed."""
    marks = []
    for one in found if isinstance(found, list) else ():
        with suppress(AttributeError, ValueError, TypeError, KeyError, OverflowError):
            marks.append(_read_facts(one))
    return tuple(mark for mark in marks if mark is not None)


def _read_facts(data: dict[str, Any]) -> Mark | None:
    at = h.parse_time(data["at"])
    if at is None:
        return None
    # A discard of 100,000 dead letters has one name and one note, which are kept once.
    to, by, note = (sys.intern(str(text)) for text in (data["to"], data.get("by", ""), data.get("note", "")))
    return Mark(MarkState(data["state"]), at, to, by, note)
