"""What is a trouble, and what only looks like one: the rows and folders at the edges."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from schemas.database import write_transaction
from schemas.events import MediaKind, ThumbnailReady, upload_version
from schemas.tables import ar_contents, companies, videos
from service.reconcile.rows import CompanyRows, first_after
from storage.keys import version_folder
from tests.doubles.library import GIVEN_UP_BY, UPLOADED_AT, problems_of
from tests.unit.service.reconcile.installation import Installation, an_installation


@pytest.fixture
def sound(sqlite_url: str, tmp_path: Path) -> Iterator[Installation]:
    """Video 12 is company 1's, video 13 company 2's."""
    installation = an_installation(sqlite_url, tmp_path, media=30)
    yield installation
    installation.engine.dispose()


def set_video(installation: Installation, number: int, **values: Any) -> None:
    with write_transaction(installation.engine) as connection:
        connection.execute(sa.update(videos).where(videos.c.id == number).values(values))


def put_folder(
    installation: Installation, number: int, version: str, *, company_id: int = 1, folder: str | None = None
) -> str:
    """Put an old picture into a folder of a video, as a worker, or somebody else, would name it."""
    name = folder or version_folder(version, company_id, [("medium.webp", b"x")])
    key = f"acme/thumbnails/video/{number}/{name}/medium.webp"
    installation.own.objects[key] = b"x"
    return key


def troubles(installation: Installation, **changes: Any) -> dict[str, str]:
    _, notes = installation.reconcile(**changes)
    return {media: trouble for media, trouble, *_ in notes.findings}


def test_a_sound_library_has_no_troubles(sound: Installation) -> None:
    run, notes = sound.reconcile()
    assert (notes.findings, run.has_faults, run.media) == ([], False, 30)
    assert notes.compared_last["acme"].objects + notes.compared_last["globex"].objects == 90


def test_files_of_others_between_the_thumbnails_are_left_alone(sound: Installation) -> None:
    own = sound.own
    strangers = (
        "acme/thumbnails/video/notes.txt",
        "acme/thumbnails/video/12/cover.jpg",
        "acme/thumbnails/video/12/my-folder/cover.jpg",
        "acme/thumbnails/video/012/20200101T000000.000000Z-aaaaaaaaaaaa/x.webp",
        "acme/thumbnails/video/99999999999/20200101T000000.000000Z-aaaaaaaaaaaa/x.webp",
        "acme/thumbnails/video/12/20200101T000000.000000Z-aaaaaaaaaaaa-1-aaaaaaaaaaaa/deeper/x.webp",
        "acme/uploads/777.bin",
    )
    own.objects.update(dict.fromkeys(strangers, b"theirs"))
    _, notes = sound.fix()
    assert notes.findings == []
    assert set(strangers) <= own.objects.keys()
    assert notes.compared_last["acme"].foreign == len(strangers) - 1


def test_a_folder_of_another_company_in_a_shared_folder_is_not_ours_to_delete(sound: Installation) -> None:
    key = put_folder(sound, 12, upload_version(UPLOADED_AT - timedelta(days=1), "old"), company_id=7)
    assert troubles(sound) == {}
    assert key in sound.own.objects


def test_pictures_whose_row_is_another_companys_are_deleted_only_where_they_bear_our_name(
    sound: Installation,
) -> None:
    version = upload_version(UPLOADED_AT - timedelta(days=1), "old")
    ours, nameless = put_folder(sound, 13, version), put_folder(sound, 13, version, folder=version)
    _, notes = sound.fix()
    assert [found[:3] for found in notes.findings] == [("video:13", "ownerless", "deleted")]
    assert ours not in sound.own.objects
    assert nameless in sound.own.objects


NEWER = upload_version(UPLOADED_AT + timedelta(days=2), "newer")
SAME = upload_version(UPLOADED_AT + timedelta(seconds=12), "upload-12", GIVEN_UP_BY)


@pytest.mark.parametrize(
    ("version", "values", "trouble"),
    [
        (upload_version(UPLOADED_AT - timedelta(days=1), "old"), {}, "orphan"),
        (SAME, {}, "orphan"),  # the row is ready by another version of this upload
        (SAME, {"thumbnail_status": "failed", "thumbnail_given_up": SAME}, "orphan"),
        (SAME, {"thumbnail_status": "failed"}, None),  # a replay's result may be on its way
        (NEWER, {}, "stuck"),
        (upload_version(datetime(2999, 1, 1, tzinfo=UTC), "lead"), {}, "orphan"),
        (upload_version(UPLOADED_AT - timedelta(days=1), "old"), {"thumbnail_event_id": "tombstone"}, "orphan"),
        (upload_version(UPLOADED_AT + timedelta(seconds=12), "its twin"), {}, None),  # nobody knows which came first
    ],
    ids=("overtaken", "another version", "given up", "failed", "newer", "far ahead", "deleted", "a twin"),
)
def test_only_what_can_never_be_shown_is_an_orphan(
    sound: Installation, version: str, values: dict[str, Any], trouble: str | None
) -> None:
    key = put_folder(sound, 12, version)
    if values:
        set_video(sound, 12, **values)
    _, notes = sound.fix()
    found = {name for media, name, *_ in notes.findings if media == "video:12"}
    assert found == ({trouble} if trouble else set())
    assert (key in sound.own.objects) == (trouble != "orphan")


@pytest.mark.parametrize(("changed_before_s", "is_kept"), [(1800, True), (7200, False)])
def test_pictures_that_were_replaced_a_moment_ago_stay_for_their_grace_time(
    sound: Installation, changed_before_s: float, is_kept: bool
) -> None:
    key = put_folder(sound, 12, upload_version(UPLOADED_AT - timedelta(days=1), "old"))
    set_video(sound, 12, thumbnail_updated_at=datetime.now(UTC) - timedelta(seconds=changed_before_s))
    _, notes = sound.fix(keep=timedelta(hours=1))
    assert [found[:2] for found in notes.findings] == ([] if is_kept else [("video:12", "orphan")])
    assert (key in sound.own.objects) == is_kept


def test_pictures_that_are_stored_and_never_announced_are_made_again_after_their_own_time(
    sound: Installation,
) -> None:
    key = put_folder(sound, 12, NEWER)
    sound.own.objects["acme/uploads/12.bin"] = b"the whole source"
    sound.fix()
    (event,) = sound.announced
    assert event.occurred_at == UPLOADED_AT + timedelta(days=2, microseconds=1)
    sound.work()
    sound.fix()
    assert key not in sound.own.objects
    assert problems_of(sound.library) == []


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"thumbnail_status": "failed"}, "its newest upload failed"),
        ({"video_path": None}, "no video_path"),
        ({"video_path": "globex/uploads/12.bin"}, "not inside the company's folder"),
        ({}, "its source is gone"),
    ],
    ids=("failed", "no key", "bad key", "no source"),
)
def test_missing_pictures_that_nothing_here_can_make_again_are_a_persons_matter(
    sound: Installation, values: dict[str, Any], why: str
) -> None:
    for key in [key for key in sound.own.objects if "/video/12/" in key]:
        del sound.own.objects[key]
    if values:
        set_video(sound, 12, **values)
    run, notes = sound.fix()
    ((media, trouble, done, said),) = notes.findings
    assert (media, trouble, done) == ("video:12", "missing", "person")
    assert why in said
    assert run.has_faults
    assert sound.announced == []


def test_nothing_is_announced_for_a_company_that_is_not_active_or_a_media_that_was_deleted(
    sound: Installation,
) -> None:
    sound.own.objects.clear()
    set_video(sound, 12, thumbnail_event_id="tombstone")
    with write_transaction(sound.engine) as connection:
        connection.execute(sa.update(companies).where(companies.c.id == 1).values(is_active=False))
    _, notes = sound.fix()
    assert sound.announced == []
    assert {why for *_, why in notes.findings} == {"its company is not active"}
    assert "video:12" not in {media for media, *_ in notes.findings}


def test_a_row_that_shows_another_folder_than_its_companys_is_named_and_left(sound: Installation) -> None:
    with write_transaction(sound.engine) as connection:
        connection.execute(sa.update(companies).where(companies.c.id == 1).values(storage_path="moved"))
    shelf = sound.library.shelves[0]
    sound.tenants.shelves[1] = type(shelf)(1, "moved", shelf.own, shelf.local)
    before = dict(sound.own.objects)
    run, notes = sound.fix()
    assert {(trouble, done) for _, trouble, done, _ in notes.findings} == {("elsewhere", "person")}
    assert sound.own.objects == before
    assert run.has_faults


def test_checksums_find_what_has_the_right_size(sound: Installation) -> None:
    key = next(key for key in sound.own.objects if "/video/12/" in key)
    sound.own.objects[key] = sound.own.objects[key][::-1]
    sound.own.objects["acme/uploads/12.bin"] = b"the whole source"
    assert troubles(sound) == {}
    assert troubles(sound, checksums=True) == {"video:12": "damaged"}
    sound.fix(checksums=True)
    sound.work()
    assert troubles(sound, checksums=True) == {}


def test_what_moves_home_is_what_was_there_and_the_row_keeps_all_else(sqlite_url: str, tmp_path: Path) -> None:
    installation = an_installation(sqlite_url, tmp_path, media=64, troubles=8)
    (name,) = (name for name, trouble in installation.library.planted.items() if trouble == "away")
    before = {key: content for key, content in installation.local.objects.items() if key.startswith("acme/thumbnails")}
    with write_transaction(installation.engine) as connection:
        for table in (videos, ar_contents):
            connection.execute(sa.update(table).values(thumbnail_placeholder="a ThumbHash"))
    installation.fix()
    (event,) = (event for event in installation.announced if event.media.record_key == name)
    assert isinstance(event, ThumbnailReady)
    assert (event.storage.provider, event.storage.fallback, event.placeholder) == ("memory", None, "a ThumbHash")
    kept = {key.rpartition("/")[2]: content for key, content in before.items()}
    assert {one.key.rpartition("/")[2]: installation.own.objects[one.key] for one in event.renditions} == kept
    assert before.keys() <= installation.local.objects.keys(), "what the row shows stays until it shows the new ones"
    installation.work()
    assert not before.keys() & installation.local.objects.keys()
    installation.engine.dispose()


def test_pictures_away_that_are_damaged_are_made_again_and_not_moved(sqlite_url: str, tmp_path: Path) -> None:
    installation = an_installation(sqlite_url, tmp_path, media=64, troubles=8)
    (name,) = (name for name, trouble in installation.library.planted.items() if trouble == "away")
    key = next(key for key in installation.local.objects if key.startswith("acme/thumbnails"))
    installation.local.objects[key] = installation.local.objects[key][::-1]
    installation.fix()
    (event,) = (event for event in installation.announced if event.media.record_key == name)
    assert not isinstance(event, ThumbnailReady)
    installation.engine.dispose()


def test_rows_come_in_the_order_of_keys_from_any_of_them_on(sqlite_url: str, tmp_path: Path) -> None:
    installation = an_installation(sqlite_url, tmp_path, media=130)
    rows = CompanyRows(installation.engine, page=3)
    everything = [str(row.found.id) for row in rows.in_key_order(1, MediaKind.VIDEO)]
    assert everything == sorted(everything)
    assert len(everything) == 52
    for after in ("", "1", "10", "102", "11", "2", "20", "9", "99", "999"):
        found = [str(row.found.id) for row in rows.in_key_order(1, MediaKind.VIDEO, after)]
        assert found == [name for name in everything if name > after], after
    installation.engine.dispose()


def test_the_first_number_after_a_text_is_that_of_counting() -> None:
    for after in ("1", "9", "10", "42", "99", "100", "420", "999"):
        for digits in (1, 2, 3):
            numbers = range(10 ** (digits - 1), 10**digits)
            expected = next((number for number in numbers if str(number) > after), 10**digits)
            assert first_after(after, digits) == expected, (after, digits)


def test_a_row_that_changes_during_a_look_is_no_trouble(sound: Installation) -> None:
    """A newer upload replaces the pictures between the row and the listing."""
    own = sound.own
    key = next(key for key in own.objects if "/video/12/" in key)
    del own.objects[key]
    looks = 0

    class Busy(CompanyRows):
        def one(self, kind: MediaKind, row_id: int) -> Any:
            nonlocal looks
            looks += 1
            set_video(sound, 12, thumbnail_event_id=f"upload-{looks}")
            return super().one(kind, row_id)

    _, notes = sound.fix(rows=Busy(sound.engine))
    assert looks == 6
    assert notes.findings == []


def test_a_row_that_takes_up_an_object_before_its_deletion_keeps_it(sound: Installation) -> None:
    key = put_folder(sound, 12, upload_version(UPLOADED_AT - timedelta(days=1), "old"))
    looks = 0

    class Late(CompanyRows):
        def one(self, kind: MediaKind, row_id: int) -> Any:
            nonlocal looks
            looks += 1
            if looks == 5:  # two of the look in the scan, two of the look before the repair, and this one
                set_video(sound, 12, thumbnail_given_up="something")
            return super().one(kind, row_id)

    _, notes = sound.fix(rows=Late(sound.engine))
    assert [found[1:] for found in notes.findings] == [("orphan", "waits", "the row has changed")]
    assert key in sound.own.objects
