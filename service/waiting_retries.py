"""The records that wait in the retry topics of this installation, for people: listing and cancelling them."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

from service.kafka.clients import consumers_of, producer_config
from service.settings import Settings
from service.status.topic_states import retry_group
from streams.dlq.retries import RetryFilter, RetryWatch, WaitingRetry
from streams.dlq.sender import SenderOptions, open_sender
from streams.failures.marks import Mark, MarkState
from streams.kafka.ports import TopicPartition
from streams.kafka.records import InboundRecord
from streams.kafka.topic_reader import TopicReader

MAX_LISTED: Final = 1_000_000
BATCH: Final = 1000
SOON: Final = timedelta(seconds=2)
"""The retry role may have looked for cancellations of what is due so soon already."""
_LAST: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Cancellation:
    """Who cancels, and why."""

    by: str
    note: str


@dataclass
class CancelReport:
    """The effect of a cancellation; in a dry run, the effect that it would have.

    `cancelled_before` were cancelled already. `cleanups` and deletions cannot be cancelled, and are left out. `not_waiting` are
    positions that were named and do not wait any more. `too_late` were handed back to work while they were marked;
    `perhaps_too_late` are due now, and may have been.
    """

    cancelled: list[WaitingRetry] = field(default_factory=list)
    cancelled_before: int = 0
    cleanups: list[WaitingRetry] = field(default_factory=list)
    not_waiting: list[str] = field(default_factory=list)
    too_late: list[WaitingRetry] = field(default_factory=list)
    perhaps_too_late: list[WaitingRetry] = field(default_factory=list)
    is_interrupted: bool = False


class RetryBox:
    """The records that wait in the retry topics. Use it in a `with`; every method may raise TopicReadError."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._topics: Final = settings.kafka.topics
        # A consumer of the retry role's group that does not join it: it asks how far the role has come.
        make_consumer = consumers_of(settings.kafka, retry_group(settings))
        self._make_consumer: Final = make_consumer
        self._watch: Final = RetryWatch(make_consumer, self._topics, MAX_LISTED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.close()

    def waiting(self, wanted: RetryFilter) -> list[WaitingRetry]:
        """Return what waits and is wanted, that which is due first at the beginning."""
        found = [one for one in self._watch.poll() if wanted.matches(one)]
        return sorted(found, key=lambda one: (one.due_at or _LAST, one.tier, one.partition, one.offset))

    def cancel(
        self, wanted: RetryFilter, limit: int | None, cancellation: Cancellation, stop: threading.Event
    ) -> CancelReport:
        """Mark what waits and is wanted as cancelled. Raises ReplayError; what was marked before stays so."""
        options = SenderOptions(
            producer_config(self._settings.kafka), f"{self._topics.prefix}thumbnails-dlq-replay", self._topics.replays
        )
        sender, _ = open_sender(options, self._ledger_records)
        report = self.plan(wanted, limit)
        chosen, report.cancelled = report.cancelled, []
        mark = Mark(MarkState.CANCELLED, datetime.now(UTC), "", cancellation.by, cancellation.note)
        for batch in _batches(chosen):
            if stop.is_set():
                report.is_interrupted = True
                break
            sender.mark([(one.record, mark) for one in batch])
            report.cancelled += batch
        self._find_late_ones(report)
        return report

    def plan(self, wanted: RetryFilter, limit: int | None) -> CancelReport:
        """Return what a cancellation would do."""
        report, left = CancelReport(), set(wanted.positions)
        for one in self.waiting(wanted):
            left.discard(one.position)
            if one.cancelled is not None:
                report.cancelled_before += 1
            elif one.is_tombstone or one.origin == self._topics.cleanup:
                report.cleanups.append(one)
            elif limit is None or len(report.cancelled) < limit:
                report.cancelled.append(one)
        report.not_waiting = sorted(left)
        return report

    def _find_late_ones(self, report: CancelReport) -> None:
        """Take what the retry role has handed on by now out of what is cancelled: it may not have seen the mark."""
        if not report.cancelled:
            return
        self._watch.poll()
        committed: Callable[[TopicPartition], int] = lambda place: self._watch.committed.get(place, 0)  # noqa: E731
        soon = datetime.now(UTC) + SOON
        for one in report.cancelled:
            if one.offset < committed((one.topic, one.partition)):
                report.too_late.append(one)
            elif one.due_at is None or one.due_at <= soon:
                report.perhaps_too_late.append(one)
        late = {one.position for one in report.too_late}
        report.cancelled = [one for one in report.cancelled if one.position not in late]

    def _ledger_records(self) -> Iterator[InboundRecord]:
        with TopicReader(self._make_consumer, self._topics.replays) as reader:
            yield from reader.read(reader.extents())


def _batches(chosen: Sequence[WaitingRetry]) -> Iterator[Sequence[WaitingRetry]]:
    for start in range(0, len(chosen), BATCH):
        yield chosen[start : start + BATCH]
