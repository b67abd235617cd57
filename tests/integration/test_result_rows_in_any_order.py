"""Random batches of results end as a model says that takes them one by one; writers at once end as if one had written."""

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from schemas.database import write_transaction
from schemas.events import MediaKind, ThumbnailFailed, ThumbnailReady
from schemas.tables import ar_contents, videos
from streams.rows.upsert import Result, apply_results
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_database, a_media, failed, moment, ready, version

ROWS = range(40, 50)
GONE = 999
TOO_LONG = "http://x/" + "a" * 2048
Shown = tuple[str | None, str | None, str | None, str | None, list[str] | None, str | None]


@dataclass
class ModelRow:
    """A row as the rules of docs/failures.md have it, in their own words."""

    newest: Result | None = None
    pictures: ThumbnailReady | None = None
    given_up: set[str] = field(default_factory=set)
    """Versions of the newest upload that failed."""

    def take(self, result: Result, *, refuses: bool) -> str:
        newest = self.newest
        if newest is not None:
            mine = (min(newest.occurred_at, newest.produced_at), newest.upload_event_id)
            other = (min(result.occurred_at, result.produced_at), result.upload_event_id)
            if other < mine:
                return "stale"
            if other == mine and not (isinstance(result, ThumbnailReady) and not isinstance(newest, ThumbnailReady)):
                if isinstance(newest, ThumbnailFailed) and isinstance(result, ThumbnailFailed) and result.version:
                    self.given_up.add(result.version)
                return "repeated"
            if isinstance(result, ThumbnailReady) and result.renditions[0].key.split("/")[-2] in self.given_up:
                return "overruled"
            if other != mine and not refuses:
                self.given_up = set()
        if refuses:
            return "refused"
        self.newest = result
        if isinstance(result, ThumbnailFailed) and result.version:
            self.given_up.add(result.version)
        if isinstance(result, ThumbnailReady):
            self.pictures = result
        return "applied" if newest is None else "replaced"

    def shown(self) -> Shown:
        last, pictures = self.newest, self.pictures
        return (
            None if last is None else "ready" if isinstance(last, ThumbnailReady) else "failed",
            None if last is None else last.upload_event_id,
            None if last is None or isinstance(last, ThumbnailReady) else f"media.corrupt: {last.error.message}",
            None if pictures is None else pictures.thumbnail_url,
            None if pictures is None else [rendition.key for rendition in pictures.renditions],
            None if pictures is None else pictures.placeholder,
        )


@dataclass
class Model:
    """The rows of company 1, one result after the other."""

    strict: bool
    rows: dict[tuple[MediaKind, int], ModelRow] = field(
        default_factory=lambda: {(kind, row_id): ModelRow() for kind in MediaKind for row_id in ROWS}
    )

    def take(self, result: Result) -> str:
        row = self.rows.get((result.media.kind, result.media.row_id))
        if row is None:
            return "row_gone"
        if result.company_id != 1:
            return "other_company"
        is_poison = isinstance(result, ThumbnailReady) and result.thumbnail_url == TOO_LONG
        return row.take(result, refuses=self.strict and is_poison)


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    made = a_database(request.getfixturevalue(request.param), ROWS)
    yield made
    made.dispose()


def a_result(generator: random.Random) -> Result:
    """Of few rows and few uploads, so that repeats, ties of the clock and every order are frequent."""
    media = a_media(generator.choice([*ROWS[:4], GONE]), generator.choice(list(MediaKind)))
    number, start = generator.randrange(1, 8), generator.choice([None, None, "thumbnail.dlq/0/1", "media.uploaded/0/7"])
    if generator.random() < 0.35:
        named = version(number, start) if generator.random() < 0.8 else None  # a failure of 0.1 names no version
        return failed(number, media, generator.choice(["Broken.", 'with "quotes" \\ and ü']), version=named)
    changes: dict[str, object] = {"occurred_at": moment(number - number % 2)}  # 2 and 3 are of one moment
    if generator.random() < 0.1:  # of release 0.1, whose producer had a wrong clock
        changes = {"occurred_at": datetime(9999, 1, 1, tzinfo=UTC), "produced_at": moment(number - number % 2)}
    if generator.random() < 0.1:
        changes["thumbnail_url"] = TOO_LONG
    if generator.random() < 0.3:
        changes["placeholder"] = f"hash-{number}"
    return ready(number, media, company_id=generator.choice([1, 1, 1, 1, 2]), started_by=start, **changes)


def shown_rows(engine: sa.Engine) -> dict[tuple[MediaKind, int], Shown]:
    found: dict[tuple[MediaKind, int], Shown] = {}
    with engine.connect() as connection:
        for kind, table in ((MediaKind.VIDEO, videos), (MediaKind.IMAGE, ar_contents)):
            for row in connection.execute(sa.select(table)).mappings():
                keys = None if row["thumbnails"] is None else [item["key"] for item in row["thumbnails"]]
                found[kind, row["id"]] = (
                    row["thumbnail_status"],
                    row["thumbnail_event_id"],
                    row["thumbnail_error"],
                    row["thumbnail_url"],
                    keys,
                    row["thumbnail_placeholder"],
                )
    return found


@pytest.mark.parametrize("seed", range(6))
def test_batches_of_any_size_end_as_if_each_result_had_come_alone(engine: sa.Engine, seed: int) -> None:
    generator = random.Random(seed)
    model = Model(strict=engine.dialect.name == "postgresql")
    seen = set()
    for size in generator.choices([1, 2, 5, 20, 60], k=12):
        batch = [a_result(generator) for _ in range(size)]
        with write_transaction(engine) as connection:
            outcomes = apply_results(connection, batch, now=NOW)
        assert [str(outcome) for outcome in outcomes] == [model.take(result) for result in batch]
        assert shown_rows(engine) == {place: row.shown() for place, row in model.rows.items()}
        seen.update(outcomes)
    assert len(seen) >= 6, "the batches were too tame"


def test_writers_at_once_on_the_same_rows_never_block_each_other_and_the_newest_wins(postgres_url: str) -> None:
    """Three writers with batches in random orders of rows; a deadlock would be an OperationalError."""
    last, rows = 30, range(1, 301)  # many rows, so that the locking of one batch meets that of another
    engine = a_database(postgres_url, rows)
    with write_transaction(
        engine
    ) as connection:  # every second row as release 0.1 left it for a producer's wrong clock
        wrong = {"occurred_at": datetime(9999, 1, 1, tzinfo=UTC), "updated_at": NOW, "event_id": "x", "status": "ready"}
        values = {f"thumbnail_{name}": value for name, value in wrong.items()}
        connection.execute(sa.update(videos).where(videos.c.id % 2 == 0).values(values))
    problems: list[BaseException] = []
    start = threading.Barrier(3)

    def write(number: int) -> None:
        generator = random.Random(number)
        uploads = [*range(1, last + 1)]
        generator.shuffle(uploads)
        start.wait()
        try:
            for upload in uploads:
                results: list[Result] = [
                    ready(upload, a_media(row_id, kind), placeholder=f"writer-{number}")
                    for kind in MediaKind
                    for row_id in rows
                ]
                generator.shuffle(results)
                with write_transaction(engine) as connection:
                    apply_results(connection, results, now=NOW + timedelta(seconds=upload))
        except BaseException as exc:  # noqa: BLE001 - handed to the test
            problems.append(exc)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(100)
    shown = shown_rows(engine)
    engine.dispose()
    assert problems == []
    assert {(row[0], row[1]) for row in shown.values()} == {("ready", f"upload-{last}")}
    newest = {place: ready(last, a_media(place[1], place[0])).thumbnail_url for place in shown}
    assert {place: row[3] for place, row in shown.items()} == newest


def test_a_writer_that_waited_for_another_compares_with_what_that_one_wrote(postgres_url: str) -> None:
    """The older result's statement begins before the newer one is committed, and must not win by its old snapshot."""
    engine = a_database(postgres_url, ROWS)
    outcomes: list[str] = []

    def write_older() -> None:
        with write_transaction(engine) as connection:
            outcomes.extend(apply_results(connection, [ready(1)], now=NOW))

    with write_transaction(engine) as connection:
        apply_results(connection, [ready(2)], now=NOW)
        older = threading.Thread(target=write_older)
        older.start()
        _wait_for_a_blocked_statement(engine)
    older.join(30)
    row = shown_rows(engine)[MediaKind.VIDEO, 42]
    engine.dispose()
    assert outcomes == ["stale"]
    assert row[:2] == ("ready", "upload-2")
    assert row[3] == ready(2).thumbnail_url


def _wait_for_a_blocked_statement(engine: sa.Engine) -> None:
    query = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    for _ in range(10_000):
        with engine.connect() as connection:
            if connection.execute(query).scalar_one():
                return
    raise AssertionError("nobody waits")
