"""Records of every release are read by the present code for ever: topics, archives and dead letters outlive a deploy."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from schemas import headers as h
from schemas.cloudevents import read_event
from schemas.contracts.events import EVENTS
from schemas.contracts.files import released
from schemas.events import ThumbnailFailed
from schemas.topics import (
    MEDIA_UPLOADED,
    THUMBNAIL_CLEANUP,
    THUMBNAIL_DLQ,
    THUMBNAIL_DUE,
    THUMBNAIL_FAILED,
    THUMBNAIL_READY,
    THUMBNAIL_READY_DLQ,
    THUMBNAIL_REPLAYS,
    THUMBNAIL_RETRIES,
    UNPREFIXED,
)
from streams.dlq.ledger import Ledger
from streams.dlq.plan import ReplayRules, Send
from streams.dlq.read import read_dead_letter
from streams.kafka.records import InboundRecord, read_delivery
from streams.retry.hops import HopRules
from streams.thumbnails.staleness import media_of_key

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2027, 1, 1, tzinfo=UTC)
OF_TOPIC = {contract.topic.name: contract for contract in reversed(EVENTS)}
CARRIERS = {THUMBNAIL_DUE.name, *(topic.name for topic in THUMBNAIL_RETRIES), THUMBNAIL_DLQ.name}


@dataclass(frozen=True)
class Golden:
    """A kept record, and what it means."""

    name: str
    record: InboundRecord
    means: dict[str, Any]


def read_golden(path: Path) -> Golden:
    reported = json.loads(path.read_text())
    value = path.with_suffix(".value")
    headers = tuple((name, text.encode()) for name, text in reported["headers"].items())
    content = value.read_bytes() if value.exists() else None
    record = InboundRecord(reported["topic"], 0, 17, 1795462314260, reported["key"].encode(), content, headers)
    return Golden(f"{path.parent.name}/{path.stem}", record, reported["means"])


RECORDS = [read_golden(path) for path in sorted(GOLDEN.glob("*/*.json"))]


def of_topics(*names: str) -> list[Any]:
    return [pytest.param(golden, id=golden.name) for golden in RECORDS if golden.record.topic in names]


def read_by_us(record: InboundRecord) -> Any:
    contract = OF_TOPIC.get(record.topic, OF_TOPIC[MEDIA_UPLOADED.name])
    return read_event(contract.model, contract.event_type, record.value, record.headers)


def test_no_golden_record_was_removed_or_changed() -> None:
    lines = (GOLDEN / "SHA256SUMS").read_text().splitlines()
    kept = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    there = {
        str(path.relative_to(GOLDEN)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in GOLDEN.glob("*/*")
        if path.is_file()
    }
    assert there == kept


@pytest.mark.parametrize("version", released())
def test_every_event_and_topic_of_a_release_has_a_golden_record(version: str) -> None:
    kept = {golden.record.topic for golden in RECORDS if golden.name.startswith(f"{version}/")}
    channels = set(released()[version]["asyncapi.json"]["channels"])
    assert channels - kept <= {"thumbnail.dlq.parked"}  # a dead letter with two more headers


@pytest.mark.parametrize(
    "golden",
    of_topics(MEDIA_UPLOADED.name, THUMBNAIL_READY.name, THUMBNAIL_FAILED.name, THUMBNAIL_CLEANUP.name, *CARRIERS),
)
def test_an_event_is_read_as_it_was_meant(golden: Golden) -> None:
    if golden.record.value is None:
        assert media_of_key(golden.record.key) is not None
        return
    event = read_by_us(golden.record)
    means = golden.means
    assert (event.event_id, event.company_id, event.media.record_key) == (
        means["event_id"],
        means["company_id"],
        means["media"],
    )
    assert event.occurred_at.replace(microsecond=0) == datetime.fromisoformat(means["occurred_at"]).replace(
        microsecond=0
    )
    if isinstance(event, ThumbnailFailed):
        assert event.error.code == means["error_code"]


@pytest.mark.parametrize("golden", of_topics(*(topic.name for topic in THUMBNAIL_RETRIES)))
def test_a_waiting_record_goes_on_where_it_was(golden: Golden) -> None:
    delivery = read_delivery(golden.record, UNPREFIXED)
    assert delivery.attempt == golden.means["attempt"]
    assert delivery.first_failed_at == h.parse_time(golden.means["first_failed_at"])
    hop = HopRules((60.0, 120.0, 240.0), 0.1, 86_400.0, UNPREFIXED).next_hop(golden.record, NOW)
    assert (hop.record.topic, hop.record.value) == (THUMBNAIL_DUE.name, golden.record.value)


@pytest.mark.parametrize("golden", of_topics(THUMBNAIL_DLQ.name, THUMBNAIL_READY_DLQ.name))
def test_a_dead_letter_still_explains_itself_and_can_be_replayed(golden: Golden) -> None:
    dead_letter = read_dead_letter(golden.record)
    assert (dead_letter.media, dead_letter.code) == (golden.means["media"], golden.means["error_code"])
    assert dead_letter.header(h.ATTEMPTS) == golden.means["attempts"]
    (source,) = [topic for topic in (THUMBNAIL_DLQ, THUMBNAIL_READY_DLQ) if topic.name == golden.record.topic]
    assert isinstance(ReplayRules(source, UNPREFIXED, max_replays=3).plan(dead_letter, NOW), Send)


@pytest.mark.parametrize("golden", of_topics(THUMBNAIL_REPLAYS.name))
def test_what_was_replayed_is_still_known(golden: Golden) -> None:
    dead_letter = InboundRecord(THUMBNAIL_DLQ.name, 0, 17, 1795462314260, None, None, ())
    mark = Ledger.read([golden.record]).of(dead_letter)
    assert mark is not None
    assert (mark.state, mark.to) == (golden.means["state"], golden.means["to"])
