"""Reads dead letters leniently, chooses among them, and groups them by error code, also those that no schema reads."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from schemas import headers as h
from schemas.cloudevents import MAX_EVENT_BYTES
from schemas.errors import NEXT_ACTIONS, ErrorCode
from streams.dlq.ledger import Ledger, MarkState
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
            (not self.codes or any(_is_code(dead_letter.code, code) for code in self.codes))
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


def _is_code(code: str, wanted: str) -> bool:
    return code.startswith(wanted[:-1]) if wanted.endswith("*") else code == wanted


@dataclass
class ErrorGroup:
    """All dead letters with one code; `waiting` of them were neither replayed, parked, acknowledged nor discarded.

    `example` is the newest's place. `companies` counts those that wait, by whose they are; None where no company can be read.
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

    @property
    def next_action(self) -> str:
        """Return what a person should do now."""
        try:
            return NEXT_ACTIONS[ErrorCode(self.code)]
        except ValueError:
            return f"No such error is known here: look at it with `thumbnails dlq show {self.example}`."


def group_by_code(dead_letters: Iterable[DeadLetter], ledger: Ledger) -> list[ErrorGroup]:
    """Return the groups, largest first; `ledger` says what became of each dead letter."""
    groups: dict[str, ErrorGroup] = {}
    for dead_letter in dead_letters:
        at = dead_letter.failed_at
        group = groups.get(dead_letter.code)
        if group is None:
            group = groups[dead_letter.code] = ErrorGroup(dead_letter.code, at, at, "", "")
        if at >= group.last_at:
            group.last_at, group.example = at, dead_letter.position
            group.example_message = dead_letter.header(h.ERROR_MESSAGE) or ""
        group.first_at = min(group.first_at, at)
        group.count += 1
        mark = ledger.of(dead_letter.record)
        group.acknowledged += mark is not None and mark.state is MarkState.ACKNOWLEDGED
        group.discarded += mark is not None and mark.state is MarkState.DISCARDED
        if ledger.needs_attention(dead_letter.record):
            group.waiting += 1
            group.companies[dead_letter.company_id] += 1
    return sorted(groups.values(), key=lambda group: (-group.count, group.code))


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
