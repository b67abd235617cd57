"""The events of one notification, or the reason why it has none."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from schemas.errors import ErrorCode, PermanentError
from schemas.topics import Topics
from streams.ingest.events import event_record
from streams.ingest.notifications import ChangeKind, ObjectChange, PassedOver, read_notification
from streams.ingest.rules import IngestRules, Match, Target, UnplacedError, is_ours
from streams.kafka.records import Delivery, OutboundRecord
from streams.rows.by_path import PathRow

_SHOWN_KEY: Final = 200
RowsOf = Mapping[str, Collection[PathRow]]


class ChangeOutcome(StrEnum):
    """The outcome of a change of an object: a label of a metric. A dead letter is counted by its code instead."""

    UPLOADED = "uploaded"
    DELETED = "deleted"
    UNMATCHED = "unmatched"
    SKIPPED = "skipped"
    NO_ROW = "no_row"


@dataclass(frozen=True)
class Unplaced:
    """A change whose row is looked for."""

    change: ObjectChange
    match: Match


@dataclass
class Reading:
    """A record, with what its changes led to so far. `waiting` want a row, until `wait_until_s` of the role's clock."""

    delivery: Delivery
    wait_until_s: float
    outcomes: list[ChangeOutcome] = field(default_factory=list)
    unmatched: list[ObjectChange] = field(default_factory=list)
    media: list[str] = field(default_factory=list)
    """The keys of its events."""
    waiting: list[Unplaced] = field(default_factory=list)
    error: PermanentError | None = None
    """Why the record becomes a dead letter: the first reason. What else it holds is sent all the same."""
    _unsent: list[OutboundRecord] = field(default_factory=list)

    def add(self, record: OutboundRecord, outcome: ChangeOutcome) -> None:
        """Add an event that is to be sent."""
        self.media.append((record.key or b"").decode())
        self.outcomes.append(outcome)
        self._unsent.append(record)

    def take(self) -> list[OutboundRecord]:
        """Return the events that no earlier call returned."""
        taken, self._unsent = self._unsent, []
        return taken


class Placer:
    """Applies the rules. Knows no Kafka and no database."""

    def __init__(self, rules: IngestRules, topics: Topics) -> None:
        self._rules: Final = rules
        self._topics: Final = topics

    def read(self, delivery: Delivery, wait_until_s: float) -> Reading:
        """Return what the record says; changes that need a row are waiting."""
        reading = Reading(delivery, wait_until_s)
        try:
            changes = read_notification(delivery.record.value)
        except PermanentError as error:
            reading.error = error
            return reading
        for change in changes:
            self._sort(reading, change)
        return reading

    def _sort(self, reading: Reading, change: ObjectChange | PassedOver) -> None:
        if isinstance(change, PassedOver) or is_ours(change.key):
            reading.outcomes.append(ChangeOutcome.SKIPPED)
            return
        match = self._rules.find(change.bucket, change.key)
        if match is None:
            reading.outcomes.append(ChangeOutcome.UNMATCHED)
            reading.unmatched.append(change)
        elif match.rule.skip or (change.kind is ChangeKind.REMOVED and not match.rule.deletions):
            reading.outcomes.append(ChangeOutcome.SKIPPED)
        elif match.rule.lookup:
            reading.waiting.append(Unplaced(change, match))
        else:
            try:
                self._add(reading, change, match, match.target())
            except UnplacedError as exc:
                _refuse(reading, PermanentError(ErrorCode.NOTIFICATION_MALFORMED, str(exc)))

    def place(self, reading: Reading, rows: RowsOf) -> None:
        """Make the events of waiting changes that have a row by now; a removed object without one shows nothing."""
        waiting, reading.waiting = reading.waiting, []
        for unplaced in waiting:
            try:
                targets = targets_in(unplaced.match, rows.get(unplaced.match.key, ()))
            except UnplacedError as exc:
                _refuse(reading, PermanentError(ErrorCode.NOTIFICATION_MALFORMED, str(exc)))
                continue
            for target in targets:
                self._add(reading, unplaced.change, unplaced.match, target)
            if not targets and unplaced.change.kind is ChangeKind.REMOVED:
                reading.outcomes.append(ChangeOutcome.NO_ROW)
            elif not targets:
                reading.waiting.append(unplaced)

    def give_up(self, reading: Reading) -> None:
        """Wait no longer: a created object without a row makes the record a dead letter."""
        for unplaced in reading.waiting:
            shown = unplaced.match.key[:_SHOWN_KEY]
            number = unplaced.match.number
            message = f"No row of the company has the path {shown!r}, which rule {number} looks up."
            _refuse(reading, PermanentError(ErrorCode.NOTIFICATION_NO_ROW, message))
        reading.waiting = []

    def _add(self, reading: Reading, change: ObjectChange, match: Match, target: Target) -> None:
        try:
            record = event_record(self._topics.uploads, change, match.key, target, reading.delivery)
        except PermanentError as error:
            _refuse(reading, error)
            return
        reading.add(record, ChangeOutcome.DELETED if change.kind is ChangeKind.REMOVED else ChangeOutcome.UPLOADED)


def paths_wanted(readings: Iterable[Reading]) -> set[str]:
    """Return the paths whose rows are looked for."""
    return {unplaced.match.key for reading in readings for unplaced in reading.waiting}


def targets_in(match: Match, rows: Collection[PathRow]) -> list[Target]:
    """Return the media of the rows that have the path, as far as the rule is for them. Raises UnplacedError."""
    company_id, kind = match.company_id, match.rule.kind
    return [
        Target(row.company_id, row.kind, row.id, row.ar_content_id)
        for row in rows
        if company_id in (None, row.company_id) and kind in (None, row.kind)
    ]


def _refuse(reading: Reading, error: PermanentError) -> None:
    reading.error = reading.error or error
