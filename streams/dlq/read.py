"""What a dead letter says about itself, read leniently: also one that no schema reads is shown, filtered and counted."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from schemas import headers as h
from schemas.cloudevents import MAX_EVENT_BYTES
from streams.kafka.records import InboundRecord

UNKNOWN: Final = "unknown"
"""The code and stage of a record that has no headers of ours: somebody else wrote it."""
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
        """The stable error code."""
        return self.header(h.ERROR_CODE) or UNKNOWN

    @property
    def stage(self) -> str:
        """How far the event had come."""
        return self.header(h.ERROR_STAGE) or UNKNOWN

    @property
    def failed_at(self) -> datetime:
        """When it failed for the last time; the record's own time where it does not say."""
        return h.parse_time(self.header(h.LAST_FAILED_AT)) or self.record.timestamp

    @property
    def replays(self) -> int:
        """How often it was replayed before."""
        return h.get_count(self.record.headers, h.REPLAY_COUNT)

    def header(self, name: str) -> str | None:
        """A header as one printable line, or None."""
        text = h.get_header(self.record.headers, name)
        return None if text is None else h.header_text(text).decode()


def read_letter(record: InboundRecord) -> DeadLetter:
    """The letter in a record. Never fails: what cannot be read is None."""
    data = _data(record.value)
    company_id = data.get("company_id")
    is_number = isinstance(company_id, int) and not isinstance(company_id, bool)
    return DeadLetter(record, company_id if is_number else None, _media(data.get("media")) or _key(record.key))


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
