"""`thumbnails republish` on a real broker and PostgreSQL: what a lost topic said, killed and resumed, and nothing older than the rows."""

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
from confluent_kafka import Producer

from schemas.database import write_transaction
from schemas.events import MediaKind
from schemas.metrics import Metrics
from schemas.tables import ar_contents, videos
from service.kafka.clients import consumers_of, producer_config
from service.kafka.topics import create_topics
from service.settings import KafkaSettings
from streams.kafka.client import send_and_wait
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.kafka.topic_reader import TopicReader
from streams.persist.states import StateSender
from streams.rows.queries import RowStates
from streams.rows.upsert import apply_results
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_database, a_media, failed, moment, ready
from tests.integration.test_roles_on_kafka import wait_until

VIDEOS = range(1, 401)
WITHOUT_RESULT, DELETED, FAILED, GONE = 1, 2, 3, 9_999


@dataclass
class Installation:
    """Topics under a prefix, and a library whose rows show thumbnails, an error, a deletion, and nothing yet."""

    settings: KafkaSettings
    url: str
    engine: sa.Engine
    state: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = os.environ | {
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": self.settings.kafka_topic_prefix,
            "WORKER_GROUP": f"{self.settings.kafka_topic_prefix}thumbnails",
            "DATABASE_URL": self.url,
        }
        command = [sys.executable, "-m", "service", "republish", "--state", str(self.state), "--json", *arguments]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def run(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        process = self.start(*arguments)
        try:
            said, problem = process.communicate(timeout=60)
        finally:
            process.kill()
            process.communicate()
        assert "Traceback" not in problem
        return process.returncode, json.loads((said.splitlines() or ["{}"])[-1])

    def records(self) -> list[InboundRecord]:
        with TopicReader(consumers_of(self.settings, "reader"), self.settings.topics.state) as reader:
            return list(reader.read(reader.extents()))

    def states(self) -> dict[str, dict[str, Any] | None]:
        last = {(one.key or b"").decode(): one.value for one in self.records()}
        return {key: json.loads(value) if value else None for key, value in last.items()}

    def shown(self) -> dict[str, str | None]:
        return {key: state["upload_event_id"] if state else None for key, state in self.states().items()}

    def send_raw(self, key: str, value: bytes | None) -> None:
        record = OutboundRecord(self.settings.topics.state, key.encode(), value, ())
        send_and_wait(Producer(producer_config(self.settings)), [record])


@pytest.fixture
def installation(kafka: str, topic_prefix: str, postgres_url: str, tmp_path: Path) -> Iterator[Installation]:
    settings = KafkaSettings(kafka_bootstrap_servers=kafka, kafka_topic_prefix=topic_prefix, kafka_replication_factor=1)
    create_topics(settings)
    engine = a_database(postgres_url, VIDEOS)
    results = [ready(1, a_media(number)) for number in VIDEOS if number != WITHOUT_RESULT]
    with write_transaction(engine) as connection:
        apply_results(connection, [*results, failed(2, a_media(FAILED))], now=NOW)
        apply_results(connection, [ready(1, a_media(5, MediaKind.IMAGE))], now=NOW)
        connection.execute(sa.update(ar_contents).where(ar_contents.c.id > 390).values(company_id=2))
    RowStates(engine, now=lambda: moment(5)).mark_deleted(MediaKind.VIDEO, DELETED, moment(5))
    yield Installation(settings, postgres_url, engine, tmp_path / "state.json")
    engine.dispose()


def wanted() -> dict[str, str | None]:
    of_videos = {f"video:{number}": "upload-1" for number in VIDEOS if number != WITHOUT_RESULT}
    return of_videos | {f"video:{DELETED}": None, f"video:{FAILED}": "upload-2", "ar_content:5": "upload-1"}


def test_a_lost_topic_comes_back_also_when_the_command_is_killed_and_what_no_row_has_goes(
    installation: Installation,
) -> None:
    installation.send_raw(f"video:{GONE}", b"{}")
    code, said = installation.run("--dry-run")
    assert (code, said["state"], said["states"]) == (0, "dry_run", len(VIDEOS))
    assert len(installation.records()) == 1, "a dry run sends nothing"

    first = installation.start("--rate", "200")
    try:
        wait_until(lambda: len(installation.records()) > 150)
        os.kill(first.pid, signal.SIGKILL)
    finally:
        first.kill()
        first.communicate(timeout=30)
    code, said = installation.run()
    assert code == 2, "a run that was interrupted is not begun again by accident"
    code, said = installation.run("--resume")
    assert (code, said["state"], said["gone"]) == (0, "done", 1)
    assert not installation.state.exists()
    assert installation.shown() == wanted() | {f"video:{GONE}": None}
    once = {(one.key, one.value) for one in installation.records()}
    assert installation.run("--rate", "5000")[0] == 0
    assert {(one.key, one.value) for one in installation.records()} == once, "the same rows have the same bytes"


def test_a_company_and_a_time_choose_the_rows(installation: Installation) -> None:
    assert installation.run("--company", "globex")[1]["sent"] == 10
    assert set(installation.shown()) == {f"video:{number}" for number in range(391, 401)}
    with write_transaction(installation.engine) as connection:
        later = sa.update(videos).where(videos.c.id == 7).values(thumbnail_updated_at=moment(3600))
        connection.execute(later)
    assert installation.run("--since", moment(3000).isoformat())[1]["sent"] == 1
    assert "video:7" in installation.shown()


def test_a_state_that_persist_has_sent_meanwhile_is_never_followed_by_an_older_one(installation: Installation) -> None:
    """Rows change, and their states are sent, all the while."""
    producer = Producer(producer_config(installation.settings))
    sender = StateSender(installation.engine, installation.settings.topics.state, Metrics())
    process = installation.start("--rate", "400")
    number = 2
    while process.poll() is None:
        number += 1
        with write_transaction(installation.engine) as connection:
            apply_results(connection, [ready(number, a_media(media)) for media in (10, 150, 390)], now=NOW)
        media = [(MediaKind.VIDEO, media) for media in (10, 150, 390)]
        sender.send(media, lambda records: send_and_wait(producer, records))
    process.communicate()
    newest: dict[bytes | None, int] = {}
    for record in installation.records():
        if record.value is not None:
            revision = json.loads(record.value)["revision"]
            assert revision >= newest.get(record.key, 0)
            newest[record.key] = revision
    assert newest[b"video:150"] == number - 1
    assert len(newest) == len(VIDEOS) - 1
