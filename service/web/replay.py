"""Replays the dead letter of one upload, by the same code as `thumbnails dlq replay`, and says how it went."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from schemas.cloudevents import read_event
from schemas.errors import PermanentError
from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
from service.dead_letters import DeadLetterBox, DlqSource
from service.kafka.connection import KafkaUnreachableError
from service.settings import Settings
from service.web.tiles import Tile
from streams.dlq.read import DeadLetter, DeadLetterFilter
from streams.dlq.replay import ReplayPace, ReplayReport
from streams.dlq.sender import ReplayError
from streams.kafka.reader import TopicReadError

log = structlog.get_logger(__name__)


class ReplayOutcome(StrEnum):
    """How a replay went."""

    REPLAYED = "replayed"
    PARKED = "parked"
    DONE_BEFORE = "done_before"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    FAILED = "failed"


@dataclass(frozen=True)
class ReplayResult:
    """The outcome, and a sentence for whoever asked."""

    outcome: ReplayOutcome
    sentence: str


class TileReplay:
    """Blocks while it works, so call it in a thread. One replay at a time: a second one would fence the first."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._lock: Final = threading.Lock()

    def replay(self, tile: Tile) -> ReplayResult:
        """Replay the newest waiting dead letter of the tile's upload. Raises nothing that is expected."""
        with self._lock:
            try:
                result = self._replay(tile)
            except (ReplayError, TopicReadError, KafkaUnreachableError) as exc:
                result = ReplayResult(ReplayOutcome.FAILED, str(exc))
        log.info("dead_letter_replayed", company_id=tile.company_id, media=tile.record_key, outcome=result.outcome)
        return result

    def _replay(self, tile: Tile) -> ReplayResult:
        wanted = DeadLetterFilter(companies=(tile.company_id,), media=(tile.record_key,))
        with DeadLetterBox(self._settings, DlqSource.UPLOADS) as box:
            dead_letters = [
                dead_letter
                for dead_letter in box.dead_letters(wanted, box.extents())
                if _upload_of(dead_letter) == tile.upload_event_id
            ]
            if not dead_letters:
                return ReplayResult(
                    ReplayOutcome.NOT_FOUND, f"{box.topic} has no dead letter of this upload (any more)."
                )
            newest_first: Iterator[DeadLetter] = iter(sorted(dead_letters, key=_written, reverse=True))
            pace = ReplayPace(per_s=1.0, limit=1)
            return _result(box.replay(newest_first, pace, dry_run=False, stop=threading.Event()))


def _result(report: ReplayReport) -> ReplayResult:
    if report.sent:
        return ReplayResult(
            ReplayOutcome.REPLAYED, f"Replayed to {next(iter(report.sent))}: its result comes here when it is made."
        )
    if report.parked:
        return ReplayResult(
            ReplayOutcome.PARKED,
            "Parked: it failed again after DLQ_MAX_REPLAYS replays. See `thumbnails dlq list --topic parked`.",
        )
    if report.refused:
        return ReplayResult(ReplayOutcome.REFUSED, next(iter(report.refused)))
    if report.discarded:
        return ReplayResult(
            ReplayOutcome.REFUSED,
            "It was discarded: `thumbnails dlq list` shows by whom and where; `thumbnails dlq replay PARTITION:OFFSET` replays it.",
        )
    return ReplayResult(ReplayOutcome.DONE_BEFORE, "It was replayed before; its result comes here when it is made.")


def _upload_of(dead_letter: DeadLetter) -> str | None:
    """Return the id of the upload in a dead letter; None for what is not an upload."""
    try:
        record = dead_letter.record
        return read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, record.value, record.headers).event_id
    except PermanentError:
        return None


def _written(dead_letter: DeadLetter) -> tuple[int, int]:
    return dead_letter.record.timestamp_ms, dead_letter.record.offset
