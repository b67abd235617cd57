"""`thumbnails reconcile` on Kafka, PostgreSQL, MinIO and local storage: killed and resumed, all found, all repaired."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, TopicPartition

from schemas.cloudevents import read_event
from schemas.database import create_engine_for, write_transaction
from schemas.events import MEDIA_UPLOADED_TYPE, THUMBNAIL_READY_TYPE, MediaUploaded, ThumbnailReady
from schemas.migrations import upgrade
from schemas.tables import storage_connections
from service.kafka.clients import consumer_config
from service.kafka.topics import create_topics
from service.roles.build_storage import build_tenants
from service.settings import KafkaSettings, Settings
from storage.local_disk.provider import LocalStorageProvider
from streams.kafka.messages import headers_of
from tests.contracts.conftest import a_minio
from tests.doubles.library import Library, Shelf, Workers, add_company, problems_of
from tests.servers.s3.server import S3Server

MEDIA = 240
"""With three objects each."""
TROUBLES = 60
LOCAL_URL = "http://localhost:8000/storage"
NAMES = {"overtaken": "orphan", "given_up": "orphan"}


@dataclass
class Installation:
    """acme in MinIO, globex in local storage, and initech, whose storage refuses us."""

    settings: KafkaSettings
    environment: dict[str, str]
    engine: sa.Engine
    library: Library
    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        common = ("--json", "--grace", "0s", "--stuck-after", "0s", "--rate", "1000", "--max-waiting", "10000")
        command = [sys.executable, "-m", "service", "reconcile", "--state", str(self.folder / "state.json"), *common]
        return subprocess.Popen(
            [*command, *arguments],
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def run(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        process = self.start(*arguments)
        try:
            said, problem = process.communicate(timeout=120)
        finally:
            process.kill()
            process.communicate()
        assert "Traceback" not in problem, problem
        return process.returncode, [json.loads(line) for line in said.splitlines()]

    def announced(self) -> list[MediaUploaded | ThumbnailReady]:
        """What is in media.uploaded and thumbnail.ready, each event once."""
        topics = self.settings.topics
        consumer = Consumer(consumer_config(self.settings, "count") | {"auto.offset.reset": "earliest"})
        found: dict[str, MediaUploaded | ThumbnailReady] = {}
        try:
            names = (topics.uploads, topics.ready)
            places = [
                TopicPartition(name, at, 0)
                for name in names
                for at in consumer.list_topics(name).topics[name].partitions
            ]
            left = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
            consumer.assign(places)
            while left > 0:
                for message in consumer.consume(left, timeout=10):
                    assert message.error() is None
                    left -= 1
                    event: MediaUploaded | ThumbnailReady
                    if message.topic() == topics.uploads:
                        event = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, message.value(), headers_of(message))
                    else:
                        event = read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, message.value(), headers_of(message))
                    assert message.key() == event.media.record_key.encode()
                    found[event.event_id] = event
        finally:
            consumer.close()
        return list(found.values())

    def work(self) -> None:
        """What workers and persist make of it; nothing waits afterwards."""
        settings = Settings()
        Workers(self.engine, build_tenants(settings, self.engine)).work(self.announced())
        group, topics = f"{self.settings.kafka_topic_prefix}thumbnails", self.settings.topics
        self._commit(group, topics.uploads)
        self._commit(f"{group}-persist", topics.ready)

    def _commit(self, group: str, topic: str) -> None:
        consumer = Consumer(consumer_config(self.settings, group))
        try:
            places = [TopicPartition(topic, at) for at in consumer.list_topics(topic).topics[topic].partitions]
            ends = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
            done = [TopicPartition(topic, place.partition, end) for place, end in zip(places, ends, strict=True)]
            consumer.commit(offsets=done, asynchronous=False)
        finally:
            consumer.close()


@pytest.fixture
def installation(
    kafka: str,
    topic_prefix: str,
    postgres_url: str,
    s3_server: S3Server,
    s3_bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Installation]:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "WORKER_GROUP": f"{topic_prefix}thumbnails",
        "DATABASE_URL": postgres_url,
        "LOCAL_STORAGE_ROOT": str(tmp_path / "local"),
        "LOCAL_STORAGE_URL": LOCAL_URL,
        "STORAGE_ALLOW_HTTP": "true",
        "STORAGE_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = KafkaSettings(kafka_bootstrap_servers=kafka, kafka_topic_prefix=topic_prefix, kafka_replication_factor=1)
    create_topics(settings)
    upgrade(postgres_url)
    engine = create_engine_for(postgres_url)
    login = {"bucket": s3_bucket, "access_key": s3_server.access_key, "secret_key": s3_server.secret_key}
    with write_transaction(engine) as connection:
        for number, changes in ((1, {}), (2, {"secret_key": "changed-meanwhile"})):
            row = {"id": number, "name": f"s3-{number}", "provider": "minio"}
            credentials = {"endpoint": s3_server.endpoint_url, **login, **changes}
            connection.execute(sa.insert(storage_connections).values(**row, credentials=credentials))
    for number, slug, connection_id in ((1, "acme", 1), (2, "globex", None), (3, "initech", 2)):
        add_company(engine, number, slug, connection_id)
    local = LocalStorageProvider(tmp_path / "local", LOCAL_URL)
    minio = a_minio(s3_server, s3_bucket, "", public_base_url=None)
    library = Library(engine, [Shelf(1, "acme", minio, local), Shelf(2, "globex", local, local)])
    library.fill(MEDIA, TROUBLES, threads=8, own_every=4)
    yield Installation(settings, environment, engine, library, tmp_path)
    minio.close()
    engine.dispose()


@pytest.mark.slow
@pytest.mark.timeout(400)  # thousands of objects are put into MinIO, and deleted at the end
def test_paused_killed_and_resumed_all_troubles_are_repaired_and_nothing_else_touched(
    installation: Installation,
) -> None:
    library = installation.library
    rows, objects = library.rows(), library.objects()
    expected = {(media, NAMES.get(trouble, trouble)) for media, trouble in library.planted.items()}
    assert len(expected) == TROUBLES

    process = installation.start("--rate", "20")
    try:
        assert process.stdout is not None
        begun = process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        rest, problem = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "go on with `thumbnails reconcile --resume" in problem
    code, said = installation.run("--resume")
    said = [json.loads(line) for line in [begun, *rest.splitlines()]] + said
    found = [(one["media"], one["trouble"]) for one in said if "trouble" in one]
    assert (code, set(found), len(found)) == (1, expected, TROUBLES)
    companies = {one["slug"]: one for one in said if one.get("state") in ("compared", "failed")}
    assert {slug: one["state"] for slug, one in companies.items()} == {
        "acme": "compared",
        "globex": "compared",
        "initech": "failed",
    }
    assert "the secret key is wrong" in companies["initech"]["reason"]
    assert companies["acme"]["objects"] + companies["globex"]["objects"] == len(objects)
    assert (library.rows(), library.objects(), installation.announced()) == (rows, objects, [])

    first = installation.start("--fix")
    try:
        assert first.stdout is not None
        repaired = 0
        while repaired < 10:
            repaired += "trouble" in json.loads(first.stdout.readline())  # beside lines that say how far it is
        os.kill(first.pid, signal.SIGKILL)
    finally:
        first.kill()
        first.communicate(timeout=30)
    metrics = installation.folder / "reconcile.prom"
    code, said = installation.run("--resume", "--metrics-file", str(metrics))
    assert (code, said[-1]["state"]) == (1, "done"), "initech's storage refuses us"
    # An upload counts as stuck at once here, and what this command itself sent waits until a worker has done it.
    assert {one["done"] for one in said if "trouble" in one} <= {"deleted", "announced", "waits"}
    assert 'thumbnail_reconcile_companies{state="failed"} 1.0' in metrics.read_text()
    assert not (installation.folder / "state.json").exists()

    installation.work()
    code, said = installation.run("--fix")
    assert {one["done"] for one in said if "trouble" in one} <= {"deleted", "announced"}
    installation.work()
    assert problems_of(library) == []
    after = library.objects()
    assert {at: one for at, one in after.items() if library.untouched(at[1])} == {
        at: one for at, one in objects.items() if library.untouched(at[1])
    }
    assert {name: row for name, row in library.rows().items() if library.untouched(name)} == {
        name: row for name, row in rows.items() if library.untouched(name)
    }
    code, said = installation.run("--company", "acme")
    assert (code, [one for one in said if "trouble" in one]) == (0, [])
