"""A backfill of a large library: killed and resumed, each row once, and how soon live uploads are ready beside it.

Run: python -m benchmarks.backfill [--rows N] [--stubbed N] [--real N] [--max-waiting N ...]. Real Apache Kafka and PostgreSQL with
fsync. `--rows` are announced, without a worker; the command is killed at half and resumed. So it is for `--stubbed` rows, which go
through the three roles and a decoder that gives the pictures of its first job to every other one. `--real` rows are decoded: live
uploads come two a second, for a block of seconds without the backfill and then for a block with it, several times. Exit code 1: a
row was not announced once, or is not ready.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tests.campaign.chaos.plants import Edit, changed_copy
from tests.servers.kafka.apache import ApacheKafka
from tests.servers.postgres import SystemPostgres, new_database, system_binaries
from tests.system.platform import Platform, Upload
from tests.system.stack import Command, Stack, a_stack, run_cli_here, settings_for

POOL: Final = "processors/sandbox/pool.py"
STUB: Final = (
    Edit(POOL, "class _Once:\n", "_MADE: dict[object, ThumbnailSet] = {}\n\n\nclass _Once:\n"),
    Edit(
        POOL,
        "        slot = await self._idle.get()\n",
        "        if kind in _MADE:\n            return _MADE[kind]\n        slot = await self._idle.get()\n",
    ),
    Edit(
        POOL,
        "            return await job.run(Job(source.size, spec, kind), source)\n",
        "            _MADE[kind] = await job.run(Job(source.size, spec, kind), source)\n            return _MADE[kind]\n",
    ),
)
LIVE_EVERY_S: Final = 0.5
SETTLE_S: Final = 3.0
"""What a block leaves in work is no part of the next one."""
OLD_KEYS: Final = {"video": "acme/uploads/old.mp4", "image": "acme/uploads/old.jpg"}

_CONTENTS: Final = (
    "INSERT INTO ar_contents (id, project_id, company_id, unique_id, image_path)"
    " SELECT number, 1, 1, 'old-' || number, CASE WHEN number > :half THEN :image END FROM generate_series(1, :rows) AS number"
)
_VIDEOS: Final = "INSERT INTO videos (id, ar_content_id, video_path) SELECT number, number, :video FROM generate_series(1, :half) AS number"


class Live:
    """Uploads that people wait for, from a thread, until `end`. Each is of a new media."""

    def __init__(self, platform: Platform, first_id: int) -> None:
        self._platform: Final = platform
        self._next_id = first_id
        self._end: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run)
        self.published: Final[list[Upload]] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Publish no more."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(LIVE_EVERY_S):
            number, self._next_id = self._next_id, self._next_id + 1
            self._platform.add_rows(range(number, number + 1))
            upload = self._platform.upload(number, ("video", "image")[number % 2])
            self._platform.publish([upload])
            self.published.append(upload)


def ready_after_s(platform: Platform, uploads: list[Upload]) -> list[float]:
    """Seconds from each upload to its record in thumbnail.ready, by that record's own time."""
    began = {upload.event["event_id"]: upload for upload in uploads}
    found = []
    for record in platform.read_topic("thumbnail.ready"):
        said = json.loads(record.value())
        if said["upload_event_id"] in began:
            found.append(record.timestamp()[1] / 1000 - datetime.fromisoformat(said["occurred_at"]).timestamp())
    return found


def add_library(platform: Platform, rows: int) -> None:
    """Half of `rows` are videos and half photographs, without thumbnails; ids begin at 1."""
    for kind, key in OLD_KEYS.items():
        platform.store(key, platform.sample(kind))
    half = rows // 2
    with platform.engine.begin() as connection:
        for statement in (_CONTENTS, _VIDEOS):
            connection.execute(sa.text(statement), {"rows": rows, "half": half, **OLD_KEYS})
    with platform.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))


def start(stack: Stack, state: Path, *arguments: str) -> Command:
    return Command(stack.environment, "backfill", "--state", str(state), "--json", "--rate", "1000000", *arguments)


def sent_by(state: Path) -> int:
    """How many events the command says that it has sent; 0 where it says nothing."""
    try:
        return int(json.loads(state.read_text())["sent"])
    except (OSError, ValueError):
        return 0


def announced_once_each(platform: Platform, rows: int, ids: set[str]) -> list[str]:
    """What is not so: one event for each row of the library; `ids` gets their ids."""
    events, records = Counter[str](), 0
    for record in platform.read_topic("media.uploaded"):
        event_id = json.loads(record.value()).get("event_id") or dict(record.headers() or [])["ce_id"].decode()
        if event_id.startswith("backfill-"):
            records += 1
            if event_id not in ids:
                ids.add(event_id)
                events[record.key().decode()] += 1
    again = records - len(ids)
    print(
        f"  media.uploaded: {records} records of {len(events)} rows, {again} of them repeats with the same id",
        flush=True,
    )
    if len(events) == rows and set(events.values()) == {1}:
        return []
    return [f"{len(events)} of {rows} rows were announced, {sum(n > 1 for n in events.values())} of them by two events"]


def once_each(platform: Platform, rows: int) -> list[str]:
    """What is not so: one event and one result for each row of the library."""
    ids: set[str] = set()
    problems, ready = announced_once_each(platform, rows, ids), Counter[str]()
    for record in platform.read_topic("thumbnail.ready"):
        event_id = json.loads(record.value())["upload_event_id"]
        ready[event_id] += event_id in ids
    twice = sum(count > 1 for count in ready.values())
    print(f"  thumbnail.ready: {len(+ready)} of these uploads, {twice} of them more than once", flush=True)
    return problems if len(+ready) == rows else [*problems, f"{len(+ready)} of {rows} rows have a result"]


def announced_alone(environment: dict[str, str], platform: Platform, folder: Path, rows: int) -> list[str]:
    """Kill the command at half, go on, and count; nothing holds it back, and nothing works on what it sends."""
    add_library(platform, rows)
    state, pace = folder / "announced.json", ("--rate", "1000000", "--max-waiting", "1000000000")
    command = ("backfill", "--state", str(state), "--json", *pace)
    began = time.monotonic()
    first = Command(environment, *command)
    while sent_by(state) < rows // 2:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    code, killed_at = first.wait(30).returncode, sent_by(state)
    done = Command(environment, *command, "--resume").wait(600)
    took_s = time.monotonic() - began
    print(
        f"  killed ({code}) when it said {killed_at}; resumed: exit code {done.returncode}; {took_s:.0f} s in all,"
        f" {rows / took_s:.0f} rows a second; load {os.getloadavg()[0]:.0f}",
        flush=True,
    )
    problems = announced_once_each(platform, rows, set())
    return problems if (code, done.returncode) == (-signal.SIGKILL, 0) else [*problems, done.stderr]


def killed_and_resumed(stack: Stack, folder: Path, rows: int) -> list[str]:
    """Kill the command at half, go on, and judge what came of every row."""
    platform, state = stack.platform, folder / "stubbed.json"
    add_library(platform, rows)
    live, pace = Live(platform, rows + 1), ("--max-waiting", "1000")
    began = time.monotonic()
    first = start(stack, state, *pace)
    while not sent_by(state):
        time.sleep(0.05)
    live.start()  # rows that come later are no part of the backfill
    try:
        while sent_by(state) < rows // 2:
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        code, killed_at = first.wait(30).returncode, sent_by(state)
        second = start(stack, state, "--resume", *pace)
        done = second.wait(3600)
        took_s = time.monotonic() - began
    finally:
        live.end()
    last = json.loads(done.stdout.splitlines()[-1])
    print(
        f"  killed ({code}) when it said {killed_at}; resumed: exit code {done.returncode}, {last['state']}, {last['sent']} sent"
        f" in {took_s:.0f} s, {rows / took_s:.0f} a second with all that the roles do; load {os.getloadavg()[0]:.0f}",
        flush=True,
    )
    wanted = rows + len(live.published)
    stack.wait_for(lambda: platform.count_rows("ready") >= wanted, timeout_s=600)
    late = ready_after_s(platform, live.published)
    print(f"  {len(late)} of {len(live.published)} live uploads meanwhile: {spread(late)}")
    problems = once_each(platform, rows) + platform_problems(platform)
    return problems if (code, done.returncode) == (-signal.SIGKILL, 0) else [*problems, done.stderr]


def platform_problems(platform: Platform) -> list[str]:
    """What is wrong with the live uploads' own rows."""
    return [f"live: {problem}" for problem in platform.problems() if not problem.startswith("orphan object")]


def spread(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return "none"
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    return f"median {cuts[9] * 1000:.0f} ms, 95th percentile {cuts[18] * 1000:.0f} ms, slowest {max(seconds) * 1000:.0f} ms"


def beside_live_uploads(
    stack: Stack, folder: Path, rows: int, paces: list[int], blocks: int, block_s: float
) -> list[str]:
    """Blocks without and with the backfill in turn, for each number of records that may wait; then all the rest."""
    platform, state = stack.platform, folder / "real.json"
    add_library(platform, rows)
    next_id = rows + 1
    resume: tuple[str, ...] = ()
    for pace in paces:
        live: dict[bool, list[Upload]] = {False: [], True: []}
        sent_before = sent_by(state)
        for _ in range(blocks):
            for beside in (False, True):
                if beside:
                    command = start(stack, state, *resume, "--max-waiting", str(pace))
                    before = sent_by(state)
                    while sent_by(state) == before:  # its start takes processor time, too, but once
                        time.sleep(0.05)
                    resume = ("--resume",)
                some = Live(platform, next_id)
                some.start()
                time.sleep(block_s)
                some.end()
                next_id += len(some.published)
                live[beside] += some.published
                if beside:
                    command.send_signal(signal.SIGINT)
                    command.wait(30)
                time.sleep(SETTLE_S)
        count = sent_by(state) - sent_before
        without, beside_it = (ready_after_s(platform, live[beside]) for beside in (False, True))
        ratio = statistics.median(beside_it) / statistics.median(without)
        print(f"  --max-waiting {pace}: {count / (blocks * block_s):.1f} rows a second; load {os.getloadavg()[0]:.0f}")
        print(f"    live uploads without it: {spread(without)}")
        print(f"    beside it:               {spread(beside_it)}; medians {ratio:.2f}x", flush=True)
    began, left = time.monotonic(), rows - sent_by(state)
    done = start(stack, state, *resume).wait(3600)
    wanted = rows + next_id - rows - 1
    stack.wait_for(lambda: platform.count_rows("ready") >= wanted, timeout_s=600)
    print(f"  the other {left} rows, nothing else to do: {left / (time.monotonic() - began):.1f} a second")
    problems = once_each(platform, rows) + platform_problems(platform)
    # 1: rows of live uploads that came before its start have no path, and are named.
    return problems if done.returncode in (0, 1) else [*problems, done.stderr]


@contextmanager
def an_installation(database_url: str, kafka: str, folder: Path, **changes: str) -> Iterator[Stack]:
    folder.mkdir()
    prefix = f"b-{uuid.uuid4().hex[:6]}."
    with a_stack(kafka, new_database(database_url), prefix, folder, **changes) as stack:
        yield stack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--stubbed", type=int, default=10_000)
    parser.add_argument("--real", type=int, default=2000)
    parser.add_argument("--max-waiting", type=int, nargs="*", default=[100, 8, 4])
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--block-s", type=float, default=15.0)
    chosen = parser.parse_args()
    binaries = system_binaries()
    if binaries is None:
        sys.exit("A PostgreSQL of the system is needed.")
    kafka, postgres = ApacheKafka(), SystemPostgres(binaries, fsync=True)
    problems: list[str] = []
    try:
        bootstrap, url = kafka.start(), postgres.start()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if chosen.real:
                print(f"{chosen.real} rows, decoded by one worker with {os.cpu_count()} slots:", flush=True)
                with an_installation(url, bootstrap, folder / "r", DECODE_SLOTS=str(os.cpu_count())) as stack:
                    problems += beside_live_uploads(
                        stack, folder, chosen.real, chosen.max_waiting, chosen.blocks, chosen.block_s
                    )
            if chosen.rows:
                print(f"{chosen.rows} rows, announced and no more:", flush=True)
                environment = settings_for(bootstrap, new_database(url), "announced.", folder)
                run_cli_here(environment, "topics", "create")
                run_cli_here(environment, "db", "upgrade")
                platform = Platform(environment["DATABASE_URL"], folder / "storage", bootstrap, "announced.")
                platform.set_up()
                problems += announced_alone(environment, platform, folder, chosen.rows)
                platform.close()
            if chosen.stubbed:
                print(f"{chosen.stubbed} rows, with a decoder that is a stub:", flush=True)
                source = str(changed_copy(STUB, folder / "stub"))
                code = {"PYTHONPATH": source, "PYTHONSAFEPATH": "1"}
                with an_installation(url, bootstrap, folder / "s", **code) as stack:
                    problems += killed_and_resumed(stack, folder, chosen.stubbed)
    finally:
        kafka.stop()
        postgres.stop()
    for problem in problems[:20]:
        print(f"NOT AS IT MUST BE: {problem}")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
