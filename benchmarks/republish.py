"""`thumbnails republish` of a large library: rate and memory, uninterrupted, and killed at half and resumed.

Run: python -m benchmarks.republish [--rows N]. Real Apache Kafka and a PostgreSQL of the system's own with fsync on. Rows
are filled by SQL with the pictures of one result; the command runs as a process of its own, without a limit of its rate.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil
import sqlalchemy as sa
from confluent_kafka import Consumer, TopicPartition

from schemas.database import write_transaction
from service.kafka.clients import consumer_config
from service.kafka.topics import create_topics
from service.settings import KafkaSettings
from streams.rows.upsert import apply_results
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_database, a_media, ready
from tests.servers.kafka.apache import ApacheKafka
from tests.servers.postgres import SystemPostgres, new_database, system_binaries


@dataclass(frozen=True)
class Ended:
    """One run of the command."""

    sent: int
    seconds: float
    peak_mib: float
    code: int
    rate_per_s: int = 0
    """As the command itself says, without its start."""


def fill(engine: sa.Engine, rows: int) -> None:
    """Give `rows` videos the outcome of one upload each."""
    with write_transaction(engine) as connection:
        apply_results(connection, [ready(1, a_media(1), placeholder="ngcCFITWuY7h9mHHW6evgjiUBw==")], now=NOW)
        names = [column["name"] for column in sa.inspect(engine).get_columns("videos") if column["name"] != "id"]
        columns = ", ".join(names)
        connection.execute(
            sa.text(
                f"INSERT INTO videos (id, {columns}) SELECT number, {columns}"  # noqa: S608 - the table's own names
                " FROM videos, generate_series(2, :rows) AS number WHERE videos.id = 1"
            ),
            {"rows": rows},
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))


def run(environment: dict[str, str], state: Path, *arguments: str, kill_at: int | None = None) -> Ended:
    """Run the command, and kill it when its state says that it has sent `kill_at`."""
    command = [sys.executable, "-m", "service", "republish", "--state", str(state), "--json", "--rate", "1000000"]
    began, peak, sent = time.monotonic(), 0, 0
    process = subprocess.Popen([*command, *arguments], env=os.environ | environment, stdout=subprocess.PIPE, text=True)
    while process.poll() is None:
        try:
            peak = max(peak, psutil.Process(process.pid).memory_info().rss)
            sent = int(json.loads(state.read_text())["sent"])
        except (psutil.Error, OSError, ValueError, KeyError):
            pass
        if kill_at is not None and sent >= kill_at:
            process.kill()
        time.sleep(0.02)
    said, _ = process.communicate()
    last = json.loads((said.splitlines() or ["{}"])[-1])
    sent = int(last.get("sent", 0)) if kill_at is None else sent
    took_s = time.monotonic() - began
    return Ended(sent, took_s, peak / 2**20, process.returncode, last.get("rate_per_s", 0))


def keys_in(settings: KafkaSettings) -> tuple[int, int]:
    """Return how many records the state topic has, and of how many media."""
    consumer = Consumer(consumer_config(settings, "reader") | {"enable.partition.eof": True})
    topic = settings.topics.state
    partitions = consumer.list_topics(topic, 30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    keys: set[bytes] = set()
    records, ended = 0, 0
    while ended < len(partitions):
        for message in consumer.consume(5000, 5):
            if message.error() is not None:
                ended += 1
                continue
            records += 1
            keys.add(message.key() or b"")
    consumer.close()
    return records, len(keys)


def measure(rows: int) -> None:
    """Print one line for each run."""
    binaries = system_binaries()
    if binaries is None:
        raise SystemExit("A PostgreSQL of the system is needed.")
    kafka, postgres = ApacheKafka(), SystemPostgres(binaries, fsync=True)
    servers, server_url = kafka.start(), postgres.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            url = new_database(server_url)
            engine = a_database(url, range(1, 2))
            fill(engine, rows)
            engine.dispose()
            print(f"{rows} rows are there; load {os.getloadavg()[0]:.0f} on {os.cpu_count()} processors")
            for name in ("uninterrupted", "killed"):
                prefix = f"b-{uuid.uuid4().hex[:6]}."
                settings = KafkaSettings(
                    kafka_bootstrap_servers=servers, kafka_topic_prefix=prefix, kafka_replication_factor=1
                )
                create_topics(settings)
                environment = {
                    "KAFKA_BOOTSTRAP_SERVERS": servers,
                    "KAFKA_TOPIC_PREFIX": prefix,
                    "WORKER_GROUP": f"{prefix}thumbnails",
                    "DATABASE_URL": url,
                }
                state = Path(folder) / f"{name}.json"
                runs = [run(environment, state, kill_at=rows // 2 if name == "killed" else None)]
                if name == "killed":
                    runs.append(run(environment, state, "--resume"))
                for one in runs:
                    print(f"{name}: {one}; load {os.getloadavg()[0]:.0f}", flush=True)
                print(f"{name}: records and media in the topic: {keys_in(settings)}")
    finally:
        kafka.stop()
        postgres.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    measure(parser.parse_args().rows)
