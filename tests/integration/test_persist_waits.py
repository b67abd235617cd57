"""A database that takes nothing for a while: results wait, say why, and all of them are written when it is back."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.database import create_engine_for
from schemas.topics import THUMBNAIL_READY
from service.kafka.clients import consumer_config, producer_config
from service.kafka.topics import create_topics
from service.roles.health.probes import database_probe
from service.settings import KafkaSettings
from streams.kafka.client import send_and_wait
from tests.doubles.results import a_database, a_media, ready
from tests.integration.test_roles_on_kafka import a_persist_role, a_result, count_records, running, statuses, wait_until

BEFORE, MEANWHILE = range(1, 6), range(6, 26)
STATES = {
    "a failover to a replica and back": (
        [
            'ALTER DATABASE "{database}" SET default_transaction_read_only = on',
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND usename = '{user}'",
        ],
        # Sessions that began meanwhile stay read-only, as those with a former primary do.
        ['ALTER DATABASE "{database}" RESET default_transaction_read_only'],
        "The database is read-only",
    ),
    "a column that is not there yet": (
        ["ALTER TABLE videos RENAME thumbnail_placeholder TO away"],
        ["ALTER TABLE videos RENAME away TO thumbnail_placeholder"],
        "run `thumbnails db upgrade`",
    ),
    "a right that was taken away": (
        ['REVOKE UPDATE ON videos FROM "{user}"'],
        ['GRANT UPDATE ON videos TO "{user}"'],
        "grant it SELECT and UPDATE",
    ),
}


@dataclass
class Database:
    """A database with rows; `url` is that of a user who may read and update them, and owns nothing."""

    url: str
    owner: sa.Connection

    def run(self, statements: list[str]) -> None:
        url = sa.make_url(self.url)
        for statement in statements:
            self.owner.execute(sa.text(statement.format(database=url.database, user=url.username)))


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    a_database(postgres_url, range(1, 26)).dispose()
    user = f"persist_{uuid.uuid4().hex[:8]}"
    engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as owner:
        url = sa.make_url(postgres_url).set(username=user, password=user)
        made = Database(url.render_as_string(hide_password=False), owner)
        made.run(
            [
                """CREATE ROLE "{user}" LOGIN PASSWORD '{user}'""",
                'GRANT SELECT, UPDATE ON ALL TABLES IN SCHEMA public TO "{user}"',
            ]
        )
        yield made
        made.run(['DROP OWNED BY "{user}"', 'DROP ROLE "{user}"'])
    engine.dispose()


@pytest.fixture
def kafka_settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    made = KafkaSettings(
        kafka_bootstrap_servers=kafka,
        kafka_topic_prefix=topic_prefix,
        kafka_session_timeout_s=6,
        kafka_replication_factor=1,
    )
    create_topics(made)
    return made


@pytest.mark.parametrize("state", STATES)
def test_results_wait_for_a_database_that_takes_none_and_none_becomes_a_dead_letter(
    kafka_settings: KafkaSettings, database: Database, state: str
) -> None:
    spoil, restore, sentence = STATES[state]
    producer, engine = Producer(producer_config(kafka_settings)), create_engine_for(database.url)
    role = a_persist_role(kafka_settings, engine)
    is_ready = database_probe(engine, lambda: role.database_problem)

    def send(ids: range) -> None:
        send_and_wait(producer, [a_result(kafka_settings, ready(1, a_media(number))) for number in ids])

    reader = create_engine_for(database.url)
    send(BEFORE)
    with running(role):
        wait_until(lambda: len(statuses(reader)) == len(BEFORE))
        wait_until(lambda: committed(kafka_settings) == len(BEFORE))
        assert is_ready() is None
        database.run(spoil)
        send(MEANWHILE)
        wait_until(lambda: role.database_problem is not None and sentence in role.database_problem)
        assert is_ready() == role.database_problem
        assert (len(statuses(reader)), committed(kafka_settings)) == (len(BEFORE), len(BEFORE))
        database.run(restore)
        wait_until(lambda: committed(kafka_settings) == len(BEFORE) + len(MEANWHILE), 60)
        assert is_ready() is None
    reader.dispose()
    assert database.owner.execute(
        sa.text("SELECT count(*) FROM videos WHERE thumbnail_status = 'ready' AND thumbnail_url IS NOT NULL")
    ).scalar_one() == len(BEFORE) + len(MEANWHILE)
    assert count_records(kafka_settings, "thumbnail.ready.dlq") == 0


def committed(settings: KafkaSettings) -> int:
    """How many results the group of the role has acknowledged."""
    name = settings.topics.ready
    consumer = Consumer(consumer_config(settings, f"{settings.kafka_topic_prefix}persist"))
    partitions = [TopicPartition(name, number) for number in range(THUMBNAIL_READY.partitions)]
    offsets = [found.offset for found in consumer.committed(partitions, timeout=10)]
    consumer.close()
    return sum(offset for offset in offsets if offset > 0)
