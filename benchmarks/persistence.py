"""Results from the topic to committed rows: the persist role against an ORM consumer that commits a row at a time.

Beside it the floor: how fast this PostgreSQL takes the same rows from one connection that does nothing else, by COPY into a
temporary table and one UPDATE from it, a transaction a batch. It reads no topic, and checks, announces and logs nothing.

Run: python -m benchmarks.persistence [--events N] [--orm-events N] [--slices N] [--without NAME ...] [--base CHECKOUT]
[--json FILE]. With --base the role of another checkout, which has this file and a .venv, takes its turns too.

Real Apache Kafka and a PostgreSQL of the system's own with fsync on. The topic is filled first; a consumer's time runs
from its first record to its last commit, without its start. Each consumer is a process with a topic and a group of
its own; slices alternate.
"mixed" has one record in five twice, and in a thousand one that is not JSON or that PostgreSQL refuses.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
import sqlalchemy as sa
from confluent_kafka import Consumer, Producer
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table
from sqlalchemy import orm

from schemas.cloudevents import context_headers, write_event
from schemas.database import create_engine_for
from schemas.events import THUMBNAIL_READY_TYPE, MediaKind, RenditionInfo, ThumbnailReady
from schemas.metrics import Metrics
from schemas.migrations import upgrade
from schemas.tables import ar_contents, videos
from schemas.topics import Topics
from service.kafka.clients import consumer_config, producer_config
from service.kafka.topics import create_topics
from service.observability.logs import configure_logs
from service.settings import KafkaSettings
from streams.kafka.ports import KafkaClients
from streams.kafka.records import InboundRecord
from streams.persist import role as persistence
from streams.persist.role import BATCH
from streams.rows.values import details_of
from tests.doubles.results import a_media, ready
from tests.servers.kafka.apache import ApacheKafka
from tests.servers.postgres import SystemPostgres, new_database, system_binaries

ROWS: Final = 20_000
READY_TOPIC: Final = "thumbnail.ready"


@dataclass(frozen=True)
class Task:
    """What a consumer's process is to do: take `records` records from the topics under `prefix`."""

    servers: str
    database_url: str
    prefix: str
    records: int
    upload: int
    """The number of the first upload of each media: newer than what an earlier slice brought."""

    @property
    def kafka(self) -> KafkaSettings:
        """As the roles have it."""
        return KafkaSettings(
            kafka_bootstrap_servers=self.servers, kafka_topic_prefix=self.prefix, kafka_replication_factor=1
        )


@dataclass(frozen=True)
class Slice:
    """One consumer's run. CPU in microseconds a record: of its process alone, of PostgreSQL's and of Kafka's."""

    records: int
    seconds: float
    cpu_us: float
    postgres_us: float = 0.0
    kafka_us: float = 0.0

    def write(self, out: Path) -> None:
        """Hand it to the parent, whole or not at all."""
        part = out.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)))
        part.rename(out)

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds


def consume_ours(task: Task, out: Path) -> None:
    """The persist role as it is in production, its logs included."""
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    configure_logs("json", "INFO", role="persist")
    first: list[tuple[float, float]] = []
    name = "read_records"
    read_records = getattr(persistence, name)

    def timed_read(consumer: Consumer, limit: int, timeout_s: float, **more: Any) -> list[InboundRecord]:
        records: list[InboundRecord] = read_records(consumer, limit, timeout_s, **more)
        if records and not first:
            first.append((time.perf_counter(), time.process_time()))
        return records

    setattr(persistence, name, timed_read)
    metrics = Metrics()
    consumer = Consumer(consumer_config(task.kafka, f"{task.prefix}persist"))
    clients = KafkaClients(consumer, Producer(producer_config(task.kafka)))
    options = persistence.PersistOptions("persist", Topics(task.prefix))
    role = persistence.PersistRole(clients, options, create_engine_for(task.database_url), metrics)

    def stop_when_done() -> None:
        done, failed = (metrics.task_execution_total.labels("persist", status) for status in ("success", "failed"))
        while done._value.get() + failed._value.get() < task.records:  # noqa: SLF001 - no public way to read it
            time.sleep(0.002)
        started, cpu = first[0]
        seconds = time.perf_counter() - started
        Slice(task.records, seconds, (time.process_time() - cpu) * 1e6 / task.records).write(out)
        role.stop()

    threading.Thread(target=stop_when_done).start()
    role.run()


class _Base(orm.DeclarativeBase):
    pass


class _Video(_Base):
    __table__ = videos
    content: orm.Mapped["_Content"] = orm.relationship("_Content")


class _Content(_Base):
    __table__ = ar_contents


def consume_by_orm(task: Task, out: Path) -> None:
    """What one would write with an ORM: load the row, compare, set, commit; offsets follow without being waited for."""
    consumer = Consumer(consumer_config(task.kafka, f"{task.prefix}orm"))
    consumer.subscribe([f"{task.prefix}{READY_TOPIC}"])
    session = orm.Session(create_engine_for(task.database_url))
    started = cpu = 0.0
    done = 0
    while done < task.records:
        message = consumer.poll(1.0)
        if message is None or message.error() is not None:
            continue
        started, cpu = started or time.perf_counter(), cpu or time.process_time()
        _store_by_orm(session, ThumbnailReady.model_validate_json(message.value() or b""))
        consumer.commit(message=message, asynchronous=True)
        done += 1
    seconds = time.perf_counter() - started
    Slice(done, seconds, (time.process_time() - cpu) * 1e6 / done).write(out)
    consumer.close()


def _store_by_orm(session: orm.Session, result: ThumbnailReady) -> None:
    video: Any = session.get(_Video, result.media.id)  # its attributes are the table's columns
    if (
        video is not None
        and video.content.company_id == result.company_id
        and (video.thumbnail_occurred_at is None or video.thumbnail_occurred_at < result.occurred_at)
    ):
        video.thumbnail_url = result.thumbnail_url
        video.thumbnails = [rendition.model_dump(mode="json") for rendition in result.renditions]
        video.thumbnail_placeholder = result.placeholder
        video.thumbnail_status, video.thumbnail_error = "ready", None
        video.thumbnail_event_id = result.upload_event_id
        video.thumbnail_occurred_at = result.occurred_at
        video.thumbnail_updated_at = datetime.now(UTC)
    session.commit()


_COPIED: Final = {
    "id": "integer",
    "thumbnail_event_id": "text",
    "thumbnail_occurred_at": "timestamptz",
    "thumbnail_status": "text",
    "thumbnail_url": "text",
    "thumbnails": "json",
    "thumbnail_placeholder": "text",
    "thumbnail_details": "json",
}


def copy_and_update(task: Task, out: Path) -> None:
    """Write the rows of so many results by the least that PostgreSQL must do for them; they are made before the clock starts."""
    batches = [
        [_copied(a_result(task.upload + number // ROWS, number % ROWS + 1)) for number in range(first, first + BATCH)]
        for first in range(0, task.records, BATCH)
    ]
    columns = ", ".join(f"{name} {kind}" for name, kind in _COPIED.items())
    changes = ", ".join(f"{name} = given.{name}" for name in _COPIED if name != "id")
    update = f"UPDATE videos SET {changes}, thumbnail_updated_at = now() FROM given WHERE videos.id = given.id"  # noqa: S608 - constants
    with psycopg.connect(sa.make_url(task.database_url).set(drivername="postgresql").render_as_string(False)) as server:
        started, cpu = time.perf_counter(), time.process_time()
        for batch in batches:
            with server.transaction(), server.cursor() as cursor:
                cursor.execute(f"CREATE TEMPORARY TABLE given ({columns}) ON COMMIT DROP")
                with cursor.copy("COPY given FROM STDIN") as copy:
                    for row in batch:
                        copy.write_row(row)
                cursor.execute(update)
                if cursor.rowcount != len(batch):
                    raise AssertionError("Rows are missing.")
        seconds = time.perf_counter() - started
        Slice(task.records, seconds, (time.process_time() - cpu) * 1e6 / task.records).write(out)


def _copied(result: ThumbnailReady) -> tuple[object, ...]:
    shown = (result.media.id, result.upload_event_id, result.occurred_at, "ready", result.thumbnail_url)
    return *shown, to_json(result.renditions).decode(), result.placeholder, json.dumps(details_of(result))


def a_result(upload: int, media_id: int, thumbnail_url: str = "http://x/medium.webp") -> ThumbnailReady:
    """Three renditions and a placeholder, as the worker writes them: about 1,800 bytes."""
    media = a_media(media_id, MediaKind.VIDEO)
    result = ready(upload, media, placeholder="1QcSHQRnh493V4dIh4eXh1h4kJUI", thumbnail_url=thumbnail_url)
    (medium,) = result.renditions
    renditions = tuple(
        RenditionInfo.model_validate(medium.model_dump() | {"name": name, "sha256": "ab" * 32})
        for name in ("small", "medium", "large")
    )
    return result.model_copy(update={"renditions": renditions})


def fill(task: Task, *, mixed: bool) -> None:
    """Put the slice's records onto the topic."""
    upload = task.upload
    create_topics(task.kafka)
    producer = Producer(producer_config(task.kafka) | {"queue.buffering.max.messages": 1_000_000})
    generator = random.Random(upload)  # noqa: S311 - a fixed seed
    number = 0
    while number < task.records:
        media_id = number % ROWS + 1
        value = write_event(a_result(upload + number // ROWS, media_id))
        if mixed and generator.random() < 0.001:
            refused = a_result(upload + number // ROWS, media_id, thumbnail_url="x" * 3000)
            value = generator.choice([b"not JSON", write_event(refused)])
        headers = context_headers(
            event_type=THUMBNAIL_READY_TYPE, event_id=str(number), occurred_at=datetime.now(UTC), subject="x"
        )
        times = 2 if mixed and generator.random() < 0.25 else 1  # of the records, one in five is a repeat
        for _ in range(min(times, task.records - number)):
            producer.produce(f"{task.prefix}{READY_TOPIC}", value, f"video:{media_id}".encode(), headers=[*headers])
            producer.poll(0)
            number += 1
    producer.flush()


def set_up(database_url: str) -> None:
    """The schema, one company, and a video a row."""
    upgrade(database_url)
    engine = create_engine_for(database_url)
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO companies (id, name, slug) VALUES (1, 'acme', 'acme')",
            "INSERT INTO projects (id, company_id, name) VALUES (1, 1, 'p')",
            "INSERT INTO ar_contents (id, project_id, company_id, unique_id) SELECT n, 1, 1, n FROM generate_series(1, :n) n",
            "INSERT INTO videos (id, ar_content_id) SELECT n, n FROM generate_series(1, :n) n",
        ):
            connection.execute(sa.text(statement), {"n": ROWS} if ":n" in statement else {})
    engine.dispose()


_CONSUMERS: Final = {"orm": consume_by_orm, "floor": copy_and_update}


@dataclass(frozen=True)
class Servers:
    """The servers that all slices share."""

    kafka: ApacheKafka
    postgres: SystemPostgres
    bootstrap: str

    def cpu_s(self) -> tuple[float, float]:
        """CPU seconds of PostgreSQL and of Kafka so far."""
        return tree_cpu_s(self.postgres.pid), tree_cpu_s(self.kafka.pid)


def tree_cpu_s(pid: int) -> float:
    """CPU seconds of a process and of all below it, those that have ended included."""
    tree = psutil.Process(pid)
    of_living = sum(sum(one.cpu_times()[:2]) for one in (tree, *tree.children(recursive=True)))
    return float(of_living + sum(tree.cpu_times()[2:4]))


def run_slice(name: str, servers: Servers, task: Task, checkout: Path) -> Slice:
    """Fill a topic of its own, and consume it in a process of its own, by the code of `checkout`."""
    if name != "floor":
        fill(task, mixed=name == "mixed")
    time.sleep(1.0)  # the broker's and the database's own work on what was before
    before = servers.cpu_s()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "slice.json"
        command = [str(checkout / ".venv/bin/python"), "-m", "benchmarks.persistence", "--consume", name]
        command += ["--task", json.dumps(asdict(task)), "--out", str(out)]
        subprocess.run(command, cwd=checkout, check=True)
        found = Slice(**json.loads(out.read_text()))
    postgres_us, kafka_us = (
        (after - earlier) * 1e6 / task.records for after, earlier in zip(servers.cpu_s(), before, strict=True)
    )
    return replace(found, postgres_us=postgres_us, kafka_us=kafka_us)


def measure(records: dict[str, int], slices: int, checkouts: Mapping[str, Path]) -> dict[str, list[Slice]]:
    """Slices by the consumer's name, taken in turns."""
    binaries = system_binaries()
    if binaries is None:
        raise SystemExit("Install the package postgresql.")
    kafka, postgres = ApacheKafka(), SystemPostgres(binaries, fsync=True)
    found: dict[str, list[Slice]] = {name: [] for name in records}
    try:
        bootstrap, server_url = kafka.start(), postgres.start()
        servers = Servers(kafka, postgres, bootstrap)
        urls = {name: new_database(server_url) for name in records}
        for url in urls.values():
            set_up(url)
        for number in range(slices):
            for name, count in records.items():
                prefix = f"bench-{uuid.uuid4().hex[:8]}."
                task = Task(bootstrap, urls[name], prefix, count, upload=1 + 1000 * number)
                found[name].append(run_slice(name, servers, task, checkouts.get(name, Path.cwd())))
                print(f"{name}: {found[name][-1]}", file=sys.stderr)
    finally:
        postgres.stop()
        kafka.stop()
    return found


def main() -> int:
    """Print the table; 1 when the role is not ten times as fast as the ORM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--orm-events", type=int, default=3_000)
    parser.add_argument("--slices", type=int, default=4)
    parser.add_argument("--without", nargs="*", default=[], choices=["orm", "mixed", "floor"])
    parser.add_argument("--base", type=Path)
    parser.add_argument("--json", type=Path)
    for name in ("--consume", "--task", "--out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.consume:
        task = Task(**json.loads(options.task))
        _CONSUMERS.get(options.consume, consume_ours)(task, Path(options.out))
        return 0
    load = os.getloadavg()[0]
    whole = -(-options.events // BATCH) * BATCH
    records = {"base": options.events} if options.base else {}
    records |= {"ours": options.events, "floor": whole, "orm": options.orm_events, "mixed": options.events}
    records = {name: count for name, count in records.items() if name not in options.without}
    found = measure(records, options.slices, {"base": options.base} if options.base else {})
    print_table(found)
    print(f"{os.cpu_count()} cores, load average {load:.1f} before and {os.getloadavg()[0]:.1f} after.")
    if options.json:
        options.json.write_text(json.dumps({name: [asdict(one) for one in ones] for name, ones in found.items()}))
    if "orm" not in found:
        return 0
    return 0 if median_rate(found["ours"]) >= 10 * median_rate(found["orm"]) else 1


def median_rate(slices: list[Slice]) -> float:
    """Records a second."""
    return statistics.median(one.rate for one in slices)


def print_table(found: dict[str, list[Slice]]) -> None:
    """Print a line for each consumer."""
    titles = ("consumer", "median /s", "worst /s", "best /s", "CPU us each", "PostgreSQL's", "Kafka's")
    compared = [name for name in ("base", "floor", "orm") if name in found]
    table = Table(*titles, *(f"times {name}" for name in compared))
    for name, slices in found.items():
        rates = [one.rate for one in slices]
        figures = [statistics.median(rates), min(rates), max(rates)]
        figures += [
            statistics.median(getattr(one, of) for one in slices) for of in ("cpu_us", "postgres_us", "kafka_us")
        ]
        ratios = [f"{median_rate(slices) / median_rate(found[other]):.2f}" for other in compared]
        table.add_row(name, *(f"{figure:,.0f}" for figure in figures), *ratios)
    Console().print(table)


if __name__ == "__main__":
    raise SystemExit(main())
