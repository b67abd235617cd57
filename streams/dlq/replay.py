"""Replays dead letters batch by batch: paced, stoppable between batches, and each dead letter once."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from streams.dlq.chosen import Chosen
from streams.dlq.ledger import Ledger, MarkState
from streams.dlq.plan import Refusal, ReplayRules
from streams.dlq.read import DeadLetter
from streams.dlq.sender import ReplaySender, Step

MAX_BATCH: Final = 200
MAX_BATCH_BYTES: Final = 8 * 1024**2
MAX_EXAMPLES: Final = 20


@dataclass
class ReplayReport:
    """The effect of a replay; in a dry run, the effect that it would have.

    Where the broker is not transactional, a replay that is killed sends its last batch again when it goes on:
    `maybe_twice` names the dead letters of such a batch. `refused` has an example position for each reason.
    `discarded` are left out because somebody discarded them, and nobody named them now. `chosen` are those that it planned to send or park.
    """

    sent: Counter[str] = field(default_factory=Counter)
    parked: int = 0
    done_before: int = 0
    discarded: int = 0
    chosen: Chosen = field(default_factory=Chosen)
    refused: Counter[str] = field(default_factory=Counter)
    refused_examples: dict[str, str] = field(default_factory=dict)
    maybe_twice: list[str] = field(default_factory=list)
    is_interrupted: bool = False
    is_transactional: bool = True

    @property
    def total(self) -> int:
        """Dead letters that were replayed or parked."""
        return self.sent.total() + self.parked


@dataclass(frozen=True)
class ReplayPace:
    """At most `per_s` dead letters a second, and `limit` dead letters in all."""

    per_s: float
    limit: int | None = None

    @property
    def batch(self) -> int:
        """Return how many are sent at once: about a second's worth."""
        return max(1, min(MAX_BATCH, math.ceil(self.per_s)))


class DeadLetterReplay:
    """Plans each dead letter, and sends the planned ones; without a sender it only plans.

    `stop` may be set at any moment, by a signal handler too: the batch in flight is finished, and run() returns.
    """

    def __init__(
        self,
        rules: ReplayRules,
        ledger: Ledger,
        sender: ReplaySender | None,
        pace: ReplayPace,
        *,
        stop: threading.Event,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        on_batch: Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._rules: Final = rules
        self._ledger: Final = ledger
        self._sender: Final = sender
        self._pace: Final = pace
        self._stop: Final = stop
        self._now: Final = now
        self._clock: Final = clock
        self._on_batch: Final = on_batch
        self._free_at = clock()
        self._report = ReplayReport(is_transactional=sender is None or sender.is_transactional)

    def run(self, dead_letters: Iterable[DeadLetter]) -> ReplayReport:
        """Replay `dead_letters`. Raises ReplayError, and what reading the dead letters raises; what was sent is marked."""
        batch: list[Step] = []
        planned = size = 0
        for dead_letter in dead_letters:
            if self._stop.is_set():
                break
            step = self._plan(dead_letter)
            if step is None:
                continue
            batch.append(step)
            planned += 1
            size += len(dead_letter.record.value or b"")
            if len(batch) >= self._pace.batch or size >= MAX_BATCH_BYTES:
                self._send(batch)
                batch, size = [], 0
            if planned == self._pace.limit:
                break
        self._send(batch)
        self._report.is_interrupted = self._stop.is_set()
        return self._report

    def _plan(self, dead_letter: DeadLetter) -> Step | None:
        report, record = self._report, dead_letter.record
        if self._ledger.is_done(record):
            report.done_before += 1
            return None
        mark = self._ledger.of(record)
        if mark is not None and mark.state is MarkState.DISCARDED and dead_letter.position not in self._rules.named:
            report.discarded += 1
            return None
        plan = self._rules.plan(dead_letter, self._now())
        if isinstance(plan, Refusal):
            report.refused[plan.reason] += 1
            report.refused_examples.setdefault(plan.reason, dead_letter.position)
            return None
        if mark is not None and mark.state is MarkState.SENDING:
            report.maybe_twice.append(dead_letter.position)
        report.chosen.add(dead_letter, self._rules.doom_of(dead_letter))
        return record, plan if mark is None else replace(plan, decisions=mark.decisions())

    def _send(self, batch: list[Step]) -> None:
        if not batch:
            return
        if self._sender is not None:
            # Waiting comes before the batch, outside of any transaction: an open one would hold up the readers.
            self._stop.wait(max(0.0, self._free_at - self._clock()))
            if self._stop.is_set():
                return
            self._free_at = max(self._free_at, self._clock()) + len(batch) / self._pace.per_s
            self._sender.send(batch, self._now())
        for _, step in batch:
            if step.is_parked:
                self._report.parked += 1
            else:
                self._report.sent[step.record.topic] += 1
        self._on_batch(len(batch))
