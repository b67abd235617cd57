"""The persist role dies by SIGKILL between any two of its side effects: its successor leaves nothing undone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.tables import videos
from schemas.topics import ALL_TOPICS
from service.kafka.clients import client_config, consumer_config, producer_config
from service.kafka.topics import create_topics, delete_topics
from service.settings import KafkaSettings
from streams.kafka.client import send_and_wait
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.rows.upsert import Result
from tests.doubles.dying_persist import GROUP, STEPS, a_role
from tests.doubles.results import a_database, a_media, failed, ready
from tests.integration.test_roles_on_kafka import Reader, a_result, running, wait_until
from tests.servers.postgres import drop_database, new_database

GONE = 999
FRESH, TWICE, GIVEN_UP, FOREIGN = 40, 41, 42, 43
RESULTS: list[Result] = [
    ready(1, a_media(FRESH)),
    ready(1, a_media(TWICE)),
    ready(3, a_media(TWICE)),
    ready(2, a_media(TWICE)),
    failed(1, a_media(GIVEN_UP)),
    ready(1, a_media(FOREIGN), company_id=2),
    ready(1, a_media(GONE)),
]
ROWS = {FRESH: ("ready", "upload-1"), TWICE: ("ready", "upload-3"), GIVEN_UP: ("failed", "upload-1")}
CLEANUPS = {
    (f"video:{TWICE}", "upload-3"),  # replaced upload-1
    (f"video:{TWICE}", "upload-2"),  # stale
    (f"video:{GIVEN_UP}", "upload-1"),
    (f"video:{GONE}", "upload-1"),
    (f"video:{FOREIGN}", "upload-1"),  # in the storage of the company that it names
}
REPEATED = {(f"video:{FRESH}", "upload-1"), (f"video:{TWICE}", "upload-1")}
"""What a successor asks for besides, after rows were committed: the worker finds these shown or gone."""
STATES = {(f"video:{media}", upload) for media, (_, upload) in ROWS.items()} | {(f"video:{GONE}", None)}
AFTER_STATES = ("after the states", "after the sends")
DEAD_LETTERS = {f"video:{FOREIGN}", "video:poison"}


@dataclass
class Installation:
    """Topics under a prefix, a database, and what a test sees of both."""

    step: str
    settings: KafkaSettings
    url: str
    engine: sa.Engine

    def rows(self) -> dict[int, tuple[str, str]]:
        query = sa.select(videos).where(videos.c.thumbnail_status.is_not(None))
        with self.engine.connect() as connection:
            found = connection.execute(query).mappings()
            return {row["id"]: (row["thumbnail_status"], row["thumbnail_event_id"]) for row in found}

    def uncommitted(self) -> int:
        """Records that the group has not committed."""
        return sum(end - done for topic in ("thumbnail.ready", "thumbnail.failed") for done, end in self._places(topic))

    def count(self, topic: str) -> int:
        """Records in a topic."""
        return sum(end for _, end in self._places(topic))

    def _places(self, topic: str) -> list[tuple[int, int]]:
        """What the group has committed in each partition of a topic, and the partition's end."""
        name = f"{self.settings.kafka_topic_prefix}{topic}"
        consumer = Consumer(consumer_config(self.settings, f"{self.settings.kafka_topic_prefix}{GROUP}"))
        places = [TopicPartition(name, number) for number in consumer.list_topics(name).topics[name].partitions]
        ends = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
        committed = [max(place.offset, 0) for place in consumer.committed(places, timeout=10)]
        consumer.close()
        return list(zip(committed, ends, strict=True))

    def read(self, topic: str) -> list[InboundRecord]:
        """All records of a topic."""
        reader = Reader(self.settings, topic)
        wait_until(lambda: reader.has(self.count(topic)))
        reader.close()
        return reader.records

    def die(self) -> int:
        """Run the role until it kills itself; its exit code."""
        settings = self.settings
        arguments = [
            self.step,
            str(len(RESULTS) + 1),
            settings.kafka_bootstrap_servers,
            settings.kafka_topic_prefix,
            self.url,
        ]
        command = [sys.executable, "-m", "tests.doubles.dying_persist", *arguments]
        return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode


@pytest.fixture
def installations(kafka: str, topic_prefix: str, postgres_server: str) -> Iterator[list[Installation]]:
    """One a step, so that all can die at once: a dead member's session must time out in each."""
    made = []
    for number, step in enumerate(STEPS):
        settings = KafkaSettings(
            kafka_bootstrap_servers=kafka,
            kafka_topic_prefix=f"{topic_prefix}{number}.",
            kafka_session_timeout_s=6,
            kafka_replication_factor=1,
        )
        create_topics(settings)
        wait_until(lambda settings=settings: _are_known(settings))  # type: ignore[misc]
        url = new_database(postgres_server)
        made.append(Installation(step, settings, url, a_database(url, range(FRESH, FOREIGN + 1))))
    yield made
    for one in made:
        one.engine.dispose()
        drop_database(postgres_server, one.url)
        delete_topics(one.settings)


def _are_known(settings: KafkaSettings) -> bool:
    """Return whether the broker knows all topics; for a moment after their creation it does not."""
    found = AdminClient(client_config(settings)).list_topics(timeout=10).topics
    mine = [topic for name, topic in found.items() if name.startswith(settings.kafka_topic_prefix)]
    return len(mine) == len(ALL_TOPICS) and all(
        part.leader >= 0 for topic in mine for part in topic.partitions.values()
    )


def test_a_kill_in_any_state_leaves_no_row_cleanup_letter_or_offset_behind(installations: list[Installation]) -> None:
    for one in installations:
        records = [a_result(one.settings, result) for result in RESULTS]
        poison = OutboundRecord(records[0].topic, b"video:poison", b"not JSON", ())
        send_and_wait(Producer(producer_config(one.settings)), [*records, poison])
        assert one.uncommitted() == len(RESULTS) + 1
    with ThreadPoolExecutor(len(installations)) as pool:
        codes = list(pool.map(Installation.die, installations))
    assert codes == [-9] * len(STEPS)

    for one in installations:
        committed = one.step.startswith("after")
        sent = one.step == "after the sends"
        assert one.rows() == (ROWS if committed else {}), one.step
        assert one.count("thumbnail.cleanup") == (len(CLEANUPS) if sent else 0), one.step
        assert one.count("thumbnail.ready.dlq") == (len(DEAD_LETTERS) if sent else 0), one.step
        assert one.count("thumbnail.state") == (len(STATES) if one.step in AFTER_STATES else 0), one.step
        assert one.uncommitted() == len(RESULTS) + 1, one.step

    for one in installations:
        with running(a_role(one.settings, one.url)):
            wait_until(lambda one=one: one.uncommitted() == 0)  # type: ignore[misc]
        assert one.rows() == ROWS, one.step
        asked = {_cleanup(record) for record in one.read("thumbnail.cleanup")}
        assert asked >= CLEANUPS, one.step
        assert asked - CLEANUPS <= (REPEATED if one.step.startswith("after") else set()), one.step
        assert {(record.key or b"").decode() for record in one.read("thumbnail.ready.dlq")} == DEAD_LETTERS, one.step
        states = one.read("thumbnail.state")
        assert {_state(record) for record in states} == STATES, f"{one.step}: the same states, however often"
        assert len({record.value for record in states}) == len(STATES), f"{one.step}: and the same bytes"


def _state(record: InboundRecord) -> tuple[str, str | None]:
    return (record.key or b"").decode(), json.loads(record.value)["upload_event_id"] if record.value else None


def _cleanup(record: InboundRecord) -> tuple[str, str]:
    return (record.key or b"").decode(), json.loads(record.value or b"")["upload_event_id"]
