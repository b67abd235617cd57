"""The steps of one upload, as its records tell them: pure functions, so that a test needs no broker."""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from schemas import headers as h
from schemas.topics import Topics
from streams.kafka.records import InboundRecord

_KEY: Final = re.compile(r"(video|ar_content):\d+")


class State(StrEnum):
    """Where an upload is."""

    UPLOADED = "uploaded"
    QUEUED = "queued"
    WORKING = "working"
    RETRY = "retry"
    DUE = "due"
    REPLAYED = "replayed"
    READY = "ready"
    FAILED = "failed"
    DELETED = "deleted"
    VISIBLE = "visible"
    NOT_VISIBLE = "not visible"
    NO_OUTCOME = "no outcome"

    @property
    def is_final(self) -> bool:
        """Return whether nothing follows by itself."""
        return self in (State.READY, State.FAILED, State.DELETED, State.NO_OUTCOME)


@dataclass(frozen=True)
class Step:
    """One step of the way: `said` is for people, `facts` are for programs."""

    at: datetime
    state: State
    said: str
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return all of it."""
        return {"at": h.format_time(self.at), "state": self.state, "said": self.said, **self.facts}


@dataclass(frozen=True)
class Sought:
    """The upload to follow: by its event id, or the newest one of a key."""

    text: str

    @property
    def is_key(self) -> bool:
        """Return whether it is a record's key; all other texts are event ids."""
        return _KEY.fullmatch(self.text) is not None

    def fits(self, record: InboundRecord) -> bool:
        """Return whether the record belongs to it."""
        return (record.key == self.text.encode()) if self.is_key else (self.text == event_id_of(record))


def event_id_of(record: InboundRecord) -> str | None:
    """Return the id of the upload that the record is, waits as, or is the outcome of; None for others."""
    data = _data(record)
    # An event in structured mode, and one whose id is in its headers alone.
    inner = _part(data, "data") or data
    found = data.get("upload_event_id") or inner.get("event_id") or data.get("id")
    return found if isinstance(found, str) else h.get_header(record.headers, h.CE_ID)


def step_of(record: InboundRecord, topics: Topics) -> Step:
    """Return what the record says. It is one of the topics that topics_of() names."""
    at, topic = record.timestamp, record.topic
    if topic == topics.uploads:
        return _uploaded(record)
    if topic in topics.retries:
        return _waiting(record, topics.retries.index(topic) + 1)
    if topic == topics.due:
        count = h.get_count(record.headers, h.REPLAY_COUNT)
        if count and not h.get_count(record.headers, h.RETRY_ATTEMPT):
            return Step(at, State.REPLAYED, f"a dead letter was sent back to work, for the {_nth(count)} time")
        return Step(at, State.DUE, "the wait is over: back to the workers")
    if topic == topics.ready:
        return _ready(record)
    return _failed(record)


def _uploaded(record: InboundRecord) -> Step:
    place = f"{record.topic} {record.partition}:{record.offset}"
    if record.value is None:
        return Step(record.timestamp, State.DELETED, f"the media was deleted ({place})")
    data = _data(record)
    media = _part(data, "media")
    facts = {"event_id": event_id_of(record), "company_id": data.get("company_id"), "key": _text(record.key)}
    said = f"{_text(record.key)} event {facts['event_id']}, company {facts['company_id']}, {media.get('key')} ({place})"
    return Step(record.timestamp, State.UPLOADED, _line(said), facts)


def _waiting(record: InboundRecord, tier: int) -> Step:
    number, due_at = h.get_count(record.headers, h.RETRY_ATTEMPT), h.get_header(record.headers, h.RETRY_DUE_AT)
    code, message = (h.get_header(record.headers, name) for name in (h.ERROR_CODE, h.ERROR_MESSAGE))
    due = h.parse_time(due_at)
    when = f"{due:%H:%M:%S}Z" if due else "soon"
    facts = {"retry": number, "tier": tier, "due_at": due_at, "code": code, "message": message}
    return Step(record.timestamp, State.RETRY, _line(f"{number}, due {when}: {code}: {message}"), facts)


def _ready(record: InboundRecord) -> Step:
    data = _data(record)
    urls = {item["name"]: item["url"] for item in data.get("renditions", ())}
    storage = _part(data, "storage")
    said = "  ".join(f"{name} {url}" for name, url in urls.items())
    if storage.get("fallback"):
        said += f"  (in {storage.get('provider')}, for: {storage['fallback']})"
    if data.get("degraded"):
        said += f"  (degraded: {data.get('degraded_reason')})"
    facts = {"urls": urls, "thumbnail_url": data.get("thumbnail_url"), "degraded": data.get("degraded", False)}
    return Step(record.timestamp, State.READY, _line(said), facts | {"storage": storage})


def _failed(record: InboundRecord) -> Step:
    names = {"code": h.ERROR_CODE, "message": h.ERROR_MESSAGE, "attempts": h.ATTEMPTS, "next_action": h.NEXT_ACTION}
    facts: dict[str, Any] = {name: h.get_header(record.headers, header) for name, header in names.items()}
    position = f"{record.partition}:{record.offset}"
    said = (
        f"{facts['code']}: {facts['message']} What to do now: {facts['next_action']} (thumbnails dlq show {position})"
    )
    return Step(record.timestamp, State.FAILED, _line(said), facts | {"dead_letter": position})


def _data(record: InboundRecord) -> dict[str, Any]:
    try:
        found = json.loads(record.value or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _part(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: bytes | None) -> str:
    return (value or b"-").decode(errors="replace")


def _line(text: str) -> str:
    """Return one line of printable text: what records hold may be anything."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _nth(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
