"""A library of 100,000 objects with 500 planted troubles: all found, all repaired, nothing else touched; time and memory.

Run: python -m benchmarks.reconcile [--media 33334] [--troubles 500] [--in-s3 4] [--quick]. Real Apache Kafka, PostgreSQL and
MinIO; one media of --in-s3 is in MinIO, the others are in local storage. --quick takes SQLite and another folder instead, and
repairs in this process, without Kafka. The commands are processes of their own, whose peak memory the
kernel tells; one over an empty library shows what the program itself takes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from confluent_kafka import Consumer, TopicPartition

from schemas.cloudevents import read_event
from schemas.database import create_engine_for, write_transaction
from schemas.events import MEDIA_UPLOADED_TYPE, THUMBNAIL_READY_TYPE, MediaUploaded, ThumbnailReady
from schemas.migrations import upgrade
from schemas.tables import storage_connections
from service.cli.reconcile_view import ReconcileView
from service.kafka.clients import consumer_config
from service.kafka.topics import create_topics
from service.reconcile.fixes import Announcer
from service.reconcile.look import LookOptions
from service.reconcile.pace import LookPace
from service.reconcile.rows import CompanyRows
from service.reconcile.runner import ReconcileOptions, Reconciler
from service.reconcile.state import Reconciliation, StateFile
from service.roles.build_storage import build_tenants
from service.settings import KafkaSettings, Settings
from storage.base import StorageProvider, StoredObject
from storage.local_disk.provider import LocalStorageProvider
from streams.kafka.messages import headers_of
from streams.rows.companies import SqlCompanyDirectory
from tests.contracts.conftest import a_minio
from tests.doubles.library import Library, Shelf, Workers, add_company, problems_of
from tests.servers.kafka.apache import ApacheKafka
from tests.servers.postgres import SystemPostgres, new_database, system_binaries
from tests.servers.s3.minio import LocalMinio
from tests.servers.s3.server import S3Server

PREFIX: Final = "reconcile."
LOCAL_URL: Final = "http://localhost:8000/storage"
COMMAND: Final = (sys.executable, "-m", "service", "reconcile", "--json")
FAST: Final = ("--grace", "0s", "--stuck-after", "0s", "--rate", "1000", "--max-waiting", "100000")

Event = MediaUploaded | ThumbnailReady


class QuickDisk(LocalStorageProvider):
    """Fills a disk without a sync for each file."""

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:  # noqa: ARG002 - the port's signature
        """Write the file."""
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return StoredObject(key, len(content), "", "")


@dataclass(frozen=True)
class Run:
    """What a command said and took: seconds, seconds of processor time, and MiB at its peak."""

    code: int
    said: list[dict[str, Any]]
    took_s: float
    cpu_s: float
    peak_mib: float

    @property
    def troubles(self) -> list[dict[str, Any]]:
        """What it found."""
        return [one for one in self.said if "trouble" in one]


def reconcile(environment: dict[str, str], folder: Path, *arguments: str) -> Run:
    state = ("--state", str(folder / "state.json"))
    with (folder / "said").open("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen([*COMMAND, *state, *arguments], env=os.environ | environment, stdout=said)
        peak_kib = 0
        # Not ru_maxrss: it begins with the memory of the process that started it.
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak_kib = max(peak_kib, _peak_kib(process.pid))
            time.sleep(0.1)
        _, status, usage = ended
        process.returncode = os.waitstatus_to_exitcode(status)
        took_s = time.perf_counter() - began
        said.seek(0)
        lines = [json.loads(line) for line in said]
    cpu_s = usage.ru_utime + usage.ru_stime
    return Run(process.returncode, lines, took_s, cpu_s, peak_kib / 1024)


def _peak_kib(pid: int) -> int:
    """VmHWM of a process, 0 where it has just ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def announced(settings: KafkaSettings) -> list[Event]:
    """Every event of both topics, once."""
    topics, found = settings.topics, dict[str, Event]()
    consumer = Consumer(consumer_config(settings, "count") | {"auto.offset.reset": "earliest"})
    names = (topics.uploads, topics.ready)
    places = [
        TopicPartition(name, at, 0) for name in names for at in consumer.list_topics(name).topics[name].partitions
    ]
    left = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    consumer.assign(places)
    while left > 0:
        for message in consumer.consume(left, timeout=10):
            left -= 1
            event: Event
            if message.topic() == topics.uploads:
                event = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, message.value(), headers_of(message))
            else:
                event = read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, message.value(), headers_of(message))
            found[event.event_id] = event
    consumer.close()
    return list(found.values())


def all_is_done(settings: KafkaSettings) -> None:
    """Commit what workers and persist would have."""
    topics, group = settings.topics, Settings().worker.worker_group
    for name, topic in ((group, topics.uploads), (f"{group}-persist", topics.ready)):
        consumer = Consumer(consumer_config(settings, name))
        places = [TopicPartition(topic, at) for at in consumer.list_topics(topic).topics[topic].partitions]
        ends = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
        done = [TopicPartition(topic, place.partition, end) for place, end in zip(places, ends, strict=True)]
        consumer.commit(offsets=done, asynchronous=False)
        consumer.close()


@contextmanager
def servers() -> Iterator[tuple[str, str, S3Server]]:
    binaries = system_binaries()
    if binaries is None:
        sys.exit("PostgreSQL's initdb is not on this system.")
    with ExitStack() as stack:
        kafka, postgres, minio = ApacheKafka(), SystemPostgres(binaries), LocalMinio()
        for server in (kafka, postgres, minio):
            server.start()
            stack.callback(server.stop)
        yield f"127.0.0.1:{kafka.port}", postgres.url, minio.server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--media", type=int, default=33_334)
    parser.add_argument("--troubles", type=int, default=500)
    parser.add_argument("--in-s3", type=int, default=4)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = {
            "KAFKA_TOPIC_PREFIX": PREFIX,
            "LOCAL_STORAGE_ROOT": str(folder / "local"),
            "LOCAL_STORAGE_URL": LOCAL_URL,
            "STORAGE_ALLOW_HTTP": "true",
            "STORAGE_ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        local = QuickDisk(folder / "local", LOCAL_URL)
        if chosen.quick:
            environment["DATABASE_URL"] = f"sqlite:///{folder / 'rows.db'}"
            own: StorageProvider = QuickDisk(folder / "local" / "home", f"{LOCAL_URL}/home")
            row: dict[str, Any] = {"provider": "local_disk", "base_path": "home", "credentials": {}}
        else:
            kafka, postgres_url, s3 = stack.enter_context(servers())
            environment |= {"KAFKA_BOOTSTRAP_SERVERS": kafka, "DATABASE_URL": new_database(postgres_url)}
            s3.make_bucket("acme")
            own = a_minio(s3, "acme", "", public_base_url=None)
            login = {"bucket": "acme", "access_key": s3.access_key, "secret_key": s3.secret_key}
            row = {"provider": "minio", "credentials": {"endpoint": s3.endpoint_url, **login}}
        os.environ |= environment
        upgrade(environment["DATABASE_URL"])
        engine = create_engine_for(environment["DATABASE_URL"])
        with write_transaction(engine) as connection:
            connection.execute(sa.insert(storage_connections).values(id=1, name="own", **row))
        add_company(engine, 1, "acme", 1)
        add_company(engine, 2, "globex")
        empty = reconcile(environment, folder)
        print(
            f"empty library: {empty.took_s:.1f} s, {empty.cpu_s:.1f} s of processor time, {empty.peak_mib:.0f} MiB",
            flush=True,
        )
        library = Library(engine, [Shelf(1, "acme", own, local), Shelf(2, "globex", local, local)])
        began = time.perf_counter()
        library.fill(chosen.media, chosen.troubles, threads=8, own_every=chosen.in_s3)
        rows, objects = library.rows(), library.objects()
        print(f"filled in {time.perf_counter() - began:.0f} s: {len(rows)} rows, {len(objects)} objects", flush=True)
        repair = repaired_here if chosen.quick else repaired_by_command
        events = repair(library, environment, folder)
        Workers(engine, build_tenants(Settings(), engine)).work(events)
        if not chosen.quick:
            # At --stuck-after 0s an upload is not stuck while anything waits, and what was just announced did.
            all_is_done(KafkaSettings())
            second = reconcile(environment, folder, *FAST, "--fix")
            events = announced(KafkaSettings())
            print(f"--fix again: {Counter(one['trouble'] for one in second.troubles)}", flush=True)
            Workers(engine, build_tenants(Settings(), engine)).work(events)
        again = reconcile(environment, folder, *FAST)
        print(
            f"after {len(events)} events: exit code {again.code}, {len(again.troubles)} troubles, {again.peak_mib:.0f} MiB"
        )
        after_rows, after = library.rows(), library.objects()
        touched = [at for at in objects if library.untouched(at[1]) and after.get(at) != objects[at]]
        touched += [(name, "row") for name in rows if library.untouched(name) and after_rows.get(name) != rows[name]]
        left = problems_of(library)
        print(f"left: {len(left)} {left[:3]}; touched without a reason: {len(touched)} {touched[:3]}", flush=True)
        engine.dispose()
    sys.exit(1 if left or touched else 0)


def compared(library: Library, environment: dict[str, str], folder: Path, *arguments: str) -> None:
    run = reconcile(environment, folder, *FAST, *arguments)
    found = {(one["media"], one["trouble"]) for one in run.troubles}
    names = {"overtaken": "orphan", "given_up": "orphan"}
    expected = {(media, names.get(trouble, trouble)) for media, trouble in library.planted.items()}
    print(
        f"{' '.join(arguments) or 'dry run'}: exit code {run.code}, {run.took_s:.1f} s, {run.cpu_s:.1f} s of processor time,"
        f" {run.peak_mib:.0f} MiB; {len(found & expected)} of {len(expected)} troubles found, {len(found - expected)} others"
    )
    print(f"  {dict(Counter(one['trouble'] for one in run.troubles))}", flush=True)


def repaired_by_command(library: Library, environment: dict[str, str], folder: Path) -> list[Event]:
    settings = KafkaSettings(kafka_replication_factor=1)
    create_topics(settings)
    compared(library, environment, folder)
    compared(library, environment, folder, "--fix")
    return announced(settings)


def repaired_here(library: Library, environment: dict[str, str], folder: Path) -> list[Event]:
    compared(library, environment, folder)
    events: list[Event] = []
    stop, began = threading.Event(), time.perf_counter()
    run = Reconciliation(fix=True)
    Reconciler(
        directory=SqlCompanyDirectory(library.engine),
        tenants=build_tenants(Settings(), library.engine),
        rows=CompanyRows(library.engine),
        options=ReconcileOptions(LookOptions(timedelta(0), timedelta(0)), 1000),
        announcer=Announcer(lambda: None, events.append, events.append, lambda: None),
        pace=LookPace(1000, stop),
        stop=stop,
        save=StateFile(folder / "repaired-here.json").save,
        watcher=ReconcileView(run, as_json=False),
    ).run(run)
    fixed = sum(count.fixed for count in run.counts.values())
    print(
        f"repaired in {time.perf_counter() - began:.1f} s: {fixed} troubles, {sum(run.left.values())} left", flush=True
    )
    return events


if __name__ == "__main__":
    main()
