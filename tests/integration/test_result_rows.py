"""Results into rows, on SQLite and on PostgreSQL alike: the newest upload wins, whatever the order."""

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.cloudevents import write_event
from schemas.database import write_transaction
from schemas.events import Media, MediaKind, upload_version
from schemas.media_state import ThumbnailState
from schemas.tables import ar_contents, videos
from streams.rows.last_write_wins import RowOutcome
from streams.rows.queries import DeletedRow, NewestUpload, RowStates
from streams.rows.states import read_media_states
from streams.rows.upsert import Result, apply_results
from streams.rows.versions import MOST_GIVEN_UP
from streams.thumbnails.cleanup_requests import needs_cleanup
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_database, a_media, failed, moment, ready, version

OF_COMPANY_1 = DeletedRow(company_id=1, ar_content_id=42)


@pytest.fixture(params=["sqlite_url", "postgres_url"])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    made = a_database(request.getfixturevalue(request.param))
    yield made
    made.dispose()


def apply(engine: sa.Engine, *results: Result) -> list[RowOutcome]:
    with write_transaction(engine) as connection:
        return apply_results(connection, results, now=NOW)


def row_of(engine: sa.Engine, media_id: int = 42, table: sa.Table = videos) -> sa.RowMapping:
    with engine.connect() as connection:
        return connection.execute(sa.select(table).where(table.c.id == media_id)).mappings().one()


def test_a_first_result_fills_every_column(engine: sa.Engine) -> None:
    result = ready(0, placeholder="abcd")
    assert apply(engine, result) == [RowOutcome.APPLIED]

    row = row_of(engine)
    assert row["thumbnail_url"] == result.thumbnail_url
    assert row["thumbnails"] == [rendition.model_dump() for rendition in result.renditions]
    assert (row["thumbnail_status"], row["thumbnail_error"], row["thumbnail_placeholder"]) == ("ready", None, "abcd")
    assert (row["thumbnail_event_id"], row["thumbnail_updated_at"].replace(tzinfo=None)) == (
        "upload-0",
        NOW.replace(tzinfo=None),
    )


def test_a_row_says_with_which_settings_the_pictures_that_it_shows_were_made(engine: sa.Engine) -> None:
    apply(engine, ready(1, settings="1-aaaa"))
    assert row_of(engine)["thumbnail_settings"] == "1-aaaa"
    apply(engine, failed(2))  # the row goes on showing the same pictures
    assert row_of(engine)["thumbnail_settings"] == "1-aaaa"
    apply(engine, ready(3, settings="1-bbbb"), failed(4))
    assert row_of(engine)["thumbnail_settings"] == "1-bbbb"
    apply(engine, ready(5))  # of a worker of 0.1
    assert row_of(engine)["thumbnail_settings"] is None


def named(external_id: str) -> Media:
    return a_media().model_copy(update={"external_id": external_id})


def test_a_media_keeps_the_name_that_the_platform_gave_it_last_also_through_a_failure_and_a_deletion(
    engine: sa.Engine,
) -> None:
    def states() -> list[str | None]:
        with engine.connect() as connection:
            found = read_media_states(connection, [(MediaKind.VIDEO, 42)])
        return [None if state is None else state.media.external_id for state in found.values()]

    apply(engine, failed(1, named("0b36-Größe/1")))
    assert states() == ["0b36-Größe/1"]
    apply(engine, ready(2))  # a backfill or a bucket's notification does not know it
    assert states() == ["0b36-Größe/1"]
    apply(engine, ready(3, named("b")), ready(4))
    assert states() == ["b"]
    RowStates(engine).mark_deleted(MediaKind.VIDEO, 42, moment(9))
    assert states() == [None]
    apply(engine, ready(10))
    assert states() == ["b"]


@pytest.mark.parametrize("written", [None, sa.JSON.NULL, [], {}, 0, "text", ["odd", {"key": 1}]], ids=str)
def test_a_state_has_the_rows_pictures_and_none_where_the_platform_wrote_no_list_of_pictures(
    engine: sa.Engine, written: Any
) -> None:
    shown = ready(1, thumbnail_url="http://é/🎞.webp")
    apply(engine, shown, ready(1, a_media(41)))
    with write_transaction(engine) as connection:
        connection.execute(sa.update(videos).where(videos.c.id == 41).values(thumbnails=written))
        found = read_media_states(connection, [(MediaKind.VIDEO, number) for number in (41, 42)])
    odd, sound = found[MediaKind.VIDEO, 41], found[MediaKind.VIDEO, 42]
    assert odd is not None
    assert sound is not None
    assert (odd.renditions, odd.upload_event_id) == ((), "upload-1")
    assert (sound.renditions, sound.thumbnail_url) == (shown.renditions, shown.thumbnail_url)
    assert set(json.loads(write_event(odd))) == set(ThumbnailState.model_fields)


def test_an_image_goes_to_its_ar_content(engine: sa.Engine) -> None:
    apply(engine, ready(1, a_media(43, MediaKind.IMAGE)))
    assert row_of(engine, 43, ar_contents)["thumbnail_status"] == "ready"
    assert row_of(engine, 43, videos)["thumbnail_status"] is None


RESULTS: dict[str, Result] = {"r1": ready(1), "r2": ready(2), "r3": ready(3), "f2": failed(2), "f3": failed(3)}


@pytest.mark.parametrize("in_one_batch", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize("names", [("r1", "r2", "r3"), ("r1", "r2", "f3"), ("r1", "f2", "r3"), ("r2", "f2", "r1")])
def test_every_order_with_repeats_ends_in_the_same_row(
    engine: sa.Engine, names: tuple[str, ...], in_one_batch: bool
) -> None:
    """Six orders of three results, each followed by a repeat of all, on a row of its own."""
    ends = set()
    for media_id, order in zip(range(40, 46), itertools.permutations(names), strict=True):
        media = a_media(media_id)
        results = [_for(RESULTS[name], media) for name in (*order, *order)]
        for batch in [results] if in_one_batch else [[result] for result in results]:
            apply(engine, *batch)
        row = row_of(engine, media_id)
        ends.add((row["thumbnail_status"], row["thumbnail_event_id"], row["thumbnail_error"]))
    assert len(ends) == 1


def _for(result: Result, media: object) -> Result:
    return result.model_copy(update={"media": media})


def test_an_older_result_is_stale_and_changes_nothing(engine: sa.Engine) -> None:
    apply(engine, ready(2))
    before = row_of(engine)
    assert apply(engine, ready(1)) == [RowOutcome.STALE]
    assert row_of(engine) == before


def test_a_repeat_changes_nothing(engine: sa.Engine) -> None:
    apply(engine, ready(1))
    assert apply(engine, ready(1), ready(1)) == [RowOutcome.REPEATED, RowOutcome.REPEATED]


def test_uploads_of_one_moment_are_ordered_by_their_ids(engine: sa.Engine) -> None:
    one, two = ready(1), ready(2, occurred_at=moment(1))
    assert apply(engine, two, one) == [RowOutcome.APPLIED, RowOutcome.STALE]


def test_a_newer_failure_keeps_the_earlier_pictures_shown(engine: sa.Engine) -> None:
    for batch in ([ready(1), failed(2)],), ([ready(3)], [failed(4)]):
        for results in batch:
            apply(engine, *results)
        row = row_of(engine)
        assert row["thumbnail_status"] == "failed"
        assert row["thumbnail_error"] == "media.corrupt: Broken."
        assert row["thumbnail_url"] is not None


def test_of_one_upload_success_beats_failure(engine: sa.Engine) -> None:
    assert apply(engine, failed(1), ready(1), failed(1)) == [
        RowOutcome.APPLIED,
        RowOutcome.REPLACED,
        RowOutcome.REPEATED,
    ]
    assert row_of(engine)["thumbnail_status"] == "ready"


def results_named(names: str) -> list[Result]:
    """r and f with the number of an upload; then, after a dot, the number of the record that started it again."""
    made: list[Result] = []
    for name in names.split():
        number, _, start = name[1:].partition(".")
        started_by = f"thumbnail.dlq/0/{start}" if start else None
        one = ready(int(number), started_by=started_by)
        made.append(one if name[0] == "r" else failed(int(number), version=version(int(number), started_by)))
    return made


@pytest.mark.parametrize("in_one_batch", [True, False], ids=["one batch", "one by one"])
@pytest.mark.parametrize(
    ("names", "outcomes", "shown"),
    [
        ("f1 r1", "applied overruled", None),
        ("f1 r1 r1 f1", "applied overruled overruled repeated", None),
        ("r1 f1", "applied repeated", version(1)),
        ("f1 r1.1", "applied replaced", version(1, "thumbnail.dlq/0/1")),
        ("f1 r1.1 r1 f1.1", "applied replaced repeated repeated", version(1, "thumbnail.dlq/0/1")),
        ("f1 f1.1 r1 r1.1", "applied repeated overruled overruled", None),
        ("f1.1 f1 r1 r1.2", "applied repeated overruled replaced", version(1, "thumbnail.dlq/0/2")),
        ("f1 f2 r1 r2", "applied replaced stale overruled", None),
        ("r1 f2 r2 f1", "applied replaced overruled stale", version(1)),
        ("f1 r2 f1 r1", "applied replaced stale stale", version(2)),
    ],
)
def test_a_version_that_was_given_up_is_never_shown_afterwards(
    engine: sa.Engine, names: str, outcomes: str, shown: str | None, in_one_batch: bool
) -> None:
    results = results_named(names)
    found = (
        apply(engine, *results)
        if in_one_batch
        else [outcome for result in results for outcome in apply(engine, result)]
    )
    assert " ".join(found) == outcomes
    row = row_of(engine)
    folders = {item["key"].split("/")[-2] for item in row["thumbnails"] or ()}
    assert folders == ({shown} if shown else set())
    is_newest_shown = (
        shown is not None and row["thumbnail_event_id"] == results_named(f"r{shown_number(shown)}")[0].upload_event_id
    )
    assert row["thumbnail_status"] == ("ready" if is_newest_shown else "failed")


def shown_number(shown: str) -> int:
    return next(number for number in (1, 2) if shown.startswith(version(number)))


def test_a_failure_of_release_0_1_names_no_version_and_its_upload_may_still_succeed(engine: sa.Engine) -> None:
    """Its replays have the folder of the first attempt."""
    assert apply(engine, failed(1), ready(1)) == [RowOutcome.APPLIED, RowOutcome.REPLACED]
    assert row_of(engine)["thumbnail_status"] == "ready"


def test_a_tombstone_outlives_what_was_given_up_before_it(engine: sa.Engine) -> None:
    apply(engine, *results_named("f1"))
    assert RowStates(engine).mark_deleted(MediaKind.VIDEO, 42, moment(3))
    assert apply(engine, *results_named("r1 f1.1")) == [RowOutcome.STALE, RowOutcome.STALE]
    assert apply(engine, *results_named("f4 r4 r4.1")) == [
        RowOutcome.REPLACED,
        RowOutcome.OVERRULED,
        RowOutcome.REPLACED,
    ]


def test_a_row_remembers_so_many_versions_and_of_the_others_nothing_may_be_deleted(engine: sa.Engine) -> None:
    names = [f"f1.{number}" for number in range(1, MOST_GIVEN_UP + 1)]
    assert apply(engine, *results_named(" ".join(["f1", *names[:-1]])))[-1] is RowOutcome.REPEATED
    (beyond,) = results_named(names[-1])
    for _ in range(2):
        (outcome,) = apply(engine, beyond)
        assert (outcome, needs_cleanup(beyond, outcome)) == (RowOutcome.UNREMEMBERED, False)
    assert apply(engine, *results_named("r1 r1.1")) == [RowOutcome.OVERRULED, RowOutcome.OVERRULED]
    assert apply(engine, *results_named(f"r1.{MOST_GIVEN_UP}")) == [RowOutcome.REPLACED]


def test_a_row_that_is_gone_is_told(engine: sa.Engine) -> None:
    assert apply(engine, ready(1, a_media(999))) == [RowOutcome.ROW_GONE]


def test_a_row_of_another_company_is_never_touched(engine: sa.Engine) -> None:
    assert apply(engine, ready(1, company_id=2)) == [RowOutcome.OTHER_COMPANY]
    assert row_of(engine)["thumbnail_status"] is None


def test_the_shown_version_is_found_by_the_keys_also_after_a_newer_failure(engine: sa.Engine) -> None:
    rows = RowStates(engine)
    fresh = rows.shown(a_media())
    assert fresh is not None
    assert fresh.versions == frozenset()
    apply(engine, ready(1), failed(2))
    shown = rows.shown(a_media())
    assert shown is not None
    assert shown.versions == {upload_version(moment(1), "upload-1")}
    assert rows.shown(a_media(999)) is None


def test_the_newest_upload_is_the_last_one_with_an_outcome(engine: sa.Engine) -> None:
    rows = RowStates(engine)
    fresh = rows.newest(a_media())
    assert fresh is not None
    assert fresh.event_id == ""
    assert fresh.occurred_at < moment(0)
    apply(engine, ready(1), failed(2))
    assert rows.newest(a_media()) == NewestUpload(moment(2), "upload-2")
    assert rows.newest(a_media(999)) is None


def test_a_tombstone_makes_older_results_stale_and_newer_ones_are_applied(engine: sa.Engine) -> None:
    rows = RowStates(engine)
    apply(engine, ready(1))
    assert rows.mark_deleted(MediaKind.VIDEO, 42, moment(5)) == OF_COMPANY_1
    assert rows.mark_deleted(MediaKind.VIDEO, 42, moment(3)) == OF_COMPANY_1  # an older one, redelivered late
    assert rows.newest(a_media()) == NewestUpload(moment(5), "tombstone", is_ready=False)
    row = row_of(engine)
    assert [row[f"thumbnail_{name}"] for name in ("url", "status", "error", "placeholder")] == [None] * 4
    assert row["thumbnails"] is None
    assert apply(engine, ready(4), ready(6)) == [RowOutcome.STALE, RowOutcome.REPLACED]
    assert rows.mark_deleted(MediaKind.VIDEO, 42, moment(5)) == OF_COMPANY_1
    assert rows.newest(a_media()) == NewestUpload(moment(6), "upload-6", is_ready=True)
    assert rows.mark_deleted(MediaKind.VIDEO, 999, moment(5)) is None


@pytest.mark.parametrize("kind", list(MediaKind))
def test_a_deletion_by_another_company_leaves_the_row_as_it_is(engine: sa.Engine, kind: MediaKind) -> None:
    apply(engine, ready(1, a_media(42, kind)))
    assert RowStates(engine).mark_deleted(kind, 42, moment(5), company_id=2) == OF_COMPANY_1
    assert RowStates(engine).newest(a_media(42, kind)) == NewestUpload(moment(1), "upload-1", is_ready=True)
    assert RowStates(engine).mark_deleted(kind, 42, moment(5), company_id=1) == OF_COMPANY_1
    assert RowStates(engine).newest(a_media(42, kind)) == NewestUpload(moment(5), "tombstone", is_ready=False)


def test_what_is_deleted_in_the_second_of_its_upload_was_there_before(engine: sa.Engine) -> None:
    apply(engine, ready(1))
    RowStates(engine).mark_deleted(MediaKind.VIDEO, 42, moment(1))
    assert row_of(engine)["thumbnail_event_id"] == "tombstone"


FUTURE = datetime(9999, 1, 1, tzinfo=UTC)


def write_as_0_1(engine: sa.Engine, status: str, *, event_id: str = "wrong-clock") -> None:
    """Write into row 42, at NOW, what release 0.1 made of an upload whose producer had a clock in the year 9999."""
    values = {"status": status, "event_id": event_id, "occurred_at": FUTURE, "updated_at": NOW}
    with write_transaction(engine) as connection:
        change = sa.update(videos).where(videos.c.id == 42)
        connection.execute(change.values({f"thumbnail_{name}": value for name, value in values.items()}))


@pytest.mark.parametrize("status", ["ready", "failed"])
def test_a_row_of_0_1_from_the_future_gives_way_to_every_upload_since_it_was_written(
    engine: sa.Engine, status: str
) -> None:
    write_as_0_1(engine, status)
    newest = RowStates(engine).newest(a_media())
    assert newest is not None
    assert newest.occurred_at == NOW
    assert apply(engine, ready(-1)) == [RowOutcome.STALE]
    assert apply(engine, ready(1), ready(2), ready(2)) == [
        RowOutcome.REPLACED,
        RowOutcome.REPLACED,
        RowOutcome.REPEATED,
    ]
    assert row_of(engine)["thumbnail_event_id"] == "upload-2"


def test_a_tombstone_of_0_1_from_the_future_gives_way_too(engine: sa.Engine) -> None:
    with write_transaction(engine) as connection:
        values = {"thumbnail_occurred_at": FUTURE, "thumbnail_event_id": "tombstone"}
        connection.execute(sa.update(videos).values(values))
    assert apply(engine, ready(1)) == [RowOutcome.REPLACED]
    assert RowStates(engine).mark_deleted(MediaKind.VIDEO, 42, moment(2)) == OF_COMPANY_1
    assert apply(engine, ready(1), ready(2, occurred_at=moment(1)), ready(3)) == [
        RowOutcome.STALE,
        RowOutcome.STALE,
        RowOutcome.REPLACED,
    ]


def test_a_tombstone_counts_though_the_row_is_from_the_future(engine: sa.Engine) -> None:
    write_as_0_1(engine, "ready")
    assert RowStates(engine).mark_deleted(MediaKind.VIDEO, 42, moment(5)) == OF_COMPANY_1
    assert apply(engine, ready(4), ready(6)) == [RowOutcome.STALE, RowOutcome.REPLACED]


def test_a_result_of_0_1_from_the_future_counts_by_the_time_at_which_it_was_made_and_never_comes_back(
    engine: sa.Engine,
) -> None:
    """The pictures of a result that lost are deleted: read again later, also after the year 9999, it must lose again."""
    wrong = ready(1, occurred_at=FUTURE, produced_at=moment(1))
    assert apply(engine, ready(0), wrong, wrong, ready(2)) == [
        RowOutcome.APPLIED,
        RowOutcome.REPLACED,
        RowOutcome.REPEATED,
        RowOutcome.REPLACED,
    ]
    with write_transaction(engine) as connection:
        assert apply_results(connection, [wrong], now=FUTURE + timedelta(days=1)) == [RowOutcome.STALE]
    assert row_of(engine)["thumbnail_event_id"] == "upload-2"


def test_a_persist_role_whose_clock_is_slow_lets_no_older_upload_win(engine: sa.Engine) -> None:
    with write_transaction(engine) as connection:
        apply_results(connection, [ready(10)], now=NOW - timedelta(hours=1))
    assert apply(engine, ready(9)) == [RowOutcome.STALE]
