"""Replaced and deleted pictures stay readable for a while, then all of them go."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from schemas import headers as h
from schemas.cloudevents import read_event
from schemas.database import write_transaction
from schemas.events import THUMBNAIL_CLEANUP_TYPE, CleanupReason, Media, MediaKind, ThumbnailCleanup
from schemas.media_state import DeletedMedia, ThumbnailDeleted
from schemas.tables import videos
from schemas.topics import UNPREFIXED
from streams.kafka.records import OutboundRecord
from streams.rows.last_write_wins import Result
from streams.rows.queries import RowStates, ShownRow
from streams.rows.upsert import apply_results
from streams.thumbnails.cleanup import CleanupService
from streams.thumbnails.cleanup_requests import cleanup_request, deletion_cleanup, needs_cleanup
from streams.thumbnails.grace import Grace
from tests.doubles.pipeline import NOW, Flow, a_flow
from tests.doubles.results import a_database, a_media, failed, moment, ready, version
from tests.unit.streams.worker.test_handler import MIDDLE, NEW, OLD, a_cleanup_record, versions_left, with_versions

KEEP_S = 60.0
LATER, EARLIER = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)
"""After, and before, the cleanup's request was made."""


class OneRow:
    """Stands for the table."""

    def __init__(self, row: ShownRow | None) -> None:
        self._row = row

    def shown(self, _media: Media) -> ShownRow | None:
        return self._row


def left_after(row: ShownRow | None, reason: CleanupReason, keep_s: float = KEEP_S) -> set[str]:
    flow = with_versions(a_flow())
    record = a_cleanup_record(MIDDLE, reason)
    request = read_event(ThumbnailCleanup, THUMBNAIL_CLEANUP_TYPE, record.value, record.headers)
    asyncio.run(CleanupService(flow.calls, OneRow(row), lambda: NOW, Grace(keep_s)).clean(request))  # type: ignore[arg-type]
    assert OLD in versions_left(flow)  # another media's
    return {key.split("/")[4] for key in flow.tenants.own.objects if "/video/42/" in key}


CHANGED, SAME = (ShownRow(frozenset({NEW}), 1, changed_at=at) for at in (LATER, EARLIER))


@pytest.mark.parametrize(
    ("row", "reason", "left"),
    [
        (SAME, CleanupReason.SUPERSEDED, {NEW}),
        (SAME, CleanupReason.STALE, {NEW}),
        (SAME, CleanupReason.GIVEN_UP, {NEW}),
        (CHANGED, CleanupReason.SUPERSEDED, {NEW, MIDDLE}),  # shown until the row changed
        (CHANGED, CleanupReason.STALE, {NEW, MIDDLE, OLD}),
        (CHANGED, CleanupReason.GIVEN_UP, {NEW, MIDDLE, OLD}),
        (CHANGED, CleanupReason.ROW_GONE, {NEW}),
        (None, CleanupReason.SUPERSEDED, {NEW, MIDDLE}),
        (None, CleanupReason.GIVEN_UP, {NEW, MIDDLE, OLD}),
        (None, CleanupReason.ROW_GONE, {NEW}),
    ],
)
def test_what_was_shown_until_a_moment_ago_is_left_to_a_later_cleanup(
    row: ShownRow | None, reason: CleanupReason, left: set[str]
) -> None:
    assert left_after(row, reason) == left


@pytest.mark.parametrize("row", [CHANGED, None])
@pytest.mark.parametrize("reason", CleanupReason)
def test_without_a_grace_time_all_goes_at_once(row: ShownRow | None, reason: CleanupReason) -> None:
    assert left_after(row, reason, keep_s=0) == {NEW}


def test_a_cleanup_waits_for_the_grace_time_and_without_one_goes_to_work_at_once() -> None:
    request = OutboundRecord("thumbnail.cleanup", b"video:42", b"{}", (("own", b"1"),))
    waiting = Grace(KEEP_S).waiting(request, UNPREFIXED, NOW)
    assert (waiting.topic, waiting.key, waiting.value) == ("thumbnail.cleanup.waiting", b"video:42", b"{}")
    due_at = h.format_time(NOW + timedelta(seconds=KEEP_S)).encode()
    assert waiting.headers == (("own", b"1"), (h.RETRY_DUE_AT, due_at))
    assert Grace(0).waiting(request, UNPREFIXED, NOW) == request


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    made = a_database(f"sqlite:///{tmp_path_factory.mktemp('rows')}/rows.db", range(1, 21))
    yield made
    made.dispose()


@dataclass
class Story:
    """Uploads, failures and deletions of one media by a clock of its own, and the cleanups that they ask for."""

    engine: sa.Engine
    media_id: int
    flow: Flow = field(default_factory=a_flow)
    wall: int = 1000
    """Seconds since NOW; an upload of a moment has its number."""
    results: list[tuple[int, Result]] = field(default_factory=list)
    """What is to be written, and when."""
    waiting: list[tuple[int, ThumbnailCleanup]] = field(default_factory=list)
    needed_until: dict[str, int] = field(default_factory=dict)
    """Until when each folder that a row has shown must be readable."""
    has_row: bool = True

    def __post_init__(self) -> None:
        self.rows = RowStates(self.engine, self.now)
        self.cleanup = CleanupService(self.flow.calls, self.rows, self.now, Grace(KEEP_S))
        self.media = a_media(self.media_id)

    def now(self) -> datetime:
        return moment(self.wall)

    def upload(self, chance: random.Random) -> None:
        """Store its pictures, or a part of them; the result comes to the row some time later, maybe after a newer one."""
        number, is_sound = self.wall, chance.random() < 0.7
        key = f"acme/thumbnails/video/{self.media_id}/{version(number)}/medium.webp"
        self.flow.tenants.own.objects[key] = b"x"
        result: Result = ready(number, self.media) if is_sound else failed(number, self.media, version=version(number))
        self.results.append((self.wall + chance.choice([1, 5, 30, 90]), result))

    def write(self, result: Result) -> None:
        shown = self.shown()
        with write_transaction(self.engine) as connection:
            (outcome,) = apply_results(connection, [result], now=self.now())
        self.note_replaced(shown)
        if needs_cleanup(result, outcome):
            self.ask(cleanup_request("cleanups", result, outcome, (), self.now()))

    def delete(self, *, with_row: bool, late_s: int) -> None:
        """Read a deletion that happened `late_s` seconds ago."""
        shown, at = self.shown(), moment(self.wall - late_s)
        if with_row and self.has_row:
            self.has_row = False
            with write_transaction(self.engine) as connection:
                connection.execute(sa.delete(videos).where(videos.c.id == self.media_id))
        self.rows.mark_deleted(MediaKind.VIDEO, self.media_id, at, 1)
        self.note_replaced(shown)
        deleted = ThumbnailDeleted(
            event_id=f"deleted-{self.wall}",
            occurred_at=at,
            produced_at=self.now(),
            company_id=1,
            media=DeletedMedia(kind=MediaKind.VIDEO, id=self.media_id, ar_content_id=self.media_id),
        )
        self.ask(deletion_cleanup("cleanups", deleted, (), self.now()))

    def ask(self, record: OutboundRecord) -> None:
        request = read_event(ThumbnailCleanup, THUMBNAIL_CLEANUP_TYPE, record.value, record.headers)
        self.waiting.append((self.wall + int(KEEP_S), request))

    def note_replaced(self, shown_before: frozenset[str]) -> None:
        for folder in shown_before - self.shown():
            self.needed_until[folder] = self.wall + int(KEEP_S)

    def shown(self) -> frozenset[str]:
        row = self.rows.shown(self.media)
        return frozenset() if row is None else row.versions

    def stored(self) -> set[str]:
        return {key.split("/")[4] for key in self.flow.tenants.own.objects if "/thumbnails/" in key}

    def pass_to(self, wall: int) -> None:
        """Let the time pass: results are written and cleanups done as they come due, those of one moment in any order."""
        while self.wall < wall:
            self.wall += 1
            for due, result in [one for one in self.results if one[0] == self.wall]:
                self.results.remove((due, result))
                self.write(result)
            for due, request in [one for one in self.waiting if one[0] == self.wall]:
                self.waiting.remove((due, request))
                before = self.stored()
                asyncio.run(self.cleanup.clean(request))
                for folder in before - self.stored():
                    until = self.needed_until.get(folder, 0)
                    assert until <= self.wall, f"{folder} went {until - self.wall} s too early, by {request.reason}"
        assert self.shown() <= self.stored()


@pytest.mark.parametrize("seed", range(1, 11))
def test_no_picture_goes_before_its_time_and_none_stays_after_it(engine: sa.Engine, seed: int) -> None:
    chance, story = random.Random(seed), Story(engine, seed)
    for _ in range(40):
        what = chance.random()
        if what < 0.1:
            story.delete(with_row=what < 0.01, late_s=chance.choice([0, 0, 30, 50]))
        else:
            story.upload(chance)
        story.pass_to(story.wall + chance.choice([1, 2, 10, 40, 70]))
    story.pass_to(story.wall + 400)
    assert story.waiting == []
    assert story.stored() == story.shown()


def test_a_deletion_that_comes_late_counts_as_a_change_of_now(engine: sa.Engine) -> None:
    """Else a cleanup that was asked for before it could delete what it has just taken away."""
    story = Story(engine, 11)
    story.write(ready(900, story.media))
    story.wall = 2000
    story.delete(with_row=False, late_s=950)
    row = story.rows.shown(story.media)
    assert row is not None
    assert (row.versions, row.changed_at) == (frozenset(), story.now())
