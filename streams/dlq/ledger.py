"""Remembers what became of each dead letter, and who decided it, in a compacted topic: thumbnail.dlq.replays.

Why one mark a dead letter, and not one position a partition: a replay has filters, so that what it has done is no prefix of
the topic; a position would have to be kept for each filter, and would be wrong as soon as another filter overlaps. With a
mark a dead letter, every later replay, with whatever filter, knows what is done, `list` shows it, and a killed replay needs no
name to go on. A mark costs about 150 bytes; `dlq purge` removes the marks of the dead letters that it deletes.

A mark is the audit record, too: what a person decided has a name, a time and a note, and the next mark of the same dead letter keeps it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from streams.failures.marks import Mark as Mark  # whoever reads the ledger takes these from here
from streams.failures.marks import MarkState as MarkState
from streams.failures.marks import born_mark, ledger_key, read_mark, waits
from streams.failures.marks import mark_record as mark_record
from streams.kafka.records import InboundRecord


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
            mark = read_mark(record.value)
            if mark is None:
                ledger._marks.pop(place, None)
            else:
                ledger._marks[place] = mark
        return ledger

    def of(self, dead_letter: InboundRecord) -> Mark | None:
        """Return the dead letter's mark, if it has one; that of a cancelled retry is in its headers until there is another."""
        timestamp_ms, mark = self._marks.get(ledger_key(dead_letter), (None, None))
        return mark if timestamp_ms == dead_letter.timestamp_ms else born_mark(dead_letter)

    def is_done(self, dead_letter: InboundRecord) -> bool:
        """Return whether the dead letter was surely replayed or parked."""
        mark = self.of(dead_letter)
        return mark is not None and mark.state in (MarkState.REPLAYED, MarkState.PARKED)

    def needs_attention(self, dead_letter: InboundRecord) -> bool:
        """Return whether the dead letter waits for somebody: neither surely sent, nor acknowledged, nor discarded."""
        mark = self.of(dead_letter)
        return waits(None if mark is None else mark.state)

    def places(self, topic: str) -> list[tuple[int, int, str]]:
        """Partition, offset and name of every marked place of a dead letter topic."""
        found = []
        for name in self._marks:
            marked_topic, _, numbers = name.partition("/")
            partition, _, offset = numbers.partition("/")
            if marked_topic == topic and partition.isdigit() and offset.isdigit():
                found.append((int(partition), int(offset), name))
        return found
