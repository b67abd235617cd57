"""The persist and retry loops on the in-memory Kafka, in one thread, by a clock that no test waits for."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import sqlalchemy as sa
from confluent_kafka import KafkaError

from schemas import headers as h
from schemas.cloudevents import context_headers, write_event
from schemas.database import create_engine_for, write_transaction
from schemas.events import THUMBNAIL_FAILED_TYPE, THUMBNAIL_READY_TYPE, ThumbnailReady
from schemas.media_state import THUMBNAIL_DELETED_TYPE, ThumbnailDeleted
from schemas.metrics import Metrics
from schemas.tables import videos
from schemas.topics import THUMBNAIL_CLEANUP, THUMBNAIL_CLEANUP_WAITING, THUMBNAIL_DUE, THUMBNAIL_RETRIES
from streams.kafka.ports import KafkaClients, TopicPartition
from streams.kafka.records import InboundRecord
from streams.persist.limits import PersistLimits
from streams.persist.role import PersistOptions, PersistRole
from streams.retry.role import RetryOptions, RetryRole
from streams.rows.upsert import Result
from streams.thumbnails.grace import NO_GRACE
from tests.doubles.memory_kafka.broker import HeaderList, KilledError, MemoryBroker
from tests.doubles.memory_kafka.client import kill
from tests.doubles.memory_kafka.clock import VirtualClock
from tests.doubles.memory_kafka.consumer import MemoryConsumer
from tests.doubles.memory_kafka.producer import MemoryProducer
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_database

DUE = THUMBNAIL_DUE.name
TIERS = [topic.name for topic in THUMBNAIL_RETRIES]
WAITING_CLEANUPS = THUMBNAIL_CLEANUP_WAITING.name
POISON = "poison"
"""A placeholder that the database of `Rows` refuses."""


class Loop:
    """A broker, and one process after another that runs a role of one group."""

    group = "group"

    def __init__(self, topics: dict[str, int]) -> None:
        self.clock = VirtualClock()
        self.broker = MemoryBroker(self.clock)
        for name, partitions in topics.items():
            self.broker.create_topic(name, partitions)
        self.metrics = Metrics()
        self.consumer = MemoryConsumer(self.broker, self.group)
        self.producer = MemoryProducer(self.broker)

    def restart(self) -> None:
        """Clients as of a new process."""
        self.consumer = MemoryConsumer(self.broker, self.group)
        self.producer = MemoryProducer(self.broker)

    @property
    def clients(self) -> KafkaClients:
        return KafkaClients(self.consumer, self.producer, self.clock.monotonic)

    def die(self) -> None:
        """The process ends here."""
        kill(self.consumer, self.producer)

    def committed(self, topic: str, partition: int = 0) -> int | None:
        return self.broker.group(self.group).committed.get((topic, partition))

    def values(self, topic: str) -> list[bytes | None]:
        return [record.value for record in self.broker.records(topic)]


class Guest:
    """Another member of the group, which reads what it is given, commits nothing, and leaves."""

    def __init__(self, loop: Loop, topics: list[str]) -> None:
        self.consumer = MemoryConsumer(loop.broker, loop.group)
        self.found: list[tuple[TopicPartition, int]] = []
        self._loop, self._topics = loop, topics

    def join(self) -> None:
        self.consumer.subscribe(self._topics)
        self._read()

    def _read(self) -> None:
        with suppress(RuntimeError):  # it has left
            for message in self.consumer.consume(1000, 0.0):
                self.found.append(((message.topic() or "", message.partition() or 0), message.offset() or 0))
            self._loop.clock.after(0.1, self._read)

    def leave(self) -> None:
        self.consumer.close()


class RetryLoop(Loop):
    """The retry role, with delays of 60, 120 and 240 seconds unless `options` say otherwise."""

    group = "retry"

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(TIERS, 2) | {DUE: 1, WAITING_CLEANUPS: 1, THUMBNAIL_CLEANUP.name: 1})
        self.options = RetryOptions()
        self.wrong_by = timedelta(0)
        """How far the system's clock of the role is ahead of the true time."""

    def run(self, seconds: float) -> None:
        self.role = RetryRole(self.clients, self.options, self.metrics, now=lambda: self.clock.now() + self.wrong_by)
        role = self.role
        self.clock.after(seconds, role.stop)
        role.run()

    def run_until_killed(self) -> None:
        """Run a process that is going to die."""
        with suppress(KilledError):
            self.run(1000)
            raise AssertionError("nothing killed it")

    def put(self, value: bytes, due_in_s: float, place: TopicPartition = (TIERS[0], 0)) -> None:
        due_at = self.clock.now() + timedelta(seconds=due_in_s)
        headers: HeaderList = [("own", None), (h.RETRY_DUE_AT, h.header_text(h.format_time(due_at)))]
        self.broker.put(place, value, key=b"video:1", headers=headers)

    @property
    def handed_on(self) -> list[InboundRecord]:
        return self.broker.records(DUE)

    def seconds(self) -> dict[bytes, float]:
        """When each value was handed on last, in seconds since the clock began."""
        return {record.value or b"": (record.timestamp - NOW).total_seconds() for record in self.handed_on}


class Rows:
    """A SQLite file with rows 40 to 49, which refuses POISON, and can be out of reach or slow."""

    def __init__(self, url: str, journal: list[str]) -> None:
        self.engine = create_engine_for(url)
        self.is_down = False
        self.problem = "database is locked"
        self.before_commit: Callable[[], None] | None = None
        self.may_write = Event()
        self.may_write.set()
        self._reader = create_engine_for(url)
        sa.event.listen(self.engine, "begin", self._begin)
        sa.event.listen(self.engine, "commit", lambda _connection: self._commit(journal))

    def _begin(self, _connection: sa.Connection) -> None:
        assert self.may_write.wait(30)
        if self.is_down:
            raise sa.exc.OperationalError("BEGIN", {}, sqlite3.OperationalError(self.problem))

    def _commit(self, journal: list[str]) -> None:
        if self.before_commit is not None:
            action, self.before_commit = self.before_commit, None
            action()
        journal.append("rows")

    def statuses(self) -> dict[int, str]:
        """The status of each video that has one."""
        query = sa.select(videos.c.id, videos.c.thumbnail_status).where(videos.c.thumbnail_status.is_not(None))
        with self._reader.connect() as connection:
            return {row.id: row.thumbnail_status for row in connection.execute(query)}

    def close(self) -> None:
        self.engine.dispose()
        self._reader.dispose()


def make_rows_file(path: Path) -> None:
    """The file that tests copy: to make it takes longer than a test."""
    engine = a_database(f"sqlite:///{path}")
    with write_transaction(engine) as connection:
        connection.execute(
            sa.text(
                f"CREATE TRIGGER refuse BEFORE UPDATE ON videos WHEN NEW.thumbnail_placeholder = '{POISON}'"
                " BEGIN SELECT RAISE(ABORT, 'the test refuses it'); END"
            )
        )
    engine.dispose()


class PersistLoop(Loop):
    """The persist role on such rows; `thumbnail.ready` has two partitions."""

    group = "persist"

    def __init__(self, url: str) -> None:
        names = "failed", "deleted", "state", "ready.dlq", "cleanup", "cleanup.waiting"
        super().__init__({"thumbnail.ready": 2} | {f"thumbnail.{name}": 1 for name in names})
        self.rows = Rows(url, self.broker.journal)
        self.limits = PersistLimits()
        self.grace = NO_GRACE

    def role(self) -> PersistRole:
        options = PersistOptions(self.group, limits=self.limits, grace=self.grace)
        return PersistRole(self.clients, options, self.rows.engine, self.metrics, now=self.clock.now)

    def run(self, seconds: float) -> None:
        role = self.role()
        self.clock.after(seconds, role.stop)
        role.run()

    def run_until_killed(self) -> None:
        """Run a process that is going to die."""
        with suppress(KilledError):
            self.run(1000)
            raise AssertionError("nothing killed it")

    def put(self, *results: Result, partition: int = 0) -> None:
        for result in results:
            is_ready = isinstance(result, ThumbnailReady)
            event_type = THUMBNAIL_READY_TYPE if is_ready else THUMBNAIL_FAILED_TYPE
            headers = context_headers(event_type=event_type, event_id=result.event_id, occurred_at=NOW, subject="x")
            place = ("thumbnail.ready", partition) if is_ready else ("thumbnail.failed", 0)
            self.broker.put(place, write_event(result), key=result.media.record_key.encode(), headers=[*headers])

    def put_deletion(self, deleted: ThumbnailDeleted) -> None:
        headers = context_headers(
            event_type=THUMBNAIL_DELETED_TYPE, event_id=deleted.event_id, occurred_at=NOW, subject="x"
        )
        key = deleted.media.record_key.encode()
        self.broker.put(("thumbnail.deleted", 0), write_event(deleted), key=key, headers=[*headers])

    def states(self) -> dict[str, dict[str, Any] | None]:
        """The last state of each media: what a reader of the compacted topic ends with."""
        records = self.broker.records("thumbnail.state")
        return {(one.key or b"").decode(): json.loads(one.value) if one.value else None for one in records}

    def dead_letters(self) -> list[bytes | None]:
        """The keys of what was refused."""
        return [record.key for record in self.broker.records("thumbnail.ready.dlq")]

    def cleanups(self) -> int:
        return len(self.broker.records("thumbnail.cleanup"))


def lost_membership() -> list[int]:
    """The codes by which a group says that a commit comes too late."""
    return [KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS, KafkaError.UNKNOWN_MEMBER_ID]
