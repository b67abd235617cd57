"""Reads dead letters leniently, chooses among them, and groups them by error code, also those that no schema reads."""

import json
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from schemas import headers as h
from schemas.cloudevents import MAX_EVENT_BYTES
from schemas.errors import NEXT_ACTIONS, ErrorCode
from streams.dlq.ledger import Ledger
from streams.failures.marks import Mark, MarkState, born_mark, waits
from streams.kafka.reader import Extent
from streams.kafka.records import InboundRecord

UNKNOWN: Final = "unknown"
"""The code and stage of a record without the pipeline's headers: another program wrote it."""
MAX_TEXT: Final = 200


@dataclass(frozen=True)
class DeadLetter:
    """A record of a dead letter topic; `company_id` and `media` from its value, or its key, where they can be read."""

    record: InboundRecord
    company_id: int | None
    media: str | None

    @property
    def position(self) -> str:
        """PARTITION:OFFSET, as the command line takes it."""
        return f"{self.record.partition}:{self.record.offset}"

    @property
    def code(self) -> str:
        """Return the stable error code."""
        return self.header(h.ERROR_CODE) or UNKNOWN

    @property
    def stage(self) -> str:
        """Return how far the event had come."""
        return self.header(h.ERROR_STAGE) or UNKNOWN

    @property
    def failed_at(self) -> datetime:
        """When it failed for the last time; the record's own time where it does not say."""
        return h.parse_time(self.header(h.LAST_FAILED_AT)) or self.record.timestamp

    @property
    def replays(self) -> int:
        """Return how often it was replayed before."""
        return h.get_count(self.record.headers, h.REPLAY_COUNT)

    def header(self, name: str) -> str | None:
        """Return a header as one printable line, or None."""
        text = h.get_header(self.record.headers, name)
        return None if text is None else h.header_text(text).decode()


def read_dead_letter(record: InboundRecord) -> DeadLetter:
    """Read the dead letter in a record. Never fails: what cannot be read is None."""
    data = _data(record.value)
    company_id = data.get("company_id")
    is_number = isinstance(company_id, int) and not isinstance(company_id, bool)
    return DeadLetter(record, company_id if is_number else None, _media(data.get("media")) or _key(record.key))


@dataclass(frozen=True)
class DeadLetterFilter:
    """Everything that is given must hold; what is empty or None holds for every dead letter.

    A code ends in * to mean all that begin so: storage.*. `since` is included, `until` is not; both are compared with
    the time of the last failure. `sources` are the producers' names, by the header ce_source.
    """

    codes: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    companies: tuple[int, ...] = ()
    media: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    positions: frozenset[str] = frozenset()

    def matches(self, dead_letter: DeadLetter) -> bool:
        """Return whether the filter matches this dead letter."""
        return (
            (not self.codes or any(is_code(dead_letter.code, code) for code in self.codes))
            and (not self.stages or dead_letter.stage in self.stages)
            and (not self.companies or dead_letter.company_id in self.companies)
            and (not self.media or dead_letter.media in self.media)
            and (not self.sources or dead_letter.header(h.CE_SOURCE) in self.sources)
            and (self.since is None or dead_letter.failed_at >= self.since)
            and (self.until is None or dead_letter.failed_at < self.until)
            and (not self.positions or dead_letter.position in self.positions)
        )

    def within(self, extents: Mapping[int, Extent]) -> dict[int, Extent]:
        """Return the part of `extents` that has to be read: all of it, unless positions are named."""
        if not self.positions:
            return dict(extents)
        offsets: dict[int, list[int]] = {}
        for position in self.positions:
            number, _, offset = position.partition(":")
            offsets.setdefault(int(number), []).append(int(offset))
        found = {}
        for partition, named in offsets.items():
            extent = extents.get(partition)
            if extent is not None:
                low, high = max(extent.low, min(named)), min(extent.high, max(named) + 1)
                found[partition] = Extent(low, max(low, high))
        return found


def is_code(code: str, wanted: str) -> bool:
    """Return whether `code` is the wanted one, or begins as one that ends in * does."""
    return code.startswith(wanted[:-1]) if wanted.endswith("*") else code == wanted


@dataclass(frozen=True, slots=True)
class Known:
    """The facts kept about one dead letter: times in Unix seconds and milliseconds.

    `state` is that of its mark, None without any; `born` is the state that holds until it has a mark: see born_mark.
    """

    timestamp_ms: int
    failed_s: float
    code: str
    company_id: int | None
    media: str | None
    message: str
    state: MarkState | None = None
    born: MarkState | None = None


def known(dead_letter: DeadLetter, mark: Mark | None) -> Known:
    """Return what is kept of a dead letter, which has this mark. Texts that repeat are kept once."""
    born = born_mark(dead_letter.record)
    message = (dead_letter.header(h.ERROR_MESSAGE) or "")[:MAX_TEXT]
    return Known(
        timestamp_ms=dead_letter.record.timestamp_ms,
        failed_s=dead_letter.failed_at.timestamp(),
        code=sys.intern(dead_letter.code),
        company_id=dead_letter.company_id,
        media=dead_letter.media,
        message=sys.intern(message),
        state=None if mark is None else mark.state,
        born=None if born is None else born.state,
    )


@dataclass
class ErrorGroup:
    """All dead letters with one code; `waiting` of them were neither replayed, parked, acknowledged nor discarded.

    `example` is the place of the newest that waits, or else of the newest. `companies` counts those that wait, by whose they are;
    None where no company can be read. `failed_s` are the times of all, in Unix seconds and in no order.
    """

    code: str
    first_at: datetime
    last_at: datetime
    example: str
    example_message: str
    count: int = 0
    waiting: int = 0
    companies: Counter[int | None] = field(default_factory=Counter)
    acknowledged: int = 0
    discarded: int = 0
    example_company_id: int | None = None
    example_media: str | None = None
    failed_s: "array[float]" = field(default_factory=lambda: array("d"), repr=False)
    _example_rank: tuple[bool, float] = field(default=(False, 0.0), repr=False, compare=False)

    @property
    def next_action(self) -> str:
        """Return what a person should do now."""
        try:
            return NEXT_ACTIONS[ErrorCode(self.code)]
        except ValueError:
            return f"No such error is known here: look at it with `thumbnails dlq show {self.example}`."

    def add(self, position: str, one: Known) -> None:
        """Count the dead letter at PARTITION:OFFSET."""
        is_waiting = waits(one.state)
        self.count += 1
        self.waiting += is_waiting
        self.acknowledged += one.state is MarkState.ACKNOWLEDGED
        self.discarded += one.state is MarkState.DISCARDED
        self.failed_s.append(one.failed_s)
        if is_waiting:
            self.companies[one.company_id] += 1
        rank = (is_waiting, one.failed_s)
        if not self.example or rank >= self._example_rank:
            self._example_rank, self.example, self.example_message = rank, position, one.message
            self.example_company_id, self.example_media = one.company_id, one.media


def grouped(found: Iterable[tuple[str, Known]]) -> list[ErrorGroup]:
    """Return the groups of dead letters by code, the largest first; each comes with its PARTITION:OFFSET."""
    groups: dict[str, ErrorGroup] = {}
    for position, one in found:
        group = groups.get(one.code)
        if group is None:
            at = datetime.fromtimestamp(one.failed_s, UTC)
            group = groups[one.code] = ErrorGroup(one.code, at, at, "", "")
        group.add(position, one)
    for group in groups.values():
        group.first_at = datetime.fromtimestamp(min(group.failed_s), UTC)
        group.last_at = datetime.fromtimestamp(max(group.failed_s), UTC)
    return sorted(groups.values(), key=lambda group: (-group.count, group.code))


def group_by_code(dead_letters: Iterable[DeadLetter], ledger: Ledger) -> list[ErrorGroup]:
    """Return the groups, largest first; `ledger` says what became of each dead letter."""
    return grouped((one.position, known(one, ledger.of(one.record))) for one in dead_letters)


def _data(value: bytes | None) -> dict[str, Any]:
    if value is None or len(value) > MAX_EVENT_BYTES:
        return {}
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    if isinstance(found, dict) and isinstance(found.get("data"), dict):
        found = found["data"]  # the structured mode of CloudEvents
    return found if isinstance(found, dict) else {}


def _media(media: object) -> str | None:
    if not isinstance(media, dict):
        return None
    is_video = media.get("kind") == "video"
    number = media.get("id" if is_video else "ar_content_id")
    return f"{'video' if is_video else 'ar_content'}:{number}" if isinstance(number, int) else None


def _key(key: bytes | None) -> str | None:
    return None if key is None else h.header_text(key.decode("utf-8", "replace")).decode()[:MAX_TEXT]
