"""Which rows a backfill takes, what it says of the others, and that a live upload always wins."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.cloudevents import write_event
from schemas.database import create_engine_for, write_transaction
from schemas.events import MediaKind, MediaUploaded
from schemas.tables import ar_contents, videos
from service.backfill import rows as backfill_rows
from service.backfill.rows import BEFORE_ALL_UPLOADS, RowPages, event_of
from service.backfill.runner import batches_of, count_rows
from service.backfill.state import Mode, Reason, Run
from streams.rows.upsert import apply_results
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_media, ready
from tests.unit.service.backfill.platform_rows import (
    FAILED,
    PHOTO,
    READY,
    SHOWN_AT,
    VIDEO,
    VIDEOS,
    a_library,
    a_run,
    deactivate,
    set_row,
)

LIBRARY: dict[int, dict[str, Any]] = {
    1: VIDEO,
    2: VIDEO | READY,
    3: VIDEO | FAILED,
    4: VIDEO | {"thumbnail_url": "http://old/x.jpg"},  # made by something else, before this service
    5: VIDEO | {"thumbnail_status": "pending"},
    6: VIDEO | {"thumbnail_event_id": "tombstone", "thumbnail_occurred_at": SHOWN_AT, "thumbnail_updated_at": SHOWN_AT},
    7: {},
    8: {"video_path": "globex/uploads/other.mp4"},
    9: {"video_path": "acme/../globex/x.mp4"},
    10: VIDEO | {"mime_type": "video/mp4", "size_bytes": 7},
    11: PHOTO,
    12: PHOTO | READY,
    13: PHOTO | FAILED,
    14: {"image_path": "", "image_url": "http://x/p.jpg"},
    15: {"image_path": None},  # the folder of videos
    16: {"video_path": "globex/uploads/v.mp4", "company_id": 2},
}


@pytest.fixture(scope="module")
def library_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("library") / "rows.db"
    engine = a_library(f"sqlite:///{path}", LIBRARY)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it is in the one file
    engine.dispose()
    return path


@pytest.fixture
def library(library_file: Path, tmp_path: Path) -> Iterator[sa.Engine]:
    engine = create_engine_for(f"sqlite:///{shutil.copy(library_file, tmp_path)}")
    yield engine
    engine.dispose()


def events_of(engine: sa.Engine, run: Run) -> dict[str, MediaUploaded]:
    found = [event for batch in batches_of(RowPages(engine), run, lambda: 3) for event in batch]
    by_key = {event.media.record_key: event for event in found}
    assert len(by_key) == len(found), "a row came twice"
    return by_key


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (Mode.MISSING, {"video:1", "video:5", "video:10", "video:16", "ar_content:11"}),
        (Mode.FAILED, {"video:3", "ar_content:13"}),
        (
            Mode.ALL,
            {
                *("video:1", "video:2", "video:3", "video:4", "video:5", "video:10", "video:16"),
                *("ar_content:11", "ar_content:12", "ar_content:13"),
            },
        ),
    ],
)
def test_each_mode_takes_its_rows(library: sa.Engine, mode: Mode, expected: set[str]) -> None:
    assert events_of(library, a_run(library, mode)).keys() == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"kinds": (MediaKind.IMAGE,)}, {"ar_content:11", "ar_content:12", "ar_content:13"}),
        ({"company_id": 2}, {"video:16"}),
        ({"since": SHOWN_AT}, {"video:2", "video:3", "ar_content:12", "ar_content:13"}),
        ({"since": SHOWN_AT + timedelta(seconds=1)}, set()),
        ({"until": SHOWN_AT}, set()),
    ],
)
def test_a_company_a_kind_and_a_time_narrow_it(library: sa.Engine, choice: dict[str, Any], expected: set[str]) -> None:
    assert events_of(library, a_run(library, Mode.ALL, **choice)).keys() == expected


NEW, OLD = "1-0000000000000001", "1-0000000000000002"


def test_rows_made_with_other_settings_are_found_and_those_of_before_rows_knew_theirs(library: sa.Engine) -> None:
    set_row(library, videos, 1, **(READY | {"thumbnail_settings": NEW}))
    set_row(library, videos, 5, **(READY | {"thumbnail_settings": OLD}))
    set_row(library, videos, 10, **(FAILED | {"thumbnail_settings": OLD}))  # a matter for --failed
    run = a_run(library, Mode.OLDER, settings=NEW)
    assert events_of(library, run).keys() == {"video:2", "video:5", "ar_content:12"}
    assert Run.model_validate_json(run.model_dump_json()).choice.settings == NEW, "a run that goes on wants the same"


def test_what_was_made_again_with_the_new_settings_is_not_found_again(library: sa.Engine) -> None:
    found = events_of(library, a_run(library, Mode.OLDER, settings=NEW))
    event = found["video:2"]
    made = ready(0, event.media, settings=NEW, occurred_at=event.occurred_at, upload_event_id=event.event_id)
    with write_transaction(library) as connection:
        apply_results(connection, [made], now=NOW)
    assert events_of(library, a_run(library, Mode.OLDER, settings=NEW)).keys() == found.keys() - {"video:2"}


def test_what_is_left_out_is_counted_and_named(library: sa.Engine) -> None:
    deactivate(library, 2)
    run = a_run(library)
    events_of(library, run)
    left_out = {reason: found.examples for reason, found in run.left_out.items()}
    assert left_out == {
        Reason.DELETED: ["video:6"],
        Reason.NO_KEY: ["video:7", "ar_content:14"],
        Reason.BAD_KEY: ["video:8", "video:9"],
        Reason.COMPANY_INACTIVE: ["video:16"],
    }
    assert run.has_faults


def test_a_row_without_its_company_is_left_out(library: sa.Engine) -> None:
    with closing(library.raw_connection()) as connection:  # a platform may have no foreign keys
        connection.cursor().execute("PRAGMA foreign_keys=OFF")
        connection.cursor().execute("UPDATE videos SET ar_content_id = 999 WHERE id = 1")
        connection.cursor().execute("PRAGMA foreign_keys=ON")
    run = a_run(library, kinds=VIDEOS)
    assert "video:1" not in events_of(library, run)
    assert run.left_out[Reason.NO_COMPANY].examples == ["video:1"]


def test_an_event_says_what_the_row_knows(library: sa.Engine) -> None:
    found = json.loads(write_event(events_of(library, a_run(library))["video:10"]))
    assert found["company_id"] == 1
    assert found["media"] == {
        "kind": "video",
        "id": 10,
        "ar_content_id": 10,
        "key": "acme/uploads/v.mp4",
        "content_type": "video/mp4",
        "size_bytes": 7,
        "version": None,
        "external_id": None,
    }


def test_rows_that_come_after_it_began_are_left_to_their_live_uploads(library: sa.Engine) -> None:
    run = a_run(library, kinds=VIDEOS)
    with write_transaction(library) as connection:
        connection.execute(sa.insert(videos).values(id=17, ar_content_id=1, video_path="acme/uploads/new.mp4"))
    assert "video:17" not in events_of(library, run)


def test_every_row_comes_once_across_windows_and_gaps(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill_rows, "WINDOW", 3)
    wanted = {1, 2, 3, 10, 11, 30, 31, 32, 33, 34, 60}
    rows = {n: VIDEO | (READY if n not in wanted else {}) for n in sorted(wanted | set(range(12, 25)))}
    engine = a_library(sqlite_url, rows)
    for limit in (1, 2, 5, 100):
        run = a_run(engine, kinds=VIDEOS)
        batches = [[event.media.id for event in found] for found in batches_of(RowPages(engine), run, lambda: limit)]  # noqa: B023 - used at once
        assert [row_id for batch in batches for row_id in batch] == sorted(wanted)
        assert max(map(len, batches)) <= min(limit, 3)
        assert run.ids_done == run.ids_in_all
    engine.dispose()


def test_a_repeated_run_sends_the_same_events_and_another_run_of_all_does_not(library: sa.Engine) -> None:
    first, second = (events_of(library, a_run(library)) for _ in range(2))
    assert first == second
    one, other = (events_of(library, a_run(library, Mode.ALL)) for _ in range(2))
    assert one["video:2"].event_id != other["video:2"].event_id
    set_row(library, videos, 1, video_path="acme/uploads/replaced.mp4")
    assert events_of(library, a_run(library))["video:1"].event_id != first["video:1"].event_id


def outcome_of(event: MediaUploaded) -> Any:
    """What a worker makes of the event."""
    result = ready(0, event.media, occurred_at=event.occurred_at)
    return result.model_copy(update={"upload_event_id": event.event_id, "produced_at": NOW + timedelta(days=9)})


def test_a_row_that_shows_its_outcome_is_not_announced_again(library: sa.Engine) -> None:
    run = a_run(library, Mode.ALL)
    event = events_of(library, run.model_copy(deep=True))["video:2"]
    with write_transaction(library) as connection:
        apply_results(connection, [outcome_of(event)], now=NOW + timedelta(days=9))
    again = run.model_copy(deep=True)
    assert "video:2" not in events_of(library, again)
    assert again.left_out[Reason.DONE_BEFORE].examples == ["video:2"]


@pytest.mark.parametrize("is_live_first", [True, False])
@pytest.mark.parametrize(("mode", "row_id"), [(Mode.MISSING, 1), (Mode.ALL, 2), (Mode.FAILED, 3)])
def test_a_live_upload_wins_whichever_comes_first(
    library: sa.Engine, mode: Mode, row_id: int, is_live_first: bool
) -> None:
    """It may have happened before the backfill began: its event was only still waiting."""
    event = events_of(library, a_run(library, mode))[f"video:{row_id}"]
    live = ready(1, a_media(row_id), occurred_at=SHOWN_AT + timedelta(seconds=1))
    results = [live, outcome_of(event)] if is_live_first else [outcome_of(event), live]
    for result in results:
        with write_transaction(library) as connection:
            apply_results(connection, [result], now=NOW + timedelta(days=9))
    with library.connect() as connection:
        shown = connection.scalar(sa.select(videos.c.thumbnail_event_id).where(videos.c.id == row_id))
    assert shown == "upload-1"


@pytest.mark.parametrize(("mode", "row_id"), [(Mode.ALL, 2), (Mode.FAILED, 3)])
def test_it_takes_the_place_of_what_the_row_shows(library: sa.Engine, mode: Mode, row_id: int) -> None:
    event = events_of(library, a_run(library, mode))[f"video:{row_id}"]
    with write_transaction(library) as connection:
        apply_results(connection, [outcome_of(event)], now=NOW + timedelta(days=9))
    with library.connect() as connection:
        row = connection.execute(sa.select(videos).where(videos.c.id == row_id)).mappings().one()
    assert (row["thumbnail_status"], row["thumbnail_event_id"]) == ("ready", event.event_id)


def test_an_upload_of_an_unknown_time_is_older_than_every_live_one(library: sa.Engine) -> None:
    assert events_of(library, a_run(library))["video:1"].occurred_at == BEFORE_ALL_UPLOADS
    shown = events_of(library, a_run(library, Mode.ALL))["video:2"].occurred_at
    assert shown == SHOWN_AT + timedelta(microseconds=1)


def test_a_count_is_by_company_and_kind_and_stops_when_asked(library: sa.Engine) -> None:
    run = a_run(library)
    counts = count_rows(RowPages(library), run, threading.Event())
    assert counts == {(1, MediaKind.VIDEO): 3, (2, MediaKind.VIDEO): 1, (1, MediaKind.IMAGE): 1}
    stopped = threading.Event()
    stopped.set()
    run = a_run(library)
    assert (count_rows(RowPages(library), run, stopped), run.kind) == ({}, MediaKind.VIDEO)


def test_what_cannot_be_an_event_is_left_out(library: sa.Engine) -> None:
    run = a_run(library)
    page = RowPages(library).page(run, MediaKind.VIDEO, 1)
    row = page.rows[0]
    broken = type("Row", (), row._asdict() | {"id": 2**31})
    assert event_of(MediaKind.VIDEO, broken, run.name) is Reason.NO_EVENT  # type: ignore[arg-type] # as a BIGINT of a platform


def test_the_rows_of_photographs_are_those_of_ar_contents(library: sa.Engine) -> None:
    set_row(library, ar_contents, 11, image_path="acme/uploads/q.jpg")
    event = events_of(library, a_run(library, kinds=(MediaKind.IMAGE,)))["ar_content:11"]
    assert (event.media.key, event.media.ar_content_id) == ("acme/uploads/q.jpg", 11)
