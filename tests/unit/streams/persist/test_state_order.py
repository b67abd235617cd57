"""Random interleavings of two persist roles: no older state follows a newer one, and the last one is what the row says.

Each role runs in a thread of its own, and one at a time: whoever is to go on is drawn at each step. A role dies anywhere, also
between two sends of a batch, while it holds the lock, or before it commits. Its records then go to either role.

INTERLEAVINGS=2000 tries that many.
"""

import json
import os
import random
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas.database import create_engine_for
from schemas.events import MediaKind
from schemas.media_state import DeletedMedia, ThumbnailDeleted
from schemas.metrics import Metrics
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.persist.batch import BatchWriter, Item
from streams.persist.reading import Batch, Deletion
from streams.persist.states import StateSender, state_record
from streams.rows.queries import RowStates
from streams.rows.states import read_media_states
from streams.rows.upsert import Result
from tests.doubles.memory_loops import make_rows_file
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_media, failed, moment, ready

INTERLEAVINGS = int(os.environ.get("INTERLEAVINGS", "10"))
MEDIA = range(40, 42)
RESULTS = 8
ROLES = 2


class KilledError(BaseException):
    """SIGKILL: nothing is taken back, and nothing is said."""


class Turns:
    """Lets one role at a time go on, and draws which; one of them may die instead."""

    def __init__(self, chance: random.Random, kills: int) -> None:
        self.chance, self.kills = chance, kills
        self._may_go = [threading.Semaphore(0) for _ in range(ROLES)]
        self._stands = threading.Semaphore(0)
        self._alive = set(range(ROLES))

    def run(self) -> None:
        """Until no role has anything left to do."""
        while self._alive:
            self._may_go[self.chance.choice(sorted(self._alive))].release()
            assert self._stands.acquire(timeout=30)

    def begin(self, role: int) -> None:
        assert self._may_go[role].acquire(timeout=30)

    def end(self, role: int) -> None:
        self._alive.discard(role)
        self._stands.release()

    def reached(self, role: int) -> None:
        """Called between any two steps."""
        self._stands.release()
        assert self._may_go[role].acquire(timeout=30)
        if self.kills and self.chance.random() < 0.04:
            self.kills -= 1
            raise KilledError


@dataclass
class World:
    """The database, the topic, and the records that no role has committed."""

    engine: sa.Engine
    turns: Turns
    has_lock: bool = True
    log: list[OutboundRecord] = field(default_factory=list)
    waiting: list[deque[Result | ThumbnailDeleted]] = field(default_factory=lambda: [deque() for _ in range(ROLES)])
    holder: int | None = None
    kills: int = 0

    def lock_of(self, role: int, *, steps: bool) -> Iterator[sa.Connection]:
        while self.has_lock and self.holder is not None:
            self.turns.reached(role)
        self.holder = role
        try:
            with self.engine.connect() as connection:
                if steps:
                    self.turns.reached(role)
                yield connection
        finally:  # also that of a process that dies: its session ends with it
            self.holder = None

    def role(self, number: int) -> None:
        """Run one process after another until nothing waits for them."""
        self.turns.begin(number)
        while self.waiting[number]:
            try:
                self._batch(number)
            except KilledError:
                self.kills += 1
                left = self.waiting[number]
                if self.turns.chance.random() < 0.5:  # a rebalance: the other one has its partitions now
                    self.waiting[1 - number].extendleft(reversed(left))
                    self.waiting[number] = deque()
        self.turns.end(number)

    def _batch(self, number: int) -> None:
        turns = self.turns
        found = list(self.waiting[number])[: turns.chance.randint(1, 3)]
        batch = Batch([])
        for event in found:
            record = InboundRecord("t", 0, 0, 0, None, None, ())
            if isinstance(event, ThumbnailDeleted):
                RowStates(self.engine).mark_deleted(event.media.kind, event.media.row_id, event.occurred_at)
                batch.deletions.append(Deletion(record, event))
            else:
                batch.items.append(Item(record, event))
        turns.reached(number)
        written = BatchWriter(self.engine, lambda: NOW).write(batch.items)
        turns.reached(number)

        def send(records: list[OutboundRecord]) -> None:
            for record in records:
                turns.reached(number)
                self.log.append(record)
            turns.reached(number)

        lock = contextmanager(self.lock_of)
        sender = StateSender(self.engine, "thumbnail.state", Metrics(), lock=lambda: lock(number, steps=True))
        sender.send(batch.media_to_announce(written), send)
        turns.reached(number)
        for _ in found:  # committed
            self.waiting[number].popleft()


def some_results(chance: random.Random) -> list[Result | ThumbnailDeleted]:
    found: list[Result | ThumbnailDeleted] = []
    for number in chance.sample(range(RESULTS * 2), RESULTS):
        media = a_media(chance.choice(MEDIA))
        kind = chance.random()
        if kind < 0.2:
            of = DeletedMedia(kind=MediaKind.VIDEO, id=media.id, ar_content_id=media.id)
            found.append(
                ThumbnailDeleted(
                    event_id=f"d{number}", occurred_at=moment(number), produced_at=NOW, company_id=1, media=of
                )
            )
        else:
            found.append(failed(number, media) if kind < 0.4 else ready(number, media))
    return found


def play(path: Path, seed: int, *, has_lock: bool = True) -> World:
    """Run one interleaving to its end."""
    chance = random.Random(seed)
    world = World(create_engine_for(f"sqlite:///{path}"), Turns(chance, kills=chance.randint(0, 3)), has_lock)
    for event in some_results(chance):
        world.waiting[chance.randrange(ROLES)].append(event)
    threads = [threading.Thread(target=world.role, args=(number,), daemon=True) for number in range(ROLES)]
    for thread in threads:
        thread.start()
    while any(world.waiting):
        world.turns.run()
        for thread in threads:
            thread.join(30)
        if any(world.waiting):  # handed to a role that had ended
            world.turns._alive = set(range(ROLES))
            threads = [threading.Thread(target=world.role, args=(number,), daemon=True) for number in range(ROLES)]
            for thread in threads:
                thread.start()
    return world


def faults(world: World) -> list[str]:
    """What a reader of the topic would hold against it."""
    found, newest = [], Counter[bytes | None]()
    last: dict[bytes | None, bytes | None] = {}
    for record in world.log:
        if record.value is not None:
            revision = json.loads(record.value)["revision"]
            is_after_null = record.key in last and last[record.key] is None
            if revision < newest[record.key] + is_after_null:
                found.append(f"{record.key!r}: {revision} after {newest[record.key]}")
            newest[record.key] = max(newest[record.key], revision)
        last[record.key] = record.value
    with world.engine.connect() as connection:
        rows = read_media_states(connection, [(MediaKind.VIDEO, number) for number in MEDIA])
    shown = {record.key: record.value for record in (state_record("t", *item) for item in rows.items())}
    if last != shown:
        found.append("the last records are not what the rows say")
    world.engine.dispose()
    return found


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.db"
    make_rows_file(path)
    return path


def copies(rows_file: Path, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    for seed in range(INTERLEAVINGS):
        path = tmp_path / f"{seed}.db"
        path.write_bytes(rows_file.read_bytes())
        yield seed, path


def test_no_older_state_follows_a_newer_one_and_the_last_is_the_rows(rows_file: Path, tmp_path: Path) -> None:
    kills = sent = 0
    for seed, path in copies(rows_file, tmp_path):
        world = play(path, seed)
        assert faults(world) == [], f"seed {seed}"
        kills, sent = kills + world.kills, sent + len(world.log)
        with suppress(FileNotFoundError):
            path.unlink()
    assert kills >= INTERLEAVINGS // 5, "hardly anybody died"
    assert sent >= INTERLEAVINGS * 4


def test_without_the_lock_the_same_interleavings_find_older_states_after_newer_ones(
    rows_file: Path, tmp_path: Path
) -> None:
    worlds = (play(path, seed, has_lock=False) for seed, path in copies(rows_file, tmp_path))
    assert any(faults(world) for world in worlds)
