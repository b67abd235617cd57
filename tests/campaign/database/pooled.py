"""The whole flow behind PgBouncer in transaction mode: uploads a few at a time, and what is left in its sessions."""

import collections
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from tests.campaign.database.refusals import a_server
from tests.servers.pgbouncer import POOL_SIZE, PgBouncer
from tests.system.platform import Platform, Upload
from tests.system.stack import Stack, a_stack

WORKERS: Final = 2
PERSIST_ROLES: Final = 2
LATE: Final = 20
"""One file in so many is stored once its upload waits for a retry."""
DRAIN_S: Final = 300.0
LOOKS: Final = 20


@dataclass(frozen=True)
class Pooled:
    """What came of the uploads, and what was found in PgBouncer's sessions."""

    uploads: int
    batches: int
    ready: int
    dead_letters: int
    retried: int
    problems: list[str]
    down_lines: int
    transactions: dict[str, int]
    """How many transactions of the persist roles had so many results."""
    upgrades: list[int]
    """Exit codes of `db upgrade`, two at once through PgBouncer while the roles worked."""
    advisory_locks: int
    """Left when all was done."""
    statement_timeouts: list[str]
    """What sessions of the pool have outside of our transactions."""
    seconds: float

    @property
    def findings(self) -> list[str]:
        """What is not as it must be."""
        found = list(self.problems[:20])
        found += [f"{self.dead_letters} dead letters"] if self.dead_letters else []
        found += [f"{self.ready} of {self.uploads} ready"] if self.ready != self.uploads else []
        found += [f"{self.down_lines} lines database_down"] if self.down_lines else []
        found += [f"db upgrade ended with {self.upgrades}"] if any(self.upgrades) else []
        found += [f"{self.advisory_locks} advisory locks are left"] if self.advisory_locks else []
        return found + ([f"sessions keep {self.statement_timeouts}"] if self.statement_timeouts != ["0"] else [])


def flow(kafka: str, folder: Path, uploads: int, say: Callable[[str], None]) -> Pooled:
    """Publish, wait until all is ready, and look."""
    server = a_server()
    try:
        direct = server.start()
        bouncer = PgBouncer(direct)
        try:
            pooled = bouncer.wait_until_it_answers()
            prefix = f"pool-{uuid.uuid4().hex[:6]}."
            with a_stack(kafka, direct, prefix, folder, DATABASE_URL=pooled, RETRY_DELAYS_S="5,10,60") as stack:
                stack.supervisor.start("worker", WORKERS - 1)
                stack.supervisor.start("persist", PERSIST_ROLES - 1)
                stack.supervisor.wait_until_ready()
                return _flow(stack, direct, pooled, uploads, say)
        finally:
            bouncer.stop()
    finally:
        server.stop()


def _flow(stack: Stack, direct: str, pooled: str, uploads: int, say: Callable[[str], None]) -> Pooled:
    platform, began = stack.platform, time.monotonic()
    platform.add_rows(range(1, uploads + 1))
    chance, number, batches = random.Random(1), 1, 0
    late: dict[str, tuple[Path, bytes]] = {}
    upgrades: list[subprocess.Popen[bytes]] = []
    while number <= uploads:
        batch = range(number, min(number + chance.randint(1, 5), uploads + 1))
        platform.publish([_upload(platform, one, late) for one in batch])
        number, batches = batch.stop, batches + 1
        if not upgrades and number > uploads / 2:
            say("db upgrade, two at once, while the roles work")
            command = [sys.executable, "-m", "service", "db", "upgrade"]
            upgrades = [
                subprocess.Popen(command, env=os.environ | stack.environment, stdout=subprocess.DEVNULL)
                for _ in range(2)
            ]
    say(f"{uploads} uploads in {batches} batches are published")

    def all_ended() -> bool:
        for record in platform.read_topic("thumbnail.retry.1") if late else ():
            place = late.pop(record.key().decode(), None)
            if place is not None:
                place[0].write_bytes(place[1])
        return platform.count_rows("ready") + _dead_letters(platform) >= uploads

    stack.wait_for(all_ended, DRAIN_S)
    seconds = time.monotonic() - began
    return Pooled(
        uploads=uploads,
        batches=batches,
        ready=platform.count_rows("ready"),
        dead_letters=_dead_letters(platform),
        retried=len(platform.read_topic("thumbnail.due")),
        problems=platform.problems(),
        down_lines=sum(role.log.read_text().count('"database_down"') for role in stack.supervisor.roles),
        transactions=_transactions(stack),
        upgrades=[process.wait(60) for process in upgrades],
        advisory_locks=_ask(direct, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", 1)[0],
        statement_timeouts=sorted({str(found) for found in _ask(pooled, "SHOW statement_timeout", LOOKS)}),
        seconds=seconds,
    )


def _upload(platform: Platform, number: int, late: dict[str, tuple[Path, bytes]]) -> Upload:
    upload = platform.upload(number, "video" if number % 5 == 0 else "image")
    if number % LATE == 0:
        path = platform.storage_root / "vault" / str(upload.event["media"]["key"])
        late[upload.record_key] = path, path.read_bytes()
        path.unlink()
    return upload


def _dead_letters(platform: Platform) -> int:
    return sum(len(platform.read_topic(topic)) for topic in ("thumbnail.dlq", "thumbnail.ready.dlq"))


def _transactions(stack: Stack) -> dict[str, int]:
    sizes: collections.Counter[int] = collections.Counter()
    for role in stack.supervisor.of("persist"):
        for line in role.log.read_text().splitlines():
            if '"batch_persisted"' in line:
                sizes[int(json.loads(line).get("applied", 0))] += 1
    return {str(size): count for size, count in sorted(sizes.items())}


def _ask(url: str, query: str, times: int) -> list[int]:
    """The answers of so many connections at once: through a pool they are those of all its sessions, in turn."""
    engine = sa.create_engine(url, connect_args={"prepare_threshold": None}, pool_size=POOL_SIZE)
    found = []
    for _ in range(times):
        with engine.connect() as connection:
            found.append(connection.exec_driver_sql(query).scalar_one())
    engine.dispose()
    return found
