"""`thumbnails backfill` on a real broker and PostgreSQL: killed and resumed, each row once, and live uploads win."""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.cloudevents import read_event
from schemas.database import write_transaction
from schemas.events import MEDIA_UPLOADED_TYPE, MediaKind, MediaUploaded
from schemas.tables import ar_contents, videos
from service.kafka.clients import consumer_config, producer_config
from service.kafka.topics import create_topics
from service.publish.uploads import publish_uploads
from service.settings import KafkaSettings
from streams.rows.upsert import apply_results
from tests.doubles.results import a_database, a_media, ready
from tests.integration.test_roles_on_kafka import Reader, wait_until
from tests.system.stack import Command

ROWS = 300
PHOTOGRAPHS = range(1, 101)
LIVE = range(150, 160)


@dataclass
class Installation:
    """Topics under a prefix, and an old library of 200 videos and 100 photographs."""

    settings: KafkaSettings
    url: str
    engine: sa.Engine
    reader: Reader
    state: Path

    def start(self, *arguments: str) -> Command:
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": self.settings.kafka_topic_prefix,
            "WORKER_GROUP": f"{self.settings.kafka_topic_prefix}thumbnails",
            "DATABASE_URL": self.url,
        }
        return Command(environment, "backfill", "--state", str(self.state), "--json", *arguments)

    def run(self, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
        done = self.start(*arguments).wait(60)
        assert "Traceback" not in done.stderr
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def uploads(self) -> list[MediaUploaded]:
        """All that is in media.uploaded, in its order within each media."""
        wait_until(lambda: self.reader.has(self._count()))
        found = [read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, one.value, one.headers) for one in self.reader.records]
        assert all(
            one.key == event.media.record_key.encode() for one, event in zip(self.reader.records, found, strict=True)
        )
        return found

    def _count(self) -> int:
        topic = self.settings.topics.uploads
        consumer = Consumer(consumer_config(self.settings, "count"))
        places = [TopicPartition(topic, number) for number in consumer.list_topics(topic).topics[topic].partitions]
        count = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
        consumer.close()
        return count

    def publish(self, uploads: list[MediaUploaded]) -> None:
        publish_uploads(Producer(producer_config(self.settings)), uploads, topic=self.settings.topics.uploads)

    def work(self, upload: MediaUploaded) -> None:
        """What a worker and the persist role make of an upload."""
        result = ready(0, upload.media, occurred_at=upload.occurred_at)
        said = {"upload_event_id": upload.event_id, "produced_at": datetime.now(UTC)}
        with write_transaction(self.engine) as connection:
            apply_results(connection, [result.model_copy(update=said)], now=datetime.now(UTC))

    def shown(self, kind: MediaKind) -> dict[int, str | None]:
        table = videos if kind is MediaKind.VIDEO else ar_contents
        with self.engine.connect() as connection:
            found = connection.execute(sa.select(table.c.id, table.c.thumbnail_event_id))
            return {row.id: row.thumbnail_event_id for row in found}


@pytest.fixture
def installation(kafka: str, topic_prefix: str, postgres_url: str, tmp_path: Path) -> Iterator[Installation]:
    settings = KafkaSettings(kafka_bootstrap_servers=kafka, kafka_topic_prefix=topic_prefix, kafka_replication_factor=1)
    create_topics(settings)
    engine = a_database(postgres_url, range(1, ROWS + 1))
    with write_transaction(engine) as connection:
        connection.execute(sa.delete(videos).where(videos.c.id.in_(PHOTOGRAPHS)))
        connection.execute(sa.update(videos).values(video_path="acme/uploads/a.mp4"))
        photographs = sa.update(ar_contents).where(ar_contents.c.id.in_(PHOTOGRAPHS))
        connection.execute(photographs.values(image_path="acme/uploads/p.jpg"))
    reader = Reader(settings, "media.uploaded")
    yield Installation(settings, postgres_url, engine, reader, tmp_path / "state.json")
    reader.close()
    engine.dispose()


def live_upload(row_id: int) -> MediaUploaded:
    return MediaUploaded(event_id=f"live-{row_id}", occurred_at=datetime.now(UTC), company_id=1, media=a_media(row_id))


def test_killed_in_the_middle_and_resumed_each_row_is_announced_once_and_live_uploads_win(
    installation: Installation,
) -> None:
    before = [live_upload(row_id) for row_id in LIVE]  # they happened before it began, and wait
    installation.publish(before)
    code, said = installation.run("--dry-run")
    assert (code, said[-1]["events"], len(installation.uploads())) == (0, ROWS, len(LIVE)), "a dry run sends nothing"

    pace = ("--max-waiting", "10000", "--rate", "40")
    first = installation.start(*pace)
    try:
        wait_until(lambda: len(installation.uploads()) >= 100)
    finally:
        first.send_signal(signal.SIGKILL)
        assert first.wait(30).returncode == -signal.SIGKILL
    sent = len(installation.uploads()) - len(LIVE)
    assert 0 < sent < ROWS

    # Half of what was sent is shown by now.
    of_backfill = [upload for upload in installation.uploads() if upload.event_id.startswith("backfill-")]
    for upload in of_backfill[: sent // 2]:
        installation.work(upload)
    during = [live_upload(row_id) for row_id in range(201, 206)]
    installation.publish(during)
    assert installation.run(*pace)[0] == 2, "it is not started again by mistake"
    code, said = installation.run("--resume", *pace)
    assert (code, said[-1]["state"]) == (0, "done")
    assert not installation.state.exists()

    uploads = installation.uploads()
    events = {upload.event_id: upload for upload in uploads if upload.event_id.startswith("backfill-")}
    rows = Counter((event.media.kind, event.media.row_id) for event in events.values())
    assert len(rows) == ROWS
    assert set(rows.values()) == {1}
    repeated = len(uploads) - len(before) - len(during) - ROWS
    assert 0 <= repeated <= 40, "the batch that was in flight, with the same ids"

    for upload in uploads:  # in the order of the topic: the live ones that waited come first
        installation.work(upload)
    expected = {event.media.row_id: id_ for id_, event in events.items() if event.media.kind is MediaKind.VIDEO}
    live = {upload.media.row_id: upload.event_id for upload in (*before, *during)}
    assert installation.shown(MediaKind.VIDEO) == expected | live
    shown = installation.shown(MediaKind.IMAGE)
    assert {shown[row_id] for row_id in PHOTOGRAPHS} <= events.keys()

    code, said = installation.run(*pace)
    assert (code, said[-1]["sent"]) == (0, 0), "a second run finds nothing to do"


def test_ctrl_c_pauses_it_and_what_waits_for_the_workers_is_bounded(installation: Installation) -> None:
    """No worker runs: it sends as many as may wait, and then nothing more."""
    installation.publish([live_upload(row_id) for row_id in range(201, 204)])
    process = installation.start("--max-waiting", "25", "--kind", "video")
    try:
        wait_until(lambda: len(installation.uploads()) >= 25)
    finally:
        process.send_signal(signal.SIGINT)
        done = process.wait(30)
    assert done.returncode == 130
    assert "go on with `thumbnails backfill --resume" in done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["state"], last["sent"]) == ("paused", 22), "three live uploads wait, too"
    assert len(installation.uploads()) == 25

    code, said_again = installation.run("--resume", "--max-waiting", "10000")
    assert (code, said_again[-1]["sent"]) == (0, 200)
    of_backfill = Counter(
        upload.event_id for upload in installation.uploads() if upload.event_id.startswith("backfill-")
    )
    assert (len(of_backfill), set(of_backfill.values())) == (200, {1})


def test_rows_that_lack_something_are_named_and_the_exit_code_says_so(installation: Installation) -> None:
    with write_transaction(installation.engine) as connection:
        connection.execute(sa.update(videos).where(videos.c.id == 150).values(video_path=None))
        connection.execute(sa.update(videos).where(videos.c.id == 151).values(video_path="globex/x.mp4"))
    code, said = installation.run("--company", "acme", "--kind", "video", "--max-waiting", "10000")
    assert (code, said[-1]["sent"]) == (1, 198)
    assert said[-1]["left_out"] == {
        "no_key": {"rows": 1, "examples": ["video:150"]},
        "bad_key": {"rows": 1, "examples": ["video:151"]},
    }
