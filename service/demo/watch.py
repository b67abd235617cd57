"""Follow the demo's uploads through topics and rows, and print each step."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from schemas import headers as h
from schemas.cloudevents import read_event, says_type
from schemas.events import THUMBNAIL_FAILED_TYPE, THUMBNAIL_READY_TYPE, MediaUploaded, ThumbnailFailed, ThumbnailReady
from schemas.headers import Headers
from schemas.topics import THUMBNAIL_DLQ, THUMBNAIL_FAILED, THUMBNAIL_READY
from service.demo.media import DemoFile
from service.kafka.clients import consumers_of
from service.settings import KafkaSettings
from streams.kafka.client import read_records
from streams.rows.queries import table_of

TIMEOUT_S: Final = 120.0


@dataclass
class Journey:
    """One file's way: what its topics and its row have shown so far."""

    file: DemoFile
    company: str
    upload: MediaUploaded
    ready: ThumbnailReady | None = None
    failed: ThumbnailFailed | None = None
    dead_letter: Headers | None = None
    row: dict[str, Any] | None = None
    took_s: float = 0.0

    @property
    def is_over(self) -> bool:
        """Return whether the row shows the outcome, and the dead letter of a failure was seen."""
        return self.row is not None and (self.ready is not None or self.dead_letter is not None)


def watch(
    journeys: list[Journey],
    settings: KafkaSettings,
    engine: sa.Engine,
    *,
    check: Callable[[], None],
    say: Callable[[Journey, str], None],
) -> bool:
    """Follow every journey to its end; False when TIMEOUT_S passed first. `check` may raise, `say` shows each step."""
    consumer = consumers_of(settings, f"demo-watch-{time.time_ns()}")({})
    topics = settings.topics
    consumer.subscribe([topics.ready, topics.failed, topics.dlq, *topics.retries])
    by_key = {journey.upload.media.record_key: journey for journey in journeys}
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while not all(journey.is_over for journey in journeys):
            if time.monotonic() > deadline:
                return False
            check()
            for record in read_records(consumer, 50, 0.2):
                journey = by_key.get((record.key or b"").decode("utf-8", "replace"))
                if journey is not None:
                    topic = record.topic.removeprefix(topics.prefix)
                    _note(journey, topic, record.value, record.headers, say)
            for journey in _rows_that_changed(journeys, engine):
                say(journey, f"row {journey.row['thumbnail_status'] if journey.row else ''}")
        return True
    finally:
        consumer.close()


def _note(
    journey: Journey, topic: str, value: bytes | None, headers: Headers, say: Callable[[Journey, str], None]
) -> None:
    if topic == THUMBNAIL_READY.name:
        journey.ready = read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, value, headers)
    elif topic == THUMBNAIL_FAILED.name and says_type(THUMBNAIL_FAILED_TYPE, value, headers):
        journey.failed = read_event(ThumbnailFailed, THUMBNAIL_FAILED_TYPE, value, headers)
    elif topic == THUMBNAIL_DLQ.name:
        journey.dead_letter = headers
    reason = "" if journey.ready else f" ({h.get_header(headers, h.ERROR_CODE) or journey_code(journey)})"
    say(journey, f"{topic}{reason}")


def journey_code(journey: Journey) -> str:
    """Return the error code of a failed journey."""
    return journey.failed.error.code if journey.failed else ""


def _rows_that_changed(journeys: list[Journey], engine: sa.Engine) -> Iterator[Journey]:
    with engine.connect() as connection:
        for journey in journeys:
            if journey.row is not None or not (journey.ready or journey.failed):
                continue
            media = journey.upload.media
            table = table_of(media.kind)
            row = connection.execute(sa.select(table).where(table.c.id == media.row_id)).mappings().one()
            if row["thumbnail_status"] is not None:
                journey.row = dict(row)
                journey.took_s = (datetime.now(UTC) - journey.upload.occurred_at).total_seconds()
                yield journey
