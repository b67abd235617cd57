"""The real parts that the other tests stand on do what those tests rely on."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from confluent_kafka import Consumer, Producer

from schemas.topics import ALL_TOPICS
from service.demo.broker import NoKafkaError
from service.demo.processes import is_running, owned_folder
from service.kafka.clients import consumer_config, producer_config
from service.kafka.topics import create_topics, list_topics
from service.settings import KafkaSettings
from streams.kafka.client import read_records
from tests.servers.kafka.apache import ApacheKafka
from tests.servers.postgres import SystemPostgres, drop_database, new_database

OWNER = """
import os, sys, time
from pathlib import Path
from service.demo.processes import owned_folder, owned_process
folder = owned_folder("thumbnails-test-")
child = owned_process(["sleep", "100"], folder / "log", dict(os.environ))
print(child.pid, folder, flush=True)
time.sleep(100)
"""


def test_records_survive_the_kill_and_the_restart_of_a_broker(own_kafka: ApacheKafka) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=own_kafka.bootstrap_servers, kafka_replication_factor=1)
    create_topics(settings)
    producer = Producer(producer_config(settings))
    producer.produce("media.uploaded", key=b"video:1", value=b"before")
    assert producer.flush(20) == 0
    own_kafka.kill()
    own_kafka.start()
    own_kafka.restart()
    consumer = Consumer(consumer_config(settings, "reader"))
    consumer.subscribe(["media.uploaded"])
    found = []
    for _ in range(100):
        found += read_records(consumer, 10, 0.3)
        if found:
            break
    consumer.close()

    assert [record.value for record in found] == [b"before"]


def test_topics_are_made_once_and_then_found_right(kafka: str, topic_prefix: str) -> None:
    settings = KafkaSettings(kafka_bootstrap_servers=kafka, kafka_topic_prefix=topic_prefix, kafka_replication_factor=1)
    assert len(create_topics(settings)) == len(ALL_TOPICS)
    assert create_topics(settings) == ()
    assert [state.problems for state in list_topics(settings) if state.problems] == []


def test_rows_survive_the_restart_of_the_database(own_postgres: SystemPostgres) -> None:
    engine = sa.create_engine(own_postgres.url, pool_pre_ping=True)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE kept (id int)"))
        connection.execute(sa.text("INSERT INTO kept VALUES (7)"))
    own_postgres.stop_process()
    own_postgres.start()
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT id FROM kept")).scalar_one() == 7
    engine.dispose()


def test_each_test_has_a_database_of_its_own_that_goes_with_it(postgres_server: str) -> None:
    first, second = new_database(postgres_server), new_database(postgres_server)
    engine = sa.create_engine(first)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE mine (id int)"))
    other = sa.create_engine(second)
    assert sa.inspect(other).get_table_names() == []
    for left in (engine, other):
        left.dispose()
    for url in (first, second):
        drop_database(postgres_server, url)

    server = sa.create_engine(postgres_server)
    with server.connect() as connection:
        left_over = connection.execute(sa.text("SELECT datname FROM pg_database")).scalars().all()
    server.dispose()
    assert not {sa.make_url(first).database, sa.make_url(second).database} & set(left_over)


def test_a_process_dies_with_its_killed_owner_and_its_folder_goes_at_the_next_start() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, env=environment, text=True) as owner:
        assert owner.stdout is not None
        child, folder = owner.stdout.readline().split()
        assert is_running(int(child))
        owner.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_running(int(child)) and _state(int(child)) != "Z":
        assert time.monotonic() < deadline, "the child outlived its owner"
    assert Path(folder).exists()

    owned_folder("thumbnails-test-").rmdir()
    assert not Path(folder).exists()


def test_a_folder_goes_with_a_process_that_is_interrupted_before_it_knows_of_the_folder() -> None:
    """As when Ctrl-C comes in the moment in which the folder is made."""
    program = "from service.demo.processes import owned_folder; print(owned_folder('thumbnails-test-')); raise KeyboardInterrupt"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, text=True, check=False)
    folder = Path(done.stdout.strip())
    assert folder.name.startswith("thumbnails-test-"), done.stderr
    assert not folder.exists()


def _state(pid: int) -> str:
    """The process's state in /proc; Z is a zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_broker_starts_with_the_archive_of_its_classes(own_kafka: ApacheKafka) -> None:
    assert ".jsa" in Path(f"/proc/{own_kafka.pid}/maps").read_text().replace("classes.jsa", "of Java itself")


def test_a_broker_that_cannot_start_shows_the_end_of_its_log(own_kafka: ApacheKafka) -> None:
    own_kafka.kill()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", own_kafka.port))
        taken.listen(1)
        with pytest.raises(NoKafkaError, match="did not start") as caught:
            own_kafka.start()
    assert "Address already in use" in str(caught.value)
    assert own_kafka.pid == 0
