"""Remembers what became of each dead letter, in a compacted topic: thumbnail.dlq.replays.

Why one mark a dead letter, and not one position a partition: a replay has filters, so that what it has done is no prefix of
the topic; a position would have to be kept for each filter, and would be wrong as soon as another filter overlaps. With a
mark a dead letter, every later replay, with whatever filter, knows what is done, `list` shows it, and a killed replay needs no
name to go on. A mark costs about 150 bytes; `dlq purge` removes the marks of the dead letters that it deletes.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from schemas import headers as h
from streams.kafka.records import InboundRecord, OutboundRecord


class MarkState(StrEnum):
    """What became of a dead letter. `SENDING` is only written where the broker has no transactions: perhaps it was sent."""

    SENDING = "sending"
    REPLAYED = "replayed"
    PARKED = "parked"


@dataclass(frozen=True)
class Mark:
    """What became of one dead letter, when, and to which topic it went."""

    state: MarkState
    at: datetime
    to: str


def ledger_key(record: InboundRecord) -> str:
    """Return TOPIC/PARTITION/OFFSET of a dead letter: the key of its mark."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def mark_record(topic: str, dead_letter: InboundRecord, mark: Mark) -> OutboundRecord:
    """Return the record that keeps `mark` in the ledger's `topic`."""
    value = {
        "state": mark.state,
        "at": h.format_time(mark.at),
        "to": mark.to,
        "letter_timestamp_ms": dead_letter.timestamp_ms,
    }
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
        return mark is not None and mark.state is not MarkState.SENDING

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
        """Partition and offset of every place of a dead letter topic whose dead letter was surely replayed or parked."""
        return [
            (partition, offset)
            for partition, offset, name in self.places(topic)
            if self._marks[name][1].state is not MarkState.SENDING
        ]


def _read_mark(value: bytes | None) -> tuple[int, Mark] | None:
    try:
        data = json.loads(value or b"null")
        at = h.parse_time(data["at"])
        if at is None:
            return None
        return int(data["letter_timestamp_ms"]), Mark(MarkState(data["state"]), at, str(data["to"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
