"""The records of a run: drawn from a seed, each with a number by which its outcome is found again."""

import json
import random
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from tests.doubles.any_records import ODD_JSON, ODD_NAMES, ODD_TEXTS, READ_BY_ALL, READ_NAMES, changed_event, parts_of

Headers = list[tuple[str, bytes | None]]
MARK: Final = "stranger"
"""The header with the record's number. No role knows it, so that it stays on retries and dead letters."""
SLUG: Final = "second"
COMPANY: Final = 2
"""The company that strangers name; the good uploads are of company 1."""
ROWS: Final = range(1, 501)
"""The company's own media."""
GOOD_FROM: Final = 1001
"""The media of the good uploads begin here, and are company 1's."""
GOOD_FILE, OTHER_FILE, BROKEN_FILE = (f"{SLUG}/uploads/{name}.jpg" for name in ("good", "other", "broken"))
_MISSING: Final = f"{SLUG}/uploads/never-came.jpg"
_OUTSIDE: Final = "first/uploads/photo.jpg"
CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
ODD_TIMES: Final = 100
"""Records with a time far from now. A broker starts a segment for nearly each of these, so that they are few."""
_OURS: Final = ("thumbnail.due", "thumbnail.retry.1", "thumbnail.retry.2", "thumbnail.retry.3", "thumbnail.cleanup")
_RESULTS: Final = ("thumbnail.ready", "thumbnail.failed")
_WORKING: Final = ("retry-attempt", "retry-due-at", "retry-not-before", "retry-hops", "first-failed-at", "replayed-at")
_TYPES: Final = [f"vertexar.{name}" for name in ("thumbnail.ready.v1", "thumbnail.cleanup.v1", "media.uploaded.v9")]


class Kind(StrEnum):
    """What is wrong with a record, or why it is no ordinary upload."""

    GARBAGE = "any bytes"
    ODD_JSON = "JSON that is no event"
    ODD_PART = "an event with one odd part"
    OTHER_TYPE = "an event of another type"
    OUTSIDE_KEY = "a key outside the company's prefix"
    NO_FILE = "a file that never comes"
    BROKEN_FILE = "a broken file"
    NO_COMPANY = "a company that is not there"
    NOT_OWNER = "another company's media"
    SAME_ID = "an event id that was used before"
    SOUND = "a sound upload of the strangers' company"
    TOMBSTONE = "a tombstone"
    OUR_TOPICS = "on a topic between our roles"
    RAW = "header names that are no UTF-8"


WEIGHTS: Final[dict[Kind, float]] = {
    Kind.GARBAGE: 12,
    Kind.ODD_JSON: 12,
    Kind.ODD_PART: 36,
    Kind.OTHER_TYPE: 10,
    Kind.OUTSIDE_KEY: 8,
    Kind.NO_FILE: 4,
    Kind.BROKEN_FILE: 0.5,
    Kind.NO_COMPANY: 1,
    Kind.NOT_OWNER: 0.3,
    Kind.SAME_ID: 0.3,
    Kind.SOUND: 0.4,
    Kind.TOMBSTONE: 9,
    Kind.OUR_TOPICS: 6,
    Kind.RAW: 0.5,
}
"""Of 100 records. Few of them are decoded: what that takes is measured elsewhere."""


@dataclass(frozen=True)
class Stranger:
    """One record; `timestamp_ms` 0 is the time at which it is sent."""

    number: int
    kind: Kind
    topic: str
    key: bytes | None
    value: bytes | None
    codec: str
    timestamp_ms: int = 0
    headers: Headers = field(default_factory=list)

    @property
    def all_headers(self) -> Headers:
        """With its number, last: of what a large dead letter keeps, the last headers come first."""
        return [*self.headers, ("correlationid", b"%d" % self.number), (MARK, b"%d" % self.number)]


def draw(seed: int, count: int, good: int) -> Iterator[Stranger]:
    """The `count` records of this seed, among `good` uploads. Times are near the present, all else is the same at each run."""
    return _Drawing(seed, count, good).records()


class _Drawing:
    def __init__(self, seed: int, count: int, good: int) -> None:
        self._random: Final = random.Random(seed)
        self._count: Final = count
        self._good: Final = max(good, 1)
        self._last: dict[str, Any] | None = None
        """The last sound upload: the next one that uses an id again uses this one's."""
        self._odd_times: Final = set(self._random.sample(range(count), min(ODD_TIMES, count // 10)))
        self._makers: Final[dict[Kind, Callable[[], bytes | None]]] = {
            Kind.GARBAGE: lambda: self._random.randbytes(self._random.randrange(41)),
            Kind.ODD_JSON: lambda: self._random.choice(ODD_JSON).encode("utf-8", "surrogatepass"),
            Kind.ODD_PART: self._odd_part,
            Kind.OTHER_TYPE: lambda: self._value(self._event(_OUTSIDE)),
            Kind.OUTSIDE_KEY: lambda: self._value(self._event(_OUTSIDE)),
            Kind.NO_FILE: lambda: self._value(self._event(_MISSING)),
            Kind.BROKEN_FILE: lambda: self._value(self._event(BROKEN_FILE)),
            Kind.NO_COMPANY: lambda: self._value(self._event(GOOD_FILE) | {"company_id": 77}),
            Kind.NOT_OWNER: lambda: self._value(self._event(GOOD_FILE, GOOD_FROM + self._random.randrange(self._good))),
            Kind.SAME_ID: self._same_id,
            Kind.SOUND: self._sound,
            Kind.TOMBSTONE: lambda: None,
            Kind.OUR_TOPICS: self._for_our_topics,
            Kind.RAW: lambda: self._value(self._event(_OUTSIDE)),
        }

    def records(self) -> Iterator[Stranger]:
        kinds = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=self._count)
        for number, kind in enumerate(kinds):
            value = self._makers[kind]()
            topic = "media.uploaded"
            if kind is Kind.OUR_TOPICS:
                topic = self._random.choice((*_OURS, *_RESULTS))
            is_at_odd_time = number in self._odd_times and kind is not Kind.RAW
            yield Stranger(
                number,
                kind,
                topic,
                self._key(),
                value,
                CODECS[number // 50 % len(CODECS)],
                self._odd_time_ms() if is_at_odd_time else 0,
                self._headers(kind),
            )

    def _event(self, key: str, media_id: int | None = None) -> dict[str, Any]:
        row = media_id or self._random.choice(ROWS)
        media = {"kind": self._random.choice(["image", "video"]), "id": row, "ar_content_id": row, "key": key}
        occurred_at = datetime.now(UTC) - timedelta(seconds=self._random.randrange(100))
        event_id = str(uuid.UUID(int=self._random.getrandbits(128)))
        return {"event_id": event_id, "occurred_at": occurred_at.isoformat(), "company_id": COMPANY, "media": media}

    @staticmethod
    def _value(event: dict[str, Any]) -> bytes:
        return json.dumps(event).encode()

    def _odd_part(self) -> bytes:
        event = self._event(_OUTSIDE)
        parts = [*parts_of(event), *READ_BY_ALL]
        return changed_event(self._value(event), self._random.choice(parts), self._random.choice(ODD_JSON))

    def _for_our_topics(self) -> bytes | None:
        return self._random.choice([self._odd_part(), b"{}", b"\xff", None])

    def _sound(self) -> bytes:
        self._last = self._event(GOOD_FILE)
        return self._value(self._last)

    def _same_id(self) -> bytes:
        """The last sound upload with another file, or for another media."""
        if self._last is None:
            return self._sound()
        media = self._last["media"] | {"key": OTHER_FILE}
        if self._random.random() < 0.5:
            row = self._random.choice(ROWS)
            media |= {"id": row, "ar_content_id": row}
        return self._value(self._last | {"media": media})

    def _key(self) -> bytes | None:
        name = self._random.choice(["video", "ar_content"])
        keys = [
            None,
            f"{name}:{self._random.choice(ROWS)}".encode(),
            self._random.randbytes(self._random.randrange(13)),
        ]
        return self._random.choice(keys)

    def _headers(self, kind: Kind) -> Headers:
        """Any at all, but none that says something about an event whose end is to be foreseen."""
        if kind is Kind.OTHER_TYPE:
            return [("ce_type", self._random.choice(_TYPES).encode())]
        names = [*_WORKING, *ODD_NAMES, "".join(self._random.choices(string.printable, k=4))]
        if kind in (Kind.GARBAGE, Kind.ODD_JSON, Kind.ODD_PART):
            names += READ_NAMES
        drawn = [(self._random.choice(names), self._content()) for _ in range(self._random.randrange(5))]
        if kind is Kind.OUR_TOPICS and self._random.random() < 0.3:
            moment = datetime.now(UTC) - timedelta(seconds=self._random.randrange(30))
            drawn += [("first-failed-at", moment.isoformat().encode()), ("retry-not-before", b"9999-12-31T23:59:59Z")]
        return drawn

    def _content(self) -> bytes | None:
        texts = [None, self._random.randbytes(self._random.randrange(25)), self._random.choice(ODD_TEXTS).encode()]
        return self._random.choice(texts)

    def _odd_time_ms(self) -> int:
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        return self._random.choice([1, now_ms // 1000, now_ms * 1000, now_ms + 3_000_000, 2**62, now_ms - 86_400_000])
