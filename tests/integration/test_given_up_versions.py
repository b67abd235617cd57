"""Random interleavings of worker, persist, cleanups, replays and repeated uploads of one media: pictures that are shown exist.

A worker dies anywhere: while it stores, or between what it sends and its commit. Persist reads thumbnail.ready and
thumbnail.failed in either order and as late as chance will have it. Anything happens before each step of a cleanup.

INTERLEAVINGS=2000 tries that many, instead of the 30 that take two seconds.
"""

import asyncio
import os
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from schemas.cloudevents import read_event, write_event
from schemas.errors import ErrorCode, PermanentError, TransientError
from schemas.events import THUMBNAIL_FAILED_TYPE, THUMBNAIL_READY_TYPE, Media, ThumbnailFailed, ThumbnailReady
from schemas.tables import videos
from schemas.topics import THUMBNAIL_DLQ, UNPREFIXED
from storage.base import StoredObject
from storage.memory import MemoryStorageProvider
from streams.dlq.plan import ReplayRules, Send
from streams.dlq.read import read_dead_letter
from streams.failures.company_limiter import CompanyLimit, CompanyLimiter
from streams.failures.guard import DeadLetterGuard, DeadLetterLimit
from streams.failures.policy import RetryPolicy
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.persist.batch import BatchWriter, Item
from streams.rows.last_write_wins import RowOutcome
from streams.rows.queries import RowStates, ShownRow
from streams.thumbnails.cleanup import CleanupService
from streams.thumbnails.cleanup_requests import cleanup_request, needs_cleanup
from streams.thumbnails.staleness import UploadOrder
from streams.worker.failure import Failures, Rules
from streams.worker.handler import EventHandler
from streams.worker.removals import Removals
from tests.doubles.pipeline import NOW, a_flow, an_upload
from tests.doubles.results import a_database

INTERLEAVINGS = int(os.environ.get("INTERLEAVINGS", "30"))
THREADS = ThreadPoolExecutor(2)
TOPICS = UNPREFIXED
RESULT_TOPICS = (TOPICS.ready, TOPICS.failed)


FULL = TransientError(ErrorCode.STORAGE_FULL, "x")
DENIED = PermanentError(ErrorCode.STORAGE_DENIED, "x")


class KilledError(BaseException):
    """SIGKILL: nothing is taken back, and nothing is said."""


class ReachedStorage(MemoryStorageProvider):
    """Calls `reached` before each change and each answer; it may raise."""

    def __init__(self, reached: Callable[[str], None]) -> None:
        super().__init__()
        self._reached = reached

    def list_files(self, prefix: str) -> Iterator[str]:
        found = list(super().list_files(prefix))
        self._reached("listed")
        yield from found

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        self._reached("upload")
        return super().upload_file(key, content, content_type=content_type)

    def delete_file(self, key: str) -> None:
        self._reached("delete")
        super().delete_file(key)


class ReachedRows(RowStates):
    def __init__(self, engine: sa.Engine, reached: Callable[[str], None]) -> None:
        super().__init__(engine)
        self._reached = reached

    def shown(self, media: Media) -> ShownRow | None:
        self._reached("ask")
        return super().shown(media)


class World:
    """Topics as queues, one worker's code, persist, and a database; what happens next is drawn from a seed."""

    def __init__(self, engine: sa.Engine, seed: int) -> None:
        self.engine = engine
        self.chance = random.Random(seed)
        self.storage = ReachedStorage(self._reached)
        self.flow = a_flow(self.storage)
        self.queues: dict[str, deque[InboundRecord]] = {
            name: deque() for name in (TOPICS.uploads, TOPICS.due, TOPICS.cleanup, *RESULT_TOPICS)
        }
        self.dead_letters: deque[InboundRecord] = deque()
        self.seen: Counter[str] = Counter()
        self.was_ready = False
        self._offset = 0
        self._is_nested = False
        self._may_happen = True
        self._writer = BatchWriter(engine, lambda: NOW)
        rows = ReachedRows(engine, self._reached)
        order, rules = UploadOrder(RowStates(engine), THREADS), Rules("thumbnails", TOPICS, now=lambda: NOW)
        guard, limiter = DeadLetterGuard(DeadLetterLimit(0, 0, 60, 1)), CompanyLimiter(CompanyLimit(0, 0.5, 300, 100))
        failures = Failures(RetryPolicy((60,), 86_400), guard, limiter, rules)
        removals = Removals(CleanupService(self.flow.calls, rows, lambda: NOW), order, rules)
        self._handler = EventHandler(self.flow.service, order, removals, failures, rules)
        self.publish()

    def publish(self, *, minutes: int = 0) -> None:
        """The producer sends an upload, an older one or the same one again."""
        event = an_upload(event_id=f"upload-{minutes}", occurred_at=NOW - timedelta(minutes=minutes))
        self._send(OutboundRecord(TOPICS.uploads, b"video:42", write_event(event), ()))

    def _send(self, record: OutboundRecord) -> None:
        self._offset += 1
        topic = TOPICS.due if record.topic in TOPICS.retries else record.topic
        written_ms = int(NOW.timestamp() * 1000)
        received = InboundRecord(topic, 0, self._offset, written_ms, record.key, record.value, record.headers)
        (self.dead_letters if topic == TOPICS.dlq else self.queues[topic]).append(received)

    def _reached(self, step: str) -> None:
        """Something else happens first, or the process is killed here."""
        if not self._may_happen or self._is_nested:
            return
        if step in ("upload", "delete") and self.chance.random() < 0.1:
            raise KilledError
        if step == "upload" and self.chance.random() < 0.15:
            self._fail_in_storage()
        self._is_nested = True
        try:
            while self.chance.random() < 0.3:
                self.step()
        finally:
            self._is_nested = False

    def _fail_in_storage(self) -> None:
        """The store refuses an object, maybe after another attempt beside this one has stored the same pictures."""
        self.seen["failed in storage"] += 1
        self._is_nested = True
        try:
            if self.chance.random() < 0.5:
                self.publish()
                self._work()
        finally:
            self._is_nested = False
        raise self.chance.choice([FULL, DENIED])

    def step(self) -> None:
        """One thing happens."""
        actions = [self._persist, self._persist, self._work, self._work, self._clean, self._replay, self._resend]
        self.chance.choice(actions)()

    def _resend(self) -> None:
        if self.chance.random() < 0.3:
            self.publish(minutes=self.chance.choice([0, 0, 0, 1]))

    def _replay(self) -> None:
        if self.dead_letters and self.chance.random() < 0.5:
            rules = ReplayRules(THUMBNAIL_DLQ, TOPICS, max_replays=99)
            plan = rules.plan(read_dead_letter(self.dead_letters.popleft()), NOW)
            assert isinstance(plan, Send)
            self._send(plan.record)

    def _work(self) -> None:
        self._handle(self.chance.choice([TOPICS.uploads, TOPICS.due]))

    def _clean(self) -> None:
        self._handle(TOPICS.cleanup)

    def _handle(self, topic: str) -> None:
        if not self.queues[topic]:
            return
        record = self.queues[topic].popleft()
        errors = [None, PermanentError(ErrorCode.MEDIA_CORRUPT, "x"), TransientError(ErrorCode.SOURCE_MISSING, "x")]
        before = self.flow.maker.error
        self.flow.maker.error = self.chance.choice(errors) if self._may_happen else None
        try:
            outcome = asyncio.run(self._handler.handle(record))
        except KilledError:
            self.queues[topic].appendleft(record)
            self.seen["killed at work"] += 1
            return
        finally:
            self.flow.maker.error = before
        is_killed = self._may_happen and self.chance.random() < 0.3
        for follows in outcome.records[: self.chance.choice([1, 2]) if is_killed else None]:
            self._send(follows)
        if is_killed:
            self.queues[topic].appendleft(record)
            self.seen["killed before the commit"] += 1

    def _persist(self) -> None:
        items: list[Item] = []
        for _ in range(self.chance.choice([1, 1, 2, 4])):
            topic = self.chance.choice(RESULT_TOPICS)
            if self.queues[topic]:
                items.append(Item(record := self.queues[topic].popleft(), result_in(record)))
        again = self.chance.random() < 0.2
        written = self._writer.write(items)
        for item, outcome in written.outcomes:
            self.seen[str(outcome)] += 1
            if needs_cleanup(item.result, outcome, item.record.headers):
                self._send(cleanup_request(TOPICS.cleanup, item.result, outcome, item.record.headers, NOW))
        if again and self._may_happen:  # killed before its commit
            for item in reversed(items):
                self.queues[item.record.topic].appendleft(item.record)

    def read_everything(self) -> None:
        """Nothing fails any more, nobody is killed, and everything is read."""
        self._may_happen = False
        while any(self.queues.values()):
            for topic in (TOPICS.uploads, TOPICS.due, TOPICS.cleanup):
                self._handle(topic)
            self._persist()

    def row(self) -> sa.Row[tuple[object, ...]]:
        with self.engine.connect() as connection:
            return connection.execute(sa.select(videos).where(videos.c.id == 42)).one()

    def stored(self) -> set[str]:
        """The URLs of all pictures, those in the storage that stands in for the company's own included."""
        places = (self.storage, self.flow.tenants.local)
        return {place.get_file_url(key) for place in places for key in place.objects if "/thumbnails/" in key}


def result_in(record: InboundRecord) -> ThumbnailReady | ThumbnailFailed:
    if record.topic == TOPICS.ready:
        return read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, record.value, record.headers)
    return read_event(ThumbnailFailed, THUMBNAIL_FAILED_TYPE, record.value, record.headers)


def a_world(engine: sa.Engine, seed: int) -> World:
    columns = [column for column in videos.c if column.name.startswith("thumbnail")]
    with engine.begin() as connection:
        connection.execute(sa.update(videos).values(dict.fromkeys(columns)))
    return World(engine, seed)


@pytest.mark.parametrize(
    ("url", "seeds"),
    [("sqlite_url", range(INTERLEAVINGS)), ("postgres_url", range(INTERLEAVINGS * 2 // 3))],
)
def test_whatever_dies_and_whoever_is_late_what_is_shown_exists_and_nothing_else_is_left(
    request: pytest.FixtureRequest, url: str, seeds: range
) -> None:
    engine = a_database(request.getfixturevalue(url))
    if url == "sqlite_url":
        # Nothing here dies with the machine; waiting for the disk was most of the time on a busy one.
        sa.event.listen(engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous=OFF"))
        engine.dispose()
    seen: Counter[str] = Counter()
    for seed in seeds:
        world = a_world(engine, seed)
        for _ in range(world.chance.randrange(5, 40)):
            world.step()
        world.read_everything()
        row, where = world.row(), f"seed {seed}"
        shown = {item["url"] for item in row.thumbnails or ()}
        assert shown <= world.stored(), f"{where}: shown, and not there: {shown - world.stored()}"
        assert world.stored() == shown, f"{where}: left behind: {world.stored() - shown}"
        if row.thumbnail_status != "ready":
            assert row.thumbnail_status == "failed", where
            assert world.dead_letters, f"{where}: failed without a dead letter"
        seen += world.seen + Counter({f"ends {row.thumbnail_status}": 1})
    engine.dispose()
    wanted = {
        "killed at work",
        "killed before the commit",
        "failed in storage",
        "ends ready",
        "ends failed",
        RowOutcome.OVERRULED,
    }
    assert wanted <= seen.keys(), f"the worlds were too tame: {seen}"


class Story:
    """One order of things, told step by step."""

    def __init__(self, engine: sa.Engine) -> None:
        self.world = a_world(engine, 0)
        self.world._may_happen = False

    def work(
        self, error: PermanentError | None = None, *, topic: str = TOPICS.uploads, is_killed: bool = False
    ) -> None:
        """Work on the next record; the worker `is_killed` between what it sends and its commit."""
        world = self.world
        record = world.queues[topic].popleft()
        world.flow.maker.error = error
        for follows in asyncio.run(world._handler.handle(record)).records:
            world._send(follows)
        if is_killed:
            world.queues[topic].appendleft(record)

    def persist(self, topic: str) -> list[str]:
        world, outcomes = self.world, []
        while world.queues[topic]:
            record = world.queues[topic].popleft()
            written = world._writer.write([Item(record, result_in(record))])
            for item, outcome in written.outcomes:
                outcomes.append(str(outcome))
                if needs_cleanup(item.result, outcome, item.record.headers):
                    world._send(cleanup_request(TOPICS.cleanup, item.result, outcome, item.record.headers, NOW))
        return outcomes

    def clean(self) -> None:
        while self.world.queues[TOPICS.cleanup]:
            self.work(topic=TOPICS.cleanup)

    @property
    def folders(self) -> set[str]:
        return {key.split("/")[-2] for key in self.world.stored()}

    @property
    def shown(self) -> set[str]:
        return {item["key"].split("/")[-2] for item in self.world.row().thumbnails or ()}


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def story(request: pytest.FixtureRequest) -> Iterator[Story]:
    engine = a_database(request.getfixturevalue(request.param))
    yield Story(engine)
    engine.dispose()


GONE = PermanentError(ErrorCode.SOURCE_TOO_LARGE, "x")


def test_pictures_that_are_read_after_the_failure_of_their_redelivery_are_not_shown_and_a_replay_makes_others(
    story: Story,
) -> None:
    story.work(is_killed=True)
    story.work(GONE)
    assert story.persist(TOPICS.failed) == ["applied"]
    story.clean()
    assert story.persist(TOPICS.ready) == ["overruled"]
    story.clean()
    assert (story.world.row().thumbnail_status, story.folders) == ("failed", set())
    story.world._send(replayed(story.world.dead_letters[0]))
    story.work(topic=TOPICS.due)
    assert story.persist(TOPICS.ready) == ["replaced"]
    story.clean()
    assert len(story.folders) == 1
    assert story.folders == story.shown


def replayed(dead_letter: InboundRecord) -> OutboundRecord:
    plan = ReplayRules(THUMBNAIL_DLQ, TOPICS, max_replays=9).plan(read_dead_letter(dead_letter), NOW)
    assert isinstance(plan, Send)
    return plan.record


def test_pictures_that_are_read_before_the_failure_of_their_redelivery_stay_shown(story: Story) -> None:
    story.work(is_killed=True)
    story.work(GONE)
    assert story.persist(TOPICS.ready) == ["applied"]
    assert story.persist(TOPICS.failed) == ["repeated"]
    story.clean()
    assert story.world.row().thumbnail_status == "ready"
    assert story.folders == story.shown != set()


def test_an_upload_that_is_sent_again_after_its_failure_cannot_meet_the_cleanup_of_that(story: Story) -> None:
    story.work(GONE)
    assert story.persist(TOPICS.failed) == ["applied"]
    story.world.publish()
    story.work(is_killed=True)
    first = story.folders
    story.work()
    assert story.folders == first, "a redelivery of one record has the same folder"
    assert story.persist(TOPICS.ready) == ["replaced", "repeated"]
    story.clean()
    assert story.folders == story.shown == first


def test_each_failure_of_an_upload_that_is_sent_again_names_its_own_version(story: Story) -> None:
    for _ in range(3):
        story.work(GONE)
        story.persist(TOPICS.failed)
        story.world.publish()
    versions = story.world.row().thumbnail_given_up.split()
    assert len(set(versions)) == len(versions) == 3
    story.work()
    story.persist(TOPICS.ready)
    story.clean()
    assert story.folders == story.shown
    assert not any(folder.startswith(f"{version}-1-") for folder in story.folders for version in versions)


def test_an_upload_that_is_sent_again_after_a_replay_has_brought_its_pictures_is_dropped(story: Story) -> None:
    """Consumers would be given URLs of pictures that the row does not show."""
    story.work(GONE)
    story.persist(TOPICS.failed)
    story.world._send(replayed(story.world.dead_letters[0]))
    story.work(topic=TOPICS.due)
    assert story.persist(TOPICS.ready) == ["replaced"]
    story.world.publish()
    story.work()
    assert not story.world.queues[TOPICS.ready]
    story.clean()
    assert story.folders == story.shown != set()


def test_results_of_two_starts_are_two_events_and_repeats_of_one_are_one(story: Story) -> None:
    story.work(GONE, is_killed=True)
    story.work(GONE)
    first, again = (result_in(record) for record in story.world.queues[TOPICS.failed])
    story.persist(TOPICS.failed)
    story.world.publish()
    story.work(GONE)
    (other,) = (result_in(record) for record in story.world.queues[TOPICS.failed])
    assert first.event_id == again.event_id != other.event_id
