"""A given-up upload is replayed while its cleanup is under way: whatever comes first, the row shows what exists."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from schemas.cloudevents import read_event, write_event
from schemas.errors import ErrorCode, PermanentError
from schemas.events import (
    THUMBNAIL_CLEANUP_TYPE,
    THUMBNAIL_FAILED_TYPE,
    THUMBNAIL_READY_TYPE,
    Media,
    ThumbnailCleanup,
    ThumbnailFailed,
    ThumbnailReady,
)
from schemas.tables import videos
from schemas.topics import THUMBNAIL_DLQ, UNPREFIXED
from storage.memory import MemoryStorageProvider
from streams.dlq.plan import ReplayRules, Send
from streams.dlq.read import read_dead_letter
from streams.failures.company_limiter import CompanyLimit, CompanyLimiter
from streams.failures.guard import DeadLetterGuard, DeadLetterLimit
from streams.failures.policy import RetryPolicy
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.persist.batch import BatchWriter, Item
from streams.rows.queries import RowStates, ShownRow
from streams.thumbnails.cleanup import CleanupService
from streams.thumbnails.cleanup_requests import cleanup_request, needs_cleanup
from streams.thumbnails.service import Progress
from streams.thumbnails.staleness import UploadOrder
from streams.worker.failure import Failures, Rules
from streams.worker.handler import EventHandler
from streams.worker.removals import Removals
from tests.doubles.pipeline import NOW, a_flow, an_upload
from tests.doubles.results import a_database

TOPICS = UNPREFIXED


class Steps:
    """Does an action once, before one step of a cleanup: of those with a name in `names` that with the number `at`."""

    def __init__(self) -> None:
        self.names = {"list", "look", "delete"}
        self.at: int | None = None
        self.taken = 0
        self.action: Callable[[], None] = lambda: None

    def before(self, name: str) -> None:
        if name in self.names and self.at is not None:
            self.taken += 1
            if self.taken > self.at:
                self.at = None  # the cleanups of the action itself are not paused
                self.action()


class PausingStorage(MemoryStorageProvider):
    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    def list_files(self, prefix: str) -> Iterator[str]:
        self._steps.before("list")
        found = list(super().list_files(prefix))
        self._steps.before("list")  # a slow answer: it was right when it was made
        yield from found

    def delete_file(self, key: str) -> None:
        self._steps.before("delete")
        super().delete_file(key)


class PausingRows(RowStates):
    def __init__(self, engine: sa.Engine, steps: Steps) -> None:
        super().__init__(engine)
        self._steps = steps

    def shown(self, media: Media) -> ShownRow | None:
        self._steps.before("look")
        return super().shown(media)


class Installation:
    """Worker, persist and replay around one media, moved record by record."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.steps = Steps()
        self.storage = PausingStorage(self.steps)
        self.flow = a_flow(self.storage)
        self.dead_letters: list[InboundRecord] = []
        self.cleanups: deque[InboundRecord] = deque()
        self.cleaned: list[InboundRecord] = []
        self.results: list[str] = []
        self._writer = BatchWriter(engine, lambda: NOW)
        self._offset = 0
        rows, executor = PausingRows(engine, self.steps), ThreadPoolExecutor(2)
        order, rules = UploadOrder(RowStates(engine), executor), Rules("thumbnails", TOPICS, now=lambda: NOW)
        guard, limiter = DeadLetterGuard(DeadLetterLimit(0, 0, 60, 1)), CompanyLimiter(CompanyLimit(0, 0.5, 300, 100))
        failures = Failures(RetryPolicy((60,), 86_400), guard, limiter, rules)
        removals = Removals(CleanupService(self.flow.calls, rows, lambda: NOW), order, rules)
        self._handler = EventHandler(self.flow.service, order, removals, failures, rules)

    def work_on(self, record: OutboundRecord | InboundRecord) -> None:
        """Let the worker have a record, and persist what comes of it."""
        record = self._received(record) if isinstance(record, OutboundRecord) else record
        for follows in asyncio.run(self._handler.handle(record)).records:
            received = self._received(follows)
            if follows.topic == TOPICS.dlq:
                self.dead_letters.append(received)
            elif follows.topic == TOPICS.cleanup:
                self.cleanups.append(received)
            elif follows.topic in (TOPICS.ready, TOPICS.failed):
                self._persist(received)
            else:
                raise AssertionError(follows.topic)

    def _received(self, record: OutboundRecord) -> InboundRecord:
        self._offset += 1
        return InboundRecord(
            record.topic, 0, self._offset, int(NOW.timestamp() * 1000), record.key, record.value, record.headers
        )

    def _persist(self, record: InboundRecord) -> None:
        self.results.append(record.topic)
        result: ThumbnailReady | ThumbnailFailed
        if record.topic == TOPICS.ready:
            result = read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, record.value, record.headers)
        else:
            result = read_event(ThumbnailFailed, THUMBNAIL_FAILED_TYPE, record.value, record.headers)
        written = self._writer.write([Item(record, result)])
        for item, outcome in written.outcomes:
            if needs_cleanup(item.result, outcome):
                request = cleanup_request(TOPICS.cleanup, item.result, outcome, record.headers, NOW)
                self.cleanups.append(self._received(request))

    def replay(self) -> None:
        """Replay the last dead letter."""
        rules = ReplayRules(THUMBNAIL_DLQ, TOPICS, max_replays=9)
        step = rules.plan(read_dead_letter(self.dead_letters[-1]), NOW)
        assert isinstance(step, Send)
        self.work_on(step.record)

    def clean_up(self) -> None:
        while self.cleanups:
            self.cleaned.append(self.cleanups.popleft())
            self.work_on(self.cleaned[-1])

    def stored(self) -> set[str]:
        return {key for key in self.storage.objects if "/thumbnails/" in key}

    def shown(self) -> set[str]:
        with self.engine.connect() as connection:
            row = connection.execute(sa.select(videos).where(videos.c.id == 42)).one()
        assert row.thumbnail_status == "ready"
        return {rendition["key"] for rendition in row.thumbnails}


def an_upload_record() -> OutboundRecord:
    return OutboundRecord(TOPICS.uploads, b"video:42", write_event(an_upload()), ())


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    engine = a_database(request.getfixturevalue(request.param))
    yield Installation(engine)
    engine.dispose()


def reset(installation: Installation) -> None:
    """As if nothing had happened yet."""
    columns = [column for column in videos.c if column.name.startswith("thumbnail")]
    with installation.engine.begin() as connection:
        connection.execute(sa.update(videos).values(dict.fromkeys(columns)))
    for key in installation.stored():
        del installation.storage.objects[key]


def leave_objects_and_give_up(installation: Installation) -> None:
    """Let an attempt be killed that had stored everything; the next one fails for good."""
    installation.flow.maker.error = None
    service = installation.flow.service
    made = asyncio.run(service.create(an_upload(), Progress(), attempt=1, is_final=lambda _error: False))
    assert {rendition.key for rendition in made.renditions} == installation.stored()
    installation.flow.maker.error = PermanentError(ErrorCode.MEDIA_CORRUPT, "x")
    installation.work_on(an_upload_record())


def states_paused(installation: Installation, happens: Callable[[], None]) -> int:
    """Clean up after a given-up upload, once for each of the cleanup's steps, before which `happens` happens."""
    for state in range(100):
        reset(installation)
        leave_objects_and_give_up(installation)
        request = installation.cleanups.popleft()
        steps = installation.steps
        steps.taken, steps.at, steps.action = 0, state, happens
        installation.work_on(request)
        was_paused, steps.at = steps.at is None, None
        if not was_paused:
            return state
        installation.clean_up()
        assert installation.stored() == installation.shown() != set(), f"paused before step {state}"
    raise AssertionError("a cleanup without an end")


def test_a_replay_in_any_state_of_the_cleanup_keeps_its_pictures_and_nothing_else_is_left(
    installation: Installation,
) -> None:
    def replay_to_the_end() -> None:
        installation.flow.maker.error = None
        installation.replay()
        installation.clean_up()

    assert states_paused(installation, replay_to_the_end) >= 8


def test_an_event_that_its_producer_sends_again_keeps_its_pictures_when_the_cleanup_looks_after_it(
    installation: Installation,
) -> None:
    def send_again() -> None:
        installation.flow.maker.error = None
        installation.work_on(an_upload_record())
        installation.clean_up()

    installation.steps.names -= {"delete"}
    assert states_paused(installation, send_again) >= 5


def test_a_replay_that_fails_leaves_nothing_and_the_next_one_has_a_folder_of_its_own(
    installation: Installation,
) -> None:
    leave_objects_and_give_up(installation)
    installation.replay()
    assert len(installation.dead_letters) == 2
    installation.clean_up()
    assert installation.stored() == set()
    folders = {
        read_event(ThumbnailCleanup, THUMBNAIL_CLEANUP_TYPE, r.value, r.headers).version for r in installation.cleaned
    }
    installation.flow.maker.error = None
    installation.replay()
    assert {key.split("/")[-2] for key in installation.shown()}.isdisjoint(folders)
    assert len(folders) == 2


def test_a_replay_of_an_upload_that_the_row_shows_is_dropped(installation: Installation) -> None:
    """Consumers would be given URLs of pictures that the row does not show."""
    leave_objects_and_give_up(installation)
    installation.clean_up()
    installation.flow.maker.error = None
    installation.work_on(an_upload_record())
    before = installation.shown()
    installation.replay()
    installation.clean_up()
    assert installation.results == [TOPICS.failed, TOPICS.ready]
    assert installation.stored() == installation.shown() == before
