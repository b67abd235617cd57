"""One upload's outcome as the page shows it: small, bounded, and made of plain values only."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from schemas import headers as h
from schemas.cloudevents import read_event, says_type
from schemas.errors import NEXT_ACTIONS, ErrorCode, PermanentError
from schemas.events import (
    THUMBNAIL_FAILED_TYPE,
    THUMBNAIL_READY_TYPE,
    ErrorInfo,
    RenditionInfo,
    ThumbnailFailed,
    ThumbnailReady,
)
from schemas.rejected import MEDIA_REJECTED_TYPE
from streams.dlq.plan import HOPELESS
from streams.kafka.records import InboundRecord

CARD_PX: Final = 480
"""The longer side of a picture that is sharp on a card of the page."""
MAX_URL_CHARS: Final = 2048
MAX_NAME_CHARS: Final = 512
MAX_PLACEHOLDER_CHARS: Final = 64


@dataclass(frozen=True)
class Tile:
    """The outcome of one upload. `key` is the same for every outcome of it, so that a later one replaces an earlier.

    `at_ms` is the record's time in Unix milliseconds; `data` is what the browser gets, ready for JSON.
    """

    key: str
    at_ms: int
    company_id: int
    record_key: str
    upload_event_id: str
    is_failed: bool
    data: dict[str, Any]


def origin_of(url: str) -> str | None:
    """scheme://host:port in lower case, as browsers compare them; None for anything but http and https."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}{'' if port in (None, usual) else f':{port}'}"


class TileReader:
    """Makes tiles of records of thumbnail.ready and thumbnail.failed; pictures load from `image_origins` only."""

    def __init__(self, failed_topic: str, image_origins: Collection[str]) -> None:
        self._failed_topic: Final = failed_topic
        self._image_origins: Final = frozenset(image_origins)

    def is_result(self, record: InboundRecord) -> bool:
        """Return whether a record should be one; a rejection has no picture, and its producer's ids may be missing."""
        return record.topic != self._failed_topic or not says_type(MEDIA_REJECTED_TYPE, record.value, record.headers)

    def read(self, record: InboundRecord) -> Tile | None:
        """Return the tile of a record; None when no known schema reads it."""
        try:
            if record.topic == self._failed_topic:
                failed = read_event(ThumbnailFailed, THUMBNAIL_FAILED_TYPE, record.value, record.headers)
                return _tile(record, failed, _failed_facts(failed))
            ready = read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, record.value, record.headers)
        except PermanentError:
            return None
        return _tile(record, ready, _ready_facts(ready) | self._picture(ready))

    def _picture(self, ready: ThumbnailReady) -> dict[str, Any]:
        """Return where the browser finds the picture, or why it gets no address."""
        shown = _rendition(ready)
        shape = {"width": shown.width, "height": shown.height} if shown else {}
        url = shown.url if shown else ready.thumbnail_url
        origin = origin_of(url)
        parts = urlsplit(url) if origin else None
        if parts is None or origin is None or len(url) > MAX_URL_CHARS:
            note = "Only the placeholder is shown: the picture has no address that a browser can load."
        elif parts.query or parts.username is not None:
            note = "Only the placeholder is shown: the picture's address may hold a secret."
        elif origin not in self._image_origins:
            note = f"Only the placeholder is shown: {origin[:200]} is not among WEB_IMAGE_ORIGINS."
        else:
            return shape | {"image": url, "note": None}
        return shape | {"image": None, "note": note}


def _rendition(ready: ThumbnailReady) -> RenditionInfo | None:
    """Return the smallest rendition that fills a card, else the thumbnail itself; None where the event does not list it."""
    thumbnail = next((item for item in ready.renditions if item.url == ready.thumbnail_url), None)
    large = [item for item in ready.renditions if max(item.width, item.height) >= CARD_PX]
    return thumbnail and min(large, key=lambda item: item.width * item.height, default=thumbnail)


def _tile(record: InboundRecord, event: ThumbnailReady | ThumbnailFailed, facts: dict[str, Any]) -> Tile:
    media = event.media
    place = f"{event.company_id}\0{media.record_key}\0{event.upload_event_id}"
    key = hashlib.sha256(place.encode()).hexdigest()[:16]
    is_failed = isinstance(event, ThumbnailFailed)
    data = {
        "key": key,
        "at_ms": record.timestamp_ms,
        "company": event.company_id,
        "media": media.record_key,
        "kind": media.kind.value,
        "name": media.key.rpartition("/")[2][:MAX_NAME_CHARS] or media.record_key,
        "path": media.key[:MAX_NAME_CHARS],
        "occurred_at": h.format_time(event.occurred_at),
        "produced_at": h.format_time(event.produced_at),
    }
    return Tile(
        key,
        record.timestamp_ms,
        event.company_id,
        media.record_key,
        event.upload_event_id,
        is_failed,
        data | facts,
    )


def _ready_facts(ready: ThumbnailReady) -> dict[str, Any]:
    return {
        "state": "degraded" if ready.degraded else "ready",
        "placeholder": (ready.placeholder or "")[:MAX_PLACEHOLDER_CHARS],
        "frame": ready.frame.model_dump(mode="json"),
        "source": {"width": ready.source.width, "height": ready.source.height, "codec": ready.source.codec},
        "timings_ms": ready.timings_ms.model_dump(mode="json"),
        "storage": ready.storage.provider,
        "fallback": ready.storage.fallback,
        "attempt": ready.attempt,
    }


def _next_action(error: ErrorInfo) -> str:
    """Return the action that this version knows for the code, or else the worker's own."""
    try:
        return NEXT_ACTIONS[ErrorCode(error.code)]
    except ValueError:
        return error.next_action


def _failed_facts(failed: ThumbnailFailed) -> dict[str, Any]:
    error = failed.error
    return {
        "state": "failed",
        "code": error.code,
        "message": error.message,
        "stage": error.stage,
        "fails_again": error.code in HOPELESS,
        "next_action": _next_action(error),
        "attempts": failed.attempts,
        "first_failed_at": h.format_time(failed.first_failed_at),
    }
