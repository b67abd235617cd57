"""Sends the records among good uploads to a running installation, and waits until all of it is at rest."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.campaign.strangers.records import (
    BROKEN_FILE,
    COMPANY,
    GOOD_FILE,
    GOOD_FROM,
    MARK,
    OTHER_FILE,
    ROWS,
    SLUG,
    Kind,
    Stranger,
    draw,
)
from tests.campaign.strangers.roles import Used, used_by
from tests.doubles.raw_batches import RawRecord, a_batch, produce
from tests.system.platform import Upload
from tests.system.stack import Stack
from tests.system.tenants import FolderStore, Tenant, add_rows, add_tenant
from tests.system.test_broker_faults import set_topic

SETTINGS: Final = {
    "RETRY_DELAYS_S": "0.5,1,1.5",
    "RETRY_BUDGET_S": "20",
    "KAFKA_SESSION_TIMEOUT_S": "30",
    "DLQ_COMPANY_PER_MINUTE": "0",
}
"""Of the roles: retries that end within the run, and no company whose uploads wait because most of them fail, so that
each record comes to the end that it has by itself. All else is as it comes, the limits that stop a worker too."""
TOPIC_SETTINGS: Final = {"message.timestamp.after.max.ms": str(2**63 - 1), "retention.ms": "-1"}
"""Any record time is taken, as before Kafka 4, and no old record is removed before its end is looked at."""
CONSUMED: Final = {
    "": ("media.uploaded", "thumbnail.due", "thumbnail.cleanup"),
    "-persist": ("thumbnail.ready", "thumbnail.failed", "thumbnail.deleted"),
    "-retry": ("thumbnail.retry.1", "thumbnail.retry.2", "thumbnail.retry.3", "thumbnail.cleanup.waiting"),
}
"""By the end of the group's name."""
_REST_READS: Final = 3
_RAW_BATCH: Final = 10
Place = tuple[str, int, int]
Groups = dict[str, list[TopicPartition]]


@dataclass
class Flood:
    """What was sent, and what was seen while the roles worked."""

    seed: int
    strangers: list[Stranger] = field(default_factory=list)
    good: list[Upload] = field(default_factory=list)
    places: dict[Place, int] = field(default_factory=dict)
    """Topic (without its prefix), partition and offset of each record that the broker took, with the record's number."""
    refused: dict[int, str] = field(default_factory=dict)
    """Why client or broker did not take a record."""
    seconds: float = 0.0
    is_at_rest: bool = False
    ended: list[str] = field(default_factory=list)
    """The roles that ended, each with the end of its log."""
    used: dict[str, Used] = field(default_factory=dict)


def set_up(stack: Stack, good: int) -> None:
    """The strangers' company with its rows and files, the rows of the good uploads, and topics that take any time."""
    platform, tenant = (
        stack.platform,
        Tenant(COMPANY, SLUG, "local_disk", {}, FolderStore(stack.platform.storage_root / SLUG), base_path=SLUG),
    )
    add_tenant(platform, tenant)
    add_rows(platform, tenant, ROWS)
    platform.add_rows(range(GOOD_FROM, GOOD_FROM + good))
    tenant.store.put(GOOD_FILE, platform.sample("image", 0))
    tenant.store.put(OTHER_FILE, platform.sample("image", 1))
    tenant.store.put(BROKEN_FILE, b"\xff\xd8\xff\xe0" + bytes(300))
    for topics in CONSUMED.values():
        for topic in topics:
            for name, value in TOPIC_SETTINGS.items():
                set_topic(platform.bootstrap_servers, f"{platform.topic_prefix}{topic}", name, value)


def run_flood(stack: Stack, seed: int, count: int, good: int, *, most_s: float, say: Callable[[str], None]) -> Flood:
    """Send `count` strangers' records among `good` uploads, evenly, and wait for the rest of all topics, at most `most_s`."""
    flood = Flood(seed)
    began = time.monotonic()
    sending = _Sending(stack, flood)
    every = max(1, count // max(good, 1))
    for stranger in draw(seed, count, good):
        if stranger.number % every == 0 and len(flood.good) < good:
            sending.send_good(len(flood.good))
        sending.send(stranger)
    while len(flood.good) < good:
        sending.send_good(len(flood.good))
    sending.flush()
    say(
        f"{len(flood.strangers)} records and {len(flood.good)} uploads are sent after {time.monotonic() - began:.0f} s."
    )
    flood.is_at_rest = _wait_for_rest(stack, flood, began + most_s, say)
    flood.seconds = time.monotonic() - began
    flood.used = {role.log.stem: used_by(role) for role in stack.supervisor.roles}
    return flood


class _Sending:
    """One producer a codec; records whose header names are no UTF-8 go in batches made by hand."""

    def __init__(self, stack: Stack, flood: Flood) -> None:
        self._platform: Final = stack.platform
        self._flood: Final = flood
        self._producers: Final[dict[str, Producer]] = {}
        self._raw: Final[list[tuple[int, RawRecord]]] = []

    def _producer(self, codec: str) -> Producer:
        if codec not in self._producers:
            settings: dict[str, Any] = {"bootstrap.servers": self._platform.bootstrap_servers}
            settings |= {"compression.type": codec, "linger.ms": 20, "partitioner": "murmur2_random"}
            settings |= {"enable.idempotence": True, "log_level": 0}  # none is written twice
            self._producers[codec] = Producer(settings)
        return self._producers[codec]

    def send_good(self, number: int) -> None:
        upload = self._platform.upload(GOOD_FROM + number, "video" if number % 10 == 0 else "image")
        self._flood.good.append(upload)
        topic = f"{self._platform.topic_prefix}media.uploaded"
        self._produce(
            "gzip", topic, json.dumps(upload.event).encode(), upload.record_key.encode(), on_delivery=_must_arrive
        )

    def send(self, stranger: Stranger) -> None:
        self._flood.strangers.append(stranger)
        if stranger.kind is Kind.RAW:
            marks = [(name.encode(), value) for name, value in stranger.all_headers]
            record = (stranger.key, stranger.value, [(b"bad\xff", b"1"), *marks])
            self._raw.append((stranger.number, record))
            return
        topic = f"{self._platform.topic_prefix}{stranger.topic}"
        self._produce(
            stranger.codec,
            topic,
            stranger.value,
            stranger.key,
            headers=stranger.all_headers,
            timestamp=stranger.timestamp_ms,
            on_delivery=lambda error, message: self._delivered(stranger, error, message),
        )

    def _produce(self, codec: str, topic: str, value: bytes | None, key: bytes | None, **options: Any) -> None:
        producer = self._producer(codec)
        while True:
            try:
                producer.produce(topic, value, key, **options)
            except BufferError:
                producer.poll(0.2)
            else:
                producer.poll(0)
                return

    def _delivered(self, stranger: Stranger, error: Any, message: Any) -> None:
        if error is not None:
            self._flood.refused[stranger.number] = error.str()
        else:
            self._flood.places[stranger.topic, message.partition(), message.offset()] = stranger.number

    def flush(self) -> None:
        """Return when the broker has answered for all."""
        for producer in self._producers.values():
            if producer.flush(120):
                raise AssertionError("not all records were answered")
        batches = [self._raw[at : at + _RAW_BATCH] for at in range(0, len(self._raw), _RAW_BATCH)]
        now_ms = int(time.time() * 1000)
        made = [a_batch(*(record for _, record in batch), timestamp_ms=now_ms) for batch in batches]
        topic = f"{self._platform.topic_prefix}media.uploaded"
        if made:
            offsets = asyncio.run(produce(self._platform.bootstrap_servers, topic, *made))
            for batch, first in zip(batches, offsets, strict=True):
                for offset, (number, _) in enumerate(batch, start=first):
                    self._flood.places["media.uploaded", 0, offset] = number


def _must_arrive(error: Any, _message: Any) -> None:
    if error is not None:
        raise AssertionError(f"a good upload was not taken: {error}")


def _wait_for_rest(stack: Stack, flood: Flood, deadline: float, say: Callable[[str], None]) -> bool:
    """Whether every group has read its topics to their ends, and nothing is written any more."""
    groups, quiet, before, said_at = _groups(stack), 0, -1, time.monotonic()
    while quiet < _REST_READS and time.monotonic() < deadline:
        time.sleep(0.5)
        for role in stack.supervisor.roles:
            if role.process.poll() is not None:
                flood.ended.append(f"{role.name} ended with {role.process.returncode}: {_last_words(role.log)}")
        if flood.ended:
            return False
        behind, total = _read_lag(stack, groups)
        quiet = quiet + 1 if behind == 0 and total == before else 0
        before = total
        if time.monotonic() - said_at > 30:
            said_at = time.monotonic()
            say(f"{behind} records are not yet read, of {total}.")
    return quiet >= _REST_READS


def _last_words(log: Path) -> str:
    """The line that says why a role ended, else its last one."""
    lines = log.read_text(errors="replace").splitlines() or [""]
    said = [line for line in lines if '_failed"' in line]
    return (said or lines)[-1][:1000]


def _read_lag(stack: Stack, groups: Groups) -> tuple[int, int]:
    behind = total = 0
    for group, places in groups.items():
        settings = {"bootstrap.servers": stack.platform.bootstrap_servers, "group.id": group, "log_level": 0}
        consumer = Consumer(settings)  # it never subscribes, so that it is no member of the group
        try:
            for place in consumer.committed(places, timeout=20):
                begin, end = consumer.get_watermark_offsets(place, timeout=20)
                total += end - begin
                behind += end - (place.offset if place.offset >= 0 else begin)
        finally:
            consumer.close()
    return behind, total


def _groups(stack: Stack) -> Groups:
    prefix, group = stack.platform.topic_prefix, stack.environment["WORKER_GROUP"]
    admin = AdminClient({"bootstrap.servers": stack.platform.bootstrap_servers, "log_level": 0})
    topics = admin.list_topics(timeout=20).topics
    return {
        f"{group}{ending}": [
            TopicPartition(f"{prefix}{name}", number)
            for name in names
            for number in topics[f"{prefix}{name}"].partitions
        ]
        for ending, names in CONSUMED.items()
    }


def mark_of(headers: Any) -> int | None:
    """The number in a record's headers; None where it is not a stranger's."""
    for name, value in reversed(headers or []):
        if name == MARK:
            return int(value)
    return None
