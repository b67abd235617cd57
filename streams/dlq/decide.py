"""Acknowledges or discards dead letters batch by batch, so that those which nobody has looked at stand out."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from streams.dlq.chosen import Chosen
from streams.dlq.ledger import Ledger, Mark, MarkState
from streams.dlq.read import DeadLetter
from streams.kafka.records import InboundRecord

BATCH: Final = 1000
"""Marks at once: some 300 kB."""


class MarkSender(Protocol):
    """Writes marks; those of a mark() that returned are in the ledger."""

    def mark(self, marks: Sequence[tuple[InboundRecord, Mark]]) -> None:
        """Write the marks of a batch. Raises ReplayError."""


@dataclass(frozen=True)
class Decision:
    """Acknowledge or discard, who says so, and why; `positions` are PARTITION:OFFSET of the dead letters that were named.

    A dead letter that was discarded is acknowledged, which makes it replayable again, only if it is named.
    """

    state: MarkState
    by: str
    note: str
    positions: frozenset[str] = frozenset()
    limit: int | None = None


@dataclass
class DecisionReport:
    """The effect of a decision; in a dry run, the effect that it would have.

    `decided_before` had the same state already; `left_discarded` stay discarded, since no acknowledgement named them.
    `replayed_before` were replayed or parked. `half_sent` are positions that a replay may or may not have sent.
    `not_found` were named, and are not there.
    """

    chosen: Chosen = field(default_factory=Chosen)
    decided_before: int = 0
    left_discarded: int = 0
    replayed_before: int = 0
    half_sent: list[str] = field(default_factory=list)
    not_found: list[str] = field(default_factory=list)
    is_interrupted: bool = False


class DeadLetterDecision:
    """Marks the dead letters that a decision changes; without a sender it only counts them.

    `stop` may be set at any moment, by a signal handler too: the batch in flight is finished, and run() returns. A run that ends
    early in any way is finished by the same command: what is marked already is left as it is, with the first name and note.
    """

    def __init__(
        self,
        decision: Decision,
        ledger: Ledger,
        sender: MarkSender | None,
        stop: threading.Event,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._decision: Final = decision
        self._ledger: Final = ledger
        self._sender: Final = sender
        self._stop: Final = stop
        self._now: Final = now
        self._report: Final = DecisionReport()

    def run(self, dead_letters: Iterable[DeadLetter]) -> DecisionReport:
        """Decide about `dead_letters`. Raises ReplayError, and what reading them raises; what was sent is marked."""
        report, named, limit = self._report, set(self._decision.positions), self._decision.limit
        batch: list[DeadLetter] = []
        planned = 0
        for dead_letter in dead_letters:
            if self._stop.is_set():
                break
            named.discard(dead_letter.position)
            if not self._changes(dead_letter):
                continue
            batch.append(dead_letter)
            planned += 1
            if len(batch) == BATCH:
                self._send(batch)
                batch = []
            if planned == limit:
                break
        self._send(batch)
        report.is_interrupted = self._stop.is_set()
        if not report.is_interrupted and planned != limit:
            report.not_found = sorted(named)
        return report

    def _changes(self, dead_letter: DeadLetter) -> bool:
        report, mark = self._report, self._ledger.of(dead_letter.record)
        if mark is None:
            return True
        if mark.state is MarkState.SENDING:
            report.half_sent.append(dead_letter.position)
        elif mark.state in (MarkState.REPLAYED, MarkState.PARKED):
            report.replayed_before += 1
        elif mark.state is self._decision.state:
            report.decided_before += 1
        elif mark.state is MarkState.DISCARDED and not self._decision.positions:
            report.left_discarded += 1
        else:
            return True
        return False

    def _send(self, batch: Sequence[DeadLetter]) -> None:
        if batch and self._sender is not None:
            self._sender.mark([(dead_letter.record, self._mark(dead_letter.record)) for dead_letter in batch])
        for dead_letter in batch:
            self._report.chosen.add(dead_letter)

    def _mark(self, record: InboundRecord) -> Mark:
        before, decision = self._ledger.of(record), self._decision
        earlier = () if before is None else before.decisions()
        return Mark(decision.state, self._now(), "", decision.by, decision.note, earlier)
