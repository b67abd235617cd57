"""Remembers what became of each dead letter, and who decided it, in a compacted topic: thumbnail.dlq.replays.

Why one mark a dead letter, and not one position a partition: a replay has filters, so that what it has done is no prefix of
the topic; a position would have to be kept for each filter, and would be wrong as soon as another filter overlaps. With a
mark a dead letter, every later replay, with whatever filter, knows what is done, `list` shows it, and a killed replay needs no
name to go on. A mark costs about 150 bytes; `dlq purge` removes the marks of the dead letters that it deletes.

A mark is the audit record, too: what a person decided has a name, a time and a note, and the next mark of the same dead letter keeps it.
"""

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from schemas import headers as h
from streams.kafka.records import InboundRecord, OutboundRecord

MAX_EARLIER: Final = 10
"""Decisions of people that a mark keeps of those before it."""


class MarkState(StrEnum):
    """What became of a dead letter. `SENDING` is only written where the broker has no transactions: perhaps it was sent.

    A person has seen what is acknowledged, and may still replay it. What is discarded is given up: only who names it replays it.
    Version 0.1 does not know these two, and takes such a dead letter for one that waits.
    """

    SENDING = "sending"
    REPLAYED = "replayed"
    PARKED = "parked"
    ACKNOWLEDGED = "acknowledged"
    DISCARDED = "discarded"


@dataclass(frozen=True)
class Mark:
    """What became of one dead letter, when, and to which topic it went; "" where it went nowhere.

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
    """Return TOPIC/PARTITION/OFFSET of a dead letter: the key of its mark."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def mark_record(topic: str, dead_letter: InboundRecord, mark: Mark) -> OutboundRecord:
    """Return the record that keeps `mark` in the ledger's `topic`."""
    value = _facts(mark) | {"letter_timestamp_ms": dead_letter.timestamp_ms}
    if mark.earlier:
        value["earlier"] = [_facts(one) for one in mark.earlier]
    return OutboundRecord(topic, ledger_key(dead_letter).encode(), json.dumps(value).encode(), ())


@dataclass
class Ledger:
    """The marks by their dead letters' places. A mark holds only for the dead letter that has its timestamp.

    A dead letter topic that was deleted and created again starts at offset 0: without the timestamp, its new dead letters
    would pass for those that were replayed before.
    """

    _marks: dict[str, tuple[int, Mark]] = field(default_factory=dict)

    @classmethod
    def read(cls, records: Iterable[InboundRecord]) -> "Ledger":
        """Return what the topic's records say; later ones win, a null value removes a mark, what is no mark is ignored."""
        ledger = cls()
        for record in records:
            place = (record.key or b"").decode("utf-8", "replace")
            mark = _read_mark(record.value)
            if mark is None:
                ledger._marks.pop(place, None)
            else:
                ledger._marks[place] = mark
        return ledger

    def of(self, dead_letter: InboundRecord) -> Mark | None:
        """Return the dead letter's mark, if it has one."""
        timestamp_ms, mark = self._marks.get(ledger_key(dead_letter), (None, None))
        return mark if timestamp_ms == dead_letter.timestamp_ms else None

    def is_done(self, dead_letter: InboundRecord) -> bool:
        """Return whether the dead letter was surely replayed or parked."""
        mark = self.of(dead_letter)
        return mark is not None and mark.state in (MarkState.REPLAYED, MarkState.PARKED)

    def needs_attention(self, dead_letter: InboundRecord) -> bool:
        """Return whether the dead letter waits for somebody: neither surely sent, nor acknowledged, nor discarded."""
        mark = self.of(dead_letter)
        return mark is None or mark.state is MarkState.SENDING

    def places(self, topic: str) -> list[tuple[int, int, str]]:
        """Partition, offset and name of every marked place of a dead letter topic."""
        found = []
        for name in self._marks:
            marked_topic, _, numbers = name.partition("/")
            partition, _, offset = numbers.partition("/")
            if marked_topic == topic and partition.isdigit() and offset.isdigit():
                found.append((int(partition), int(offset), name))
        return found

    def settled(self, topic: str) -> list[tuple[int, int]]:
        """Partition and offset of every place of a dead letter topic whose dead letter waits for nobody any more."""
        return [
            (partition, offset)
            for partition, offset, name in self.places(topic)
            if self._marks[name][1].state is not MarkState.SENDING
        ]


def _facts(mark: Mark) -> dict[str, Any]:
    facts = {"state": mark.state, "at": h.format_time(mark.at), "to": mark.to}
    return facts | ({"by": mark.by, "note": mark.note} if mark.by else {})


def _read_mark(value: bytes | None) -> tuple[int, Mark] | None:
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
