"""Records as strangers could write them, drawn by Hypothesis: any bytes, headers and times, also those that nearly make sense."""

import json
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from schemas import headers as h
from streams.kafka.records import InboundRecord
from tests.doubles.memory_kafka.broker import HeaderList, MemoryBroker, NewRecord
from tests.doubles.pipeline import NOW

NOW_MS = int(NOW.timestamp() * 1000)
OWN = ("own", b"\xff\x00")
"""A header that every record has, and must keep."""


def examples(count: int) -> settings:
    """The same examples at each run, on any machine."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


READ_NAMES = [h.CE_TYPE, h.CE_ID, h.CE_TIME, h.CONTENT_TYPE, h.TRACEPARENT, h.TRACESTATE, h.CORRELATION_ID]
ODD_NAMES = [f"{h.RETRY_NOT_BEFORE}\0", f"{h.ORIGINAL_TOPIC}\0x", "", "\ufffd"]
NAMES = st.one_of(
    st.sampled_from(sorted(h.WORKING_HEADERS)),
    st.sampled_from(READ_NAMES),
    st.sampled_from(ODD_NAMES),
    st.text(max_size=8),
)
ODD_TEXTS = [
    *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "2026-11-23T11:59:00Z"),
    *("2026-11-23T12:00:30.5Z", "2026-11-23T12:00:00", "-1", "3", "999", "1e308", "NaN", "9" * 5000, "\u0663"),
    *("p.media.uploaded", "p.thumbnail.cleanup", "thumbnail.cleanup", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
    *("vertexar.media.uploaded.v1", "vertexar.media.uploaded.v9", "application/cloudevents+json", "storage.paused"),
]
TEXTS = st.sampled_from(ODD_TEXTS)
CONTENTS = st.one_of(st.none(), st.binary(max_size=24), TEXTS.map(str.encode))
HEADERS: st.SearchStrategy[h.Headers] = st.lists(st.tuples(NAMES, CONTENTS), max_size=6).map(lambda some: (OWN, *some))
_WHEN = st.one_of(
    st.sampled_from([b"9999-12-31T23:59:59Z", b"9999-12-31T23:59:59-14:00", b"0001-01-01T00:00:00+14:00", b"soon"]),
    st.integers(-5000, 5000).map(lambda s: h.format_time(NOW + timedelta(seconds=s)).encode()),
)
WAITS: st.SearchStrategy[h.Headers] = st.lists(
    st.tuples(st.sampled_from([h.RETRY_DUE_AT, h.RETRY_NOT_BEFORE, h.FIRST_FAILED_AT, h.REPLAYED_AT]), _WHEN),
    max_size=6,
).map(lambda some: (OWN, *some))
"""What a record of a retry topic may ask for."""
TIMES_MS = st.one_of(
    st.sampled_from([0, -1, 1, NOW_MS, NOW_MS * 1000, NOW_MS // 1000, NOW_MS + 3_600_000, 2**63 - 1, -(2**63)]),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(NOW_MS - 100_000, NOW_MS + 100_000),
)
KEYS = st.one_of(st.none(), st.just(b"video:42"), st.binary(max_size=12))

ODD_JSON = [
    *("NaN", "Infinity", "1e400", "9" * 5000, "-1", "0", str(2**63), "null", "true", "[]", "{}", '""', '"\\u0000"'),
    *('"\\ud800"', '"9999-12-31T23:59:59-14:00"', '"0001-01-01T00:00:00+14:00"', "[" * 3000, '"x' * 2, '"../a"'),
]
_ODD_JSON = st.sampled_from(ODD_JSON)
READ_BY_ALL = [("company_id",), ("event_id",), ("occurred_at",), ("media",), ("media", "id"), ("media", "kind")]
"""Drawn more often than the other parts."""


def values_like(event: bytes) -> st.SearchStrategy[bytes | None]:
    """Values of records: any bytes, and `event` with one of its parts replaced by something odd."""
    parts = [*parts_of(json.loads(event)), *READ_BY_ALL * 4]
    changed = st.tuples(st.sampled_from(parts), _ODD_JSON).map(lambda chosen: changed_event(event, *chosen))
    return st.one_of(
        st.none(), st.binary(max_size=40), st.just(event), changed, changed, changed, _ODD_JSON.map(str.encode)
    )


def parts_of(value: Any, path: tuple[str, ...] = ()) -> Any:
    """The way to each part of an event."""
    for name, part in value.items():
        yield (*path, name)
        if isinstance(part, dict):
            yield from parts_of(part, (*path, name))


def changed_event(event: bytes, path: tuple[str, ...], odd: str) -> bytes:
    """The event with this JSON text in place of one of its parts."""
    data = json.loads(event)
    inner = data
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = "@odd"
    return json.dumps(data).replace('"@odd"', odd).encode("utf-8", "surrogatepass")


def records(
    topics: list[str], event: bytes, headers: st.SearchStrategy[h.Headers] = HEADERS
) -> st.SearchStrategy[InboundRecord]:
    """Records of these topics, whose value may be nearly `event`."""
    return st.builds(
        InboundRecord,
        topic=st.sampled_from(topics),
        partition=st.just(0),
        offset=st.integers(0, 2**63 - 1),
        timestamp_ms=TIMES_MS,
        key=KEYS,
        value=values_like(event),
        headers=headers,
    )


def put(broker: MemoryBroker, record: InboundRecord) -> None:
    """Append the record to its partition, with its own time."""
    headers: HeaderList = list(record.headers)
    broker.log((record.topic, 0)).append(NewRecord(record.key, record.value, headers, record.timestamp_ms))
