"""Kills processes of every kind under load, and looks for what was lost. Sees only the command line, topics, rows, files."""

import collections
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.platform import Platform, Upload
from tests.system.supervisor import Role, Supervisor, children_of, kill_quietly, no_decoder_is_orphaned

UPLOADS = 300
SIGNALS = 18
SETTLE_TIMEOUT_S = 150.0
HIT_TIMEOUT_S = 30.0


def run_cli(environment: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "service", *arguments], env=environment, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_no_upload_is_lost_when_processes_are_killed(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    storage_root = tmp_path / "storage"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "KAFKA_TOPIC_PREFIX": topic_prefix,
        "KAFKA_SESSION_TIMEOUT_S": "6",
        "WORKER_GROUP": f"{topic_prefix}thumbnails",
        "DATABASE_URL": postgres_url,
        "LOCAL_STORAGE_ROOT": str(storage_root),
        "RETRY_DELAYS_S": "1,2,4",
        "REPLACED_KEEP_S": "0",  # what is left behind is looked for at the end
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": "0",
        "LOG_FORMAT": "json",
        "PATH": "/usr/bin:/bin",
    }
    run_cli(environment, "topics", "create")
    run_cli(environment, "db", "upgrade")
    platform = Platform(postgres_url, storage_root, kafka, topic_prefix)
    platform.set_up()
    uploads = _make_uploads(platform)
    supervisor = Supervisor(tmp_path, environment, None)
    supervisor.start("worker", 2)
    supervisor.start("persist")
    supervisor.start("retry")
    try:
        supervisor.wait_until_ready()
        sent = _publish_and_kill(platform, supervisor, uploads)
        seconds = _wait_until_settled(platform, supervisor)
        starts = {role.log.stem: role.starts for role in supervisor.roles}
    finally:
        codes = supervisor.stop()
        problems = platform.problems()
        platform.close()

    done = collections.Counter(
        json.loads(record.value())["upload_event_id"] for record in platform.read_topic("thumbnail.ready")
    )
    twice = sum(count - 1 for count in done.values())
    figures = (
        f"{len(uploads)} uploads, {sent} signals, starts {starts}, settled after {seconds:.0f} s, {twice} done twice"
    )
    print(f"\n{figures}")  # noqa: T201 - the figures of the run are what one wants to see of it
    assert sent >= 15
    assert problems == []
    assert codes == dict.fromkeys(codes, 0)
    assert no_decoder_is_orphaned()
    assert {record.key().decode() for record in platform.read_topic("thumbnail.dlq")} == {
        upload.record_key for upload in uploads if not upload.sound
    }


def _make_uploads(platform: Platform) -> list[Upload]:
    """Good and broken ones, and for every tenth media an older upload that is published after the newer one."""
    generator = random.Random(20)
    platform.add_rows(range(1, UPLOADS + 1))
    uploads: list[Upload] = []
    media_id = 0
    while len(uploads) < UPLOADS:
        media_id += 1
        kind = "video" if media_id % 3 == 0 else "image"
        uploads.append(platform.upload(media_id, kind, sound=media_id % 12 != 0))
        if media_id % 10 == 0:
            uploads.append(platform.upload(media_id, kind, sound=True, age_s=60 + generator.random()))
    return uploads


def _publish_and_kill(platform: Platform, supervisor: Supervisor, uploads: list[Upload]) -> int:
    """Publish in portions, with a signal after each; returns how many signals reached a process."""
    generator = random.Random(7)
    portion = -(-len(uploads) // SIGNALS)
    sent = 0
    for number in range(SIGNALS):
        platform.publish(uploads[number * portion : (number + 1) * portion])
        pause_until = time.monotonic() + generator.uniform(0.8, 2.0)
        while time.monotonic() < pause_until:
            supervisor.restart_ended()
            time.sleep(0.05)
        deadline = time.monotonic() + HIT_TIMEOUT_S
        while not _hit(supervisor, number, generator):  # on a slow machine there may be nobody to hit yet
            assert time.monotonic() < deadline, "there is no process to hit"
            supervisor.restart_ended()
            time.sleep(0.1)
        sent += 1
    return sent


def _hit(supervisor: Supervisor, number: int, generator: random.Random) -> bool:
    """Send one signal to a living process: whether there was one to get it."""
    role: Role
    if number % 3 == 2:
        role = generator.choice(supervisor.of("worker"))
        slots = children_of(role.process.pid)
        jobs = [child for slot in slots for child in children_of(slot)]
        victims = jobs or slots
        return bool(victims) and kill_quietly(generator.choice(victims))
    role = generator.choice(supervisor.of("worker") if number % 3 == 0 else supervisor.of("persist"))
    alive = role.process.poll() is None
    return alive and kill_quietly(role.process.pid, generator.choice([signal.SIGKILL, signal.SIGTERM]))


def _wait_until_settled(platform: Platform, supervisor: Supervisor) -> float:
    started = time.monotonic()
    problems = platform.problems()
    while problems and time.monotonic() - started < SETTLE_TIMEOUT_S:
        supervisor.restart_ended()
        time.sleep(0.5)
        problems = platform.problems()
    return time.monotonic() - started
