"""The dead letter topics of this installation, opened for people: reading, deciding, replaying, exporting, purging."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from schemas import headers as h
from schemas.topics import THUMBNAIL_DLQ, THUMBNAIL_PARKED, THUMBNAIL_READY_DLQ, Topic
from service.dlq_source import DlqSource as DlqSource  # whoever opens a box takes it from here
from service.kafka.clients import consumers_of, make_producer, producer_config
from service.kafka.topics import delete_records
from service.prospects import Prospects
from service.settings import Settings
from streams.dlq.decide import DeadLetterDecision, Decision, DecisionReport
from streams.dlq.export import Purgeable, export_dead_letters, fingerprints, purgeable
from streams.dlq.ledger import Ledger
from streams.dlq.plan import ReplayRules
from streams.dlq.read import DeadLetter, DeadLetterFilter, read_dead_letter
from streams.dlq.replay import DeadLetterReplay, ReplayPace, ReplayReport
from streams.dlq.sender import ReplaySender, SenderOptions, TracedSender, open_sender
from streams.failures.failure_counts import Owner, owner_of
from streams.failures.refused_results import refusal_code
from streams.kafka.client import send_and_wait
from streams.kafka.reader import Extent
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.kafka.topic_reader import TopicReader
from streams.tracing import NO_TRACING, Tracing

RECENT_DEAD_LETTERS: Final = 500
"""Of each partition."""
REFUSED_WITHIN: Final = timedelta(days=1)
"""So long a restarted persist role remembers what was refused; the first result that is written ends it."""


TOPICS: Final[dict[DlqSource, Topic]] = {
    DlqSource.UPLOADS: THUMBNAIL_DLQ,
    DlqSource.READY: THUMBNAIL_READY_DLQ,
    DlqSource.PARKED: THUMBNAIL_PARKED,
}


class DeadLetterBox:
    """One dead letter topic as it is now. Use it in a `with`; every method may raise TopicReadError.

    `on_read` is called once for each record, for a progress bar.
    """

    def __init__(self, settings: Settings, source: DlqSource) -> None:
        self._settings: Final = settings
        self._source: Final = source
        self._topics: Final = settings.kafka.topics
        # No group is joined and nothing is committed; the client wants a name all the same.
        self._make_consumer: Final = consumers_of(settings.kafka, f"{settings.worker.worker_group}-dlq")
        self._reader: Final = TopicReader(self._make_consumer, self._topics.name_of(TOPICS[source]))
        self._ledger_topic: Final = self._topics.replays

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.__exit__(kind, error, trace)

    @property
    def topic(self) -> str:
        """Return the topic's name in the cluster."""
        return self._reader.topic

    def extents(self) -> dict[int, Extent]:
        """Return what each partition holds."""
        return self._reader.extents()

    def dead_letters(
        self,
        wanted: DeadLetterFilter,
        extents: dict[int, Extent],
        on_read: Callable[[], object] = lambda: None,
    ) -> Iterator[DeadLetter]:
        """Return the wanted dead letters within `extents`, in order within each partition."""
        for record in self._reader.read(wanted.within(extents)):
            on_read()
            dead_letter = read_dead_letter(record)
            if wanted.matches(dead_letter):
                yield dead_letter

    def one(self, partition: int, offset: int) -> DeadLetter | None:
        """Return the dead letter at a position, or None when there is none."""
        extent = self.extents().get(partition)
        if extent is None or not extent.low <= offset < extent.high:
            return None
        found = self._reader.read({partition: Extent(offset, offset + 1)})
        return next((read_dead_letter(record) for record in found), None)

    def ledger(self) -> Ledger:
        """Return what became of the dead letters so far."""
        return Ledger.read(self._ledger_records())

    def replay(
        self,
        dead_letters: Iterator[DeadLetter],
        pace: ReplayPace,
        *,
        dry_run: bool,
        stop: threading.Event,
        tracing: Tracing = NO_TRACING,
        on_batch: Callable[[int], None] = lambda _count: None,
        named: frozenset[str] = frozenset(),
        prospects: Prospects | None = None,
    ) -> ReplayReport:
        """Replay `dead_letters`, or only say what would be done. Raises ReplayError.

        Discarded ones are left out, but for those whose PARTITION:OFFSET is in `named`. With `prospects` the report says
        which cannot succeed as things are.
        """
        sender, ledger = self._sender(dry_run=dry_run)
        if sender is not None:
            sender = TracedSender(sender, tracing)
        most = self._settings.dead_letters.dlq_max_replays
        rules = ReplayRules(TOPICS[self._source], self._topics, most, named)
        if prospects is not None:
            dead_letters, rules = prospects.ahead_of(dead_letters), replace(rules, doom_of=prospects.reason)
        return DeadLetterReplay(rules, ledger, sender, pace, stop=stop, on_batch=on_batch).run(dead_letters)

    def decide(
        self, dead_letters: Iterator[DeadLetter], decision: Decision, *, dry_run: bool, stop: threading.Event
    ) -> DecisionReport:
        """Acknowledge or discard `dead_letters`, or only say what would be done. Raises ReplayError."""
        sender, ledger = self._sender(dry_run=dry_run)
        return DeadLetterDecision(decision, ledger, sender, stop).run(dead_letters)

    def export(self, path: Path, dead_letters: Iterator[DeadLetter]) -> int:
        """Write `dead_letters` to a file. Raises ExportFileError."""
        return export_dead_letters(path, dead_letters)

    def purgeable(self, path: Path, on_read: Callable[[], object] = lambda: None) -> dict[int, Purgeable]:
        """Return how far each partition is covered by an exported file. Raises ExportFileError."""
        exported, extents = fingerprints(path), self.extents()

        def records() -> Iterator[InboundRecord]:
            for record in self._reader.read(extents):
                on_read()
                yield record

        return purgeable(extents, records(), exported)

    def purge(self, until: dict[int, int]) -> None:
        """Delete the dead letters before each partition's offset, then their marks. Raises KafkaUnreachableError.

        A crash in between leaves marks without dead letters, which are harmless; the next purge removes them.
        """
        delete_records(self._settings.kafka, self.topic, until)
        places = self.ledger().places(self.topic)
        gone = [name.encode() for partition, offset, name in places if offset < until.get(partition, 0)]
        producer = make_producer(self._settings.kafka)
        send_and_wait(producer, [OutboundRecord(self._ledger_topic, name, None, ()) for name in gone])

    def _sender(self, *, dry_run: bool) -> tuple[ReplaySender | None, Ledger]:
        """Return the ledger and, unless it is a dry run, who alone may change it; a dry run takes nothing from a replay at work."""
        if dry_run:
            return None, self.ledger()
        options = SenderOptions(
            producer_config(self._settings.kafka), f"{self._topics.prefix}thumbnails-dlq-replay", self._ledger_topic
        )
        return open_sender(options, self._ledger_records)

    def _ledger_records(self) -> Iterator[InboundRecord]:
        with TopicReader(self._make_consumer, self._ledger_topic) as reader:
            yield from reader.read(reader.extents())


def recent_owners(settings: Settings, within_s: float) -> Counter[Owner]:
    """Return how many dead letters the worker's topic got within the last `within_s` seconds, by owner, of about the last thousand.

    Raises TopicReadError.
    """
    since = datetime.now(UTC) - timedelta(seconds=within_s)
    with DeadLetterBox(settings, DlqSource.UPLOADS) as box:
        tail = {number: extent.newest(RECENT_DEAD_LETTERS) for number, extent in box.extents().items()}
        dead_letters = box.dead_letters(DeadLetterFilter(since=since), tail)
        return Counter(owner_of(dead_letter.company_id, dead_letter.code) for dead_letter in dead_letters)


def recent_refusals(settings: Settings) -> dict[str, set[str]]:
    """Return the media of results that the database refused within a day, by its code, and that nobody replayed.

    Looks at about the last thousand dead letters. Raises TopicReadError.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    since = datetime.now(UTC) - REFUSED_WITHIN
    with DeadLetterBox(settings, DlqSource.READY) as box:
        tail = {number: extent.newest(RECENT_DEAD_LETTERS) for number, extent in box.extents().items()}
        ledger = box.ledger()
        for dead_letter in box.dead_letters(DeadLetterFilter(since=since), tail):
            code = refusal_code(dead_letter.header(h.ERROR_MESSAGE))
            if code is not None and dead_letter.media is not None and not ledger.is_done(dead_letter.record):
                found[code].add(dead_letter.media)
    return dict(found)
