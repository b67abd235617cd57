"""Retries that wait are left in Kafka: the role's memory does not grow with them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.system.platform import Platform
from tests.system.stack import run_cli, settings_for
from tests.system.supervisor import Role, Supervisor

WAITING = 40_000
VALUE_BYTES = 1000
MAY_GROW_BYTES = 20 * 1024**2
ROUND_TRIPS = 5


def resident_bytes(role: Role) -> int:
    status = Path(f"/proc/{role.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def put(producer: Producer, topic: str, partition: int, value: bytes, due_at: datetime) -> None:
    headers: list[tuple[str, str | bytes | None]] = [("retry-due-at", due_at.isoformat())]
    producer.produce(topic, value, b"video:1", partition=partition, headers=headers)


@pytest.mark.slow
def test_waiting_retries_take_no_memory(kafka: str, sqlite_url: str, topic_prefix: str, tmp_path: Path) -> None:
    environment = settings_for(kafka, sqlite_url, topic_prefix, tmp_path)
    assert run_cli(environment, "topics", "create").returncode == 0
    platform = Platform(sqlite_url, tmp_path, kafka, topic_prefix)
    producer = Producer({"bootstrap.servers": kafka})
    supervisor = Supervisor(tmp_path, environment)
    supervisor.start("retry")
    role = supervisor.roles[0]
    try:
        supervisor.wait_until_ready()
        go_and_return(producer, platform, 1)
        before = resident_bytes(role)
        role.process.terminate()
        assert role.process.wait(30) == 0
        in_an_hour = datetime.now(UTC) + timedelta(hours=1)
        for number in range(WAITING):
            topic = f"{topic_prefix}thumbnail.retry.{1 + number % 3}"
            put(producer, topic, number % 2, b"x" * VALUE_BYTES, in_an_hour)
            producer.poll(0)
        assert producer.flush(60) == 0
        supervisor.restart_ended()  # now it can fetch as much as it likes before it sees that nothing is due
        for number in range(ROUND_TRIPS):
            go_and_return(producer, platform, 2 + number)
        grown = resident_bytes(role) - before
    finally:
        codes = supervisor.stop()
        platform.close()
    print(f"\n{WAITING} waiting retries of {VALUE_BYTES} bytes: {grown / 1024**2:.0f} MiB more")  # noqa: T201 - the figure of the run
    assert grown < MAY_GROW_BYTES
    assert codes == {"retry-0": 0}


def go_and_return(producer: Producer, platform: Platform, count: int) -> None:
    """A retry that is due passes through, beside those that wait: the role has looked at all partitions meanwhile."""
    put(producer, f"{platform.topic_prefix}thumbnail.retry.1", 2, b"due", datetime.now(UTC))
    assert producer.flush(10) == 0
    while len(platform.read_topic("thumbnail.due")) < count:
        pass
