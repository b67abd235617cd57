"""A database that takes nothing for a while: results wait, say why, and all of them are written when it is back."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, Producer, TopicPartition
from typer.testing import CliRunner

from schemas.database import create_engine_for
from schemas.database_faults import is_about_schema_or_rights
from schemas.topics import THUMBNAIL_READY
from service.cli.main import app
from service.dead_letters import recent_refusals
from service.kafka.clients import consumer_config, producer_config
from service.kafka.topics import create_topics
from service.roles.health.probes import database_probe
from service.settings import KafkaSettings, Settings
from streams.kafka.client import send_and_wait
from streams.persist.limits import PRIMED_LEFT, PersistLimits, PersistStoppedError
from tests.campaign.database.states import STATES, Spoiled, State
from tests.doubles.results import a_database, a_media, ready
from tests.integration.test_roles_on_kafka import a_persist_role, a_result, count_records, running, statuses, wait_until
from tests.system.stack import settings_for

BEFORE, MEANWHILE = range(1, 6), range(6, 26)
RESULTS = 10
QUICK = {name: state for name, state in STATES.items() if not state.for_program}
LAST = RESULTS * (len(QUICK) + 1)


@pytest.fixture
def database(postgres_url: str) -> Iterator[Spoiled]:
    a_database(postgres_url, range(1, LAST + 1)).dispose()
    user = f"persist_{uuid.uuid4().hex[:8]}"
    url = sa.make_url(postgres_url).set(username=user, password=user).render_as_string(hide_password=False)
    engine = sa.create_engine(postgres_url)
    with engine.connect() as owner, engine.connect() as locker:
        made = Spoiled(url, owner.execution_options(isolation_level="AUTOCOMMIT"), locker)
        made.make_user()
        yield made
        locker.rollback()
        made.run('DROP OWNED BY "{user}"', 'DROP ROLE "{user}"')
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


def test_results_wait_through_every_state_of_the_database_and_none_becomes_a_dead_letter(
    kafka_settings: KafkaSettings, database: Spoiled
) -> None:
    """One role lives through them all; `make database` has 200 results in each, and the states that take longer."""
    producer, engine = Producer(producer_config(kafka_settings)), create_engine_for(database.url)
    role = a_persist_role(kafka_settings, engine)
    is_ready = database_probe(engine, lambda: role.database_problem)
    sent = 0

    def send(count: int) -> None:
        nonlocal sent
        ids = range(sent + 1, sent + count + 1)
        send_and_wait(producer, [a_result(kafka_settings, ready(1, a_media(number))) for number in ids])
        sent += count

    def says(state: State) -> bool:
        problem = role.database_problem or ""
        return state.sentence in problem and state.said in problem

    with running(role):
        send(RESULTS)
        wait_until(lambda: committed(kafka_settings) == sent)
        for name, state in QUICK.items():
            assert is_ready() is None, name
            state.begin(database)
            send(RESULTS)
            wait_until(partial(says, state))
            assert is_ready() is not None, name
            assert committed(kafka_settings) == sent - RESULTS, name
            state.end(database)
            wait_until(lambda: committed(kafka_settings) == sent)
            assert written(database) == sent, name
        assert is_ready() is None
    assert count_records(kafka_settings, "thumbnail.ready.dlq") == 0


def test_a_constraint_that_refuses_every_row_ends_the_role_and_its_successors_and_afterwards_all_are_written(
    kafka_settings: KafkaSettings, database: Spoiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_settings.kafka_bootstrap_servers)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", kafka_settings.kafka_topic_prefix)
    producer = Producer(producer_config(kafka_settings))
    database.run("ALTER TABLE videos ADD CONSTRAINT none CHECK (thumbnail_status IS NULL)")

    def send(ids: range) -> None:
        send_and_wait(producer, [a_result(kafka_settings, ready(1, a_media(number))) for number in ids])

    def run_until_it_stops(before: Mapping[str, Set[str]]) -> None:
        limits = PersistLimits(max_refused=len(BEFORE), refused_before=before)
        role = a_persist_role(kafka_settings, create_engine_for(database.url), limits=limits)
        with ThreadPoolExecutor(1) as thread:
            ending = thread.submit(role.run)
            wait_until(lambda: ending.done() or committed(kafka_settings) == len(BEFORE), 60)
            if not before:
                send(MEANWHILE)
            with pytest.raises(
                PersistStoppedError, match=r"refuses the result with 23514: .* More than 5 results in a row"
            ):
                ending.result(60)

    send(BEFORE)
    run_until_it_stops({})
    assert count_records(kafka_settings, "thumbnail.ready.dlq") == committed(kafka_settings) == len(BEFORE)
    before = recent_refusals(Settings())
    assert before == {"23514": {f"video:{number}" for number in BEFORE}}
    run_until_it_stops(before)
    assert count_records(kafka_settings, "thumbnail.ready.dlq") <= len(BEFORE) + PRIMED_LEFT

    set_aside = count_records(kafka_settings, "thumbnail.ready.dlq")
    database.run("ALTER TABLE videos DROP CONSTRAINT none")
    reader = create_engine_for(database.url)
    with running(a_persist_role(kafka_settings, create_engine_for(database.url))):
        wait_until(lambda: len(statuses(reader)) == len(BEFORE) + len(MEANWHILE) - set_aside)
        replayed = CliRunner().invoke(app, ["dlq", "replay", "--topic", "ready", "--yes"])
        assert replayed.exit_code == 0, replayed.output
        wait_until(lambda: len(statuses(reader)) == len(BEFORE) + len(MEANWHILE))
    assert recent_refusals(Settings()) == {}
    reader.dispose()


@pytest.mark.parametrize(
    ("spoil", "setting", "sentence"),
    [
        (
            "ADD CONSTRAINT none CHECK (thumbnail_status IS NULL)",
            "PERSIST_MAX_REFUSED",
            "More than 2 results in a row are refused so",
        ),
        ("RENAME thumbnail_placeholder TO away", "PERSIST_FAULT_LIMIT_S", "longer than PERSIST_FAULT_LIMIT_S"),
    ],
)
def test_the_process_ends_with_code_1_and_one_sentence(
    kafka_settings: KafkaSettings, database: Spoiled, tmp_path: Path, spoil: str, setting: str, sentence: str
) -> None:
    database.run(f"ALTER TABLE videos {spoil}")
    results = [a_result(kafka_settings, ready(1, a_media(number))) for number in MEANWHILE]
    send_and_wait(Producer(producer_config(kafka_settings)), results)
    prefix = kafka_settings.kafka_topic_prefix
    environment = settings_for(kafka_settings.kafka_bootstrap_servers, database.url, prefix, tmp_path) | {setting: "2"}
    command = [sys.executable, "-m", "service", "persist"]
    ended = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=90
    )
    failed = [line for line in map(json.loads, ended.stderr.splitlines()) if line["event"] == "role_failed"]
    assert (ended.returncode, len(failed)) == (1, 1), ended.stderr
    assert sentence in failed[0]["reason"]
    assert "Traceback" not in ended.stdout + ended.stderr
    assert count_records(kafka_settings, "thumbnail.ready.dlq") <= 2


@pytest.mark.parametrize(("database", "user"), [("not_there", None), (None, "nobody_at_all")])
def test_a_database_or_user_that_is_not_there_is_a_fault_that_does_not_pass(
    postgres_url: str, database: str | None, user: str | None
) -> None:
    url = sa.make_url(postgres_url).set(database=database, username=user)
    engine = create_engine_for(url.render_as_string(hide_password=False))
    with pytest.raises(sa.exc.OperationalError) as refused:
        engine.connect()
    assert is_about_schema_or_rights(refused.value)
    engine.dispose()


def committed(settings: KafkaSettings) -> int:
    """How many results the group of the role has acknowledged."""
    name = settings.topics.ready
    consumer = Consumer(consumer_config(settings, f"{settings.kafka_topic_prefix}persist"))
    partitions = [TopicPartition(name, number) for number in range(THUMBNAIL_READY.partitions)]
    offsets = [found.offset for found in consumer.committed(partitions, timeout=10)]
    consumer.close()
    return sum(offset for offset in offsets if offset > 0)


def written(database: Spoiled) -> int:
    query = "SELECT count(*) FROM videos WHERE thumbnail_status = 'ready' AND thumbnail_url IS NOT NULL"
    return int(database.owner.exec_driver_sql(query).scalar_one())
