"""A library with troubles of every kind: all found, all repaired, nothing else touched; and what stops a repair."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.errors import ErrorCode, PermanentError, TransientError
from schemas.events import MediaUploaded
from service.reconcile.pace import LookPace
from service.reconcile.state import Reconciliation
from storage.base import ListedObject
from storage.memory import MemoryStorageProvider
from tests.doubles.library import problems_of
from tests.unit.service.reconcile.installation import Installation, Notes, an_installation

KINDS = {
    "overtaken": "orphan",
    "given_up": "orphan",
}
"""How a trouble is called, where it is not called as it was planted."""


class StoppingPace(LookPace):
    """Calls back before each look."""

    def __init__(self, before: Callable[[], None], stop: threading.Event) -> None:
        super().__init__(1e6, stop)
        self._before = before

    def wait(self) -> None:
        self._before()
        super().wait()


class FailingListing(MemoryStorageProvider):
    """Another memory's objects; listings break where they come to a key, so many times."""

    def __init__(self, other: MemoryStorageProvider, *, at: str = "acme/thumbnails/video/2", times: int = 1000) -> None:
        super().__init__("memory://own")
        self.__dict__ |= {"objects": other.objects, "modified_at": other.modified_at}
        self._at, self._times = at, times

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        for found in super().list_objects(prefix, after=after):
            if found.key >= self._at and self._times:
                self._times -= 1
                raise TransientError(ErrorCode.STORAGE_UNAVAILABLE, "The listing broke.")
            yield found


class Unordered(FailingListing):
    """Lists its media backwards."""

    def __init__(self, other: MemoryStorageProvider) -> None:
        super().__init__(other, times=0)

    def list_objects(self, prefix: str, *, after: str = "") -> Iterator[ListedObject]:
        return iter(list(super().list_objects(prefix, after=after))[::-1])


@pytest.fixture
def planted(sqlite_url: str, tmp_path: Path) -> Iterator[Installation]:
    installation = an_installation(sqlite_url, tmp_path, media=240, troubles=48)
    yield installation
    installation.engine.dispose()


def expected(installation: Installation) -> set[tuple[str, str]]:
    return {(media, KINDS.get(trouble, trouble)) for media, trouble in installation.library.planted.items()}


def test_a_dry_run_finds_each_trouble_and_changes_nothing(planted: Installation) -> None:
    rows, objects = planted.library.rows(), planted.library.objects()
    run, notes = planted.reconcile()
    assert {(media, trouble) for media, trouble, *_ in notes.findings} == expected(planted)
    assert len(notes.findings) == 48
    assert {trouble: count.found for trouble, count in run.counts.items()} == Counter(
        trouble for _, trouble in expected(planted)
    )
    assert (run.is_through, run.has_faults, run.companies, run.media) == (True, True, 2, 240)
    assert (planted.library.rows(), planted.library.objects(), planted.announced) == (rows, objects, [])


def test_everything_is_repaired_and_nothing_else_touched(planted: Installation) -> None:
    library = planted.library
    rows, objects = library.rows(), library.objects()
    assert problems_of(library) != []
    run, _ = planted.fix()
    assert (run.is_through, run.has_faults) == (True, False)
    planted.work()
    assert problems_of(library) == []
    for name, row in library.rows().items():
        if library.untouched(name):
            assert row == rows[name]
    after = library.objects()
    kept = {place: found for place, found in objects.items() if library.untouched(place[1])}
    assert {place: found for place, found in after.items() if library.untouched(place[1])} == kept
    run, notes = planted.reconcile()
    assert (notes.findings, run.has_faults) == ([], False)


def test_killed_anywhere_and_resumed_it_finds_and_repairs_the_same(planted: Installation) -> None:
    """It dies at every save: what was done after it is done again, and that changes nothing."""
    saved, saves, deaths = "", 0, 0

    def die_sometimes(run: Reconciliation) -> None:
        nonlocal saved, saves, deaths
        saved, saves = run.model_dump_json(), saves + 1
        if saves % 20 == 0:
            deaths += 1
            raise KeyboardInterrupt

    run = Reconciliation(fix=True)
    while not run.is_through:
        try:
            planted.reconcile(run, save=die_sometimes, save_every_s=0.0)
        except KeyboardInterrupt:
            run = Reconciliation.model_validate_json(saved)
    assert deaths >= 10
    planted.work()
    assert problems_of(planted.library) == []


def test_stopped_in_the_middle_it_goes_on_where_it_was(planted: Installation) -> None:
    run, first = Reconciliation(), Notes()
    watched = planted.reconciler(first)
    stops = iter(range(1000))

    def stop_soon() -> None:
        if next(stops) == 9:
            planted.stop.set()

    watched = planted.reconciler(first, pace=StoppingPace(stop_soon, planted.stop))
    assert not watched.run(run)
    assert not run.is_through
    planted.stop.clear()
    run = planted.file.load()
    run, second = planted.reconcile(run)
    assert run.is_through
    assert sum(company.objects for company in second.compared_last.values()) == len(planted.library.objects())
    assert len(first.findings) == 9
    assert {found[:2] for found in first.findings + second.findings} == expected(planted)
    assert len(first.findings) + len(second.findings) == 48
    assert run.media == 240


def test_a_listing_that_fails_half_way_changes_nothing_of_its_company_and_stops_no_other(planted: Installation) -> None:
    library = planted.library
    objects = library.objects()
    failing = FailingListing(planted.own)
    planted.tenants.shelves[1] = replace(planted.tenants.shelves[1], own=failing)
    run, notes = planted.fix()
    assert notes.companies == {"acme": "The listing broke.", "globex": None}
    assert run.has_faults
    assert {key for place, key in objects.keys() - library.objects().keys() if place.startswith("acme")} == set()
    assert all(event.company_id == 2 for event in planted.announced)
    of_acme = {found for found in notes.findings if found[2] == "waits"}
    assert of_acme, "what was found until then is said"
    planted.tenants.shelves[1] = library.shelves[0]
    planted.fix()
    planted.work()
    assert problems_of(library) == []


def test_a_listing_that_fails_once_goes_on_behind_the_last_media(planted: Installation) -> None:
    planted.tenants.shelves[1] = replace(planted.tenants.shelves[1], own=FailingListing(planted.own, times=2))
    run, notes = planted.reconcile()
    assert {found[:2] for found in notes.findings} == expected(planted)
    assert len(notes.findings) == 48
    assert run.media == 240


def test_a_listing_out_of_order_is_no_reason_to_repair_anything(planted: Installation) -> None:
    planted.tenants.shelves[1] = replace(planted.tenants.shelves[1], own=Unordered(planted.own))
    objects = planted.library.objects()
    _, notes = planted.fix()
    assert "out of order" in (notes.companies["acme"] or "")
    assert {place for place, _ in objects.keys() - planted.library.objects().keys()} <= {"globex own"}


def test_more_troubles_than_may_be_repaired_change_nothing(planted: Installation) -> None:
    """A wrong database beside a right storage would delete everything."""
    objects = planted.library.objects()
    run, notes = planted.fix(max_fixes=10)
    assert {slug: (reason or "").partition(":")[0][-17:] for slug, reason in notes.companies.items()} == {
        "acme": "than --max-fixes 10"[-17:],
        "globex": "than --max-fixes 10"[-17:],
    }
    assert planted.library.objects() == objects
    assert planted.announced == []
    assert {found[:2] for found in notes.findings} == expected(planted)
    assert (run.has_faults, sum(run.left.values())) == (True, 48)
    planted.fix(max_fixes=48)
    planted.work()
    assert problems_of(planted.library) == []


def test_objects_younger_than_the_grace_time_stay_and_uploads_in_work_are_not_stuck(planted: Installation) -> None:
    _, notes = planted.reconcile(grace=timedelta(days=3), stuck_after=timedelta(days=3))
    found = Counter(trouble for _, trouble, *_ in notes.findings)
    assert found == Counter(missing=6, incomplete=6, damaged=6, away=6)


def test_an_upload_is_not_stuck_while_records_as_old_wait_in_the_topics(planted: Installation) -> None:
    planted.oldest_waiting = datetime.now(UTC) - timedelta(hours=1)
    run, notes = planted.fix(stuck_after=timedelta(minutes=30))
    assert {done for _, trouble, done, _ in notes.findings if trouble == "stuck"} == {"waits"}
    assert run.left == Counter(stuck=6)
    planted.oldest_waiting = datetime.now(UTC)
    run, _ = planted.fix(stuck_after=timedelta(minutes=30))
    assert not run.has_faults


def test_what_was_announced_and_not_yet_worked_on_is_the_same_event_again(planted: Installation) -> None:
    planted.fix()
    first = {event.event_id for event in planted.announced}
    planted.announced.clear()
    planted.fix()
    assert {event.event_id for event in planted.announced} == first
    planted.work()
    assert problems_of(planted.library) == []


def test_a_later_upload_wins_over_every_repair(planted: Installation) -> None:
    planted.fix()
    repairs, planted.announced = planted.announced, []
    for event in repairs:
        name, now = f"live-{event.media.record_key}", datetime.now(UTC)
        live = MediaUploaded(event_id=name, occurred_at=now, company_id=event.company_id, media=event.media)
        planted.announced += [live, event] if event.media.row_id % 2 else [event, live]
    planted.work()
    rows = planted.library.rows()
    for event in repairs:
        assert rows[event.media.record_key][3] == f"live-{event.media.record_key}"


def test_a_repair_that_the_store_refuses_is_left_and_named(planted: Installation) -> None:
    for storage in (planted.own, planted.local):
        storage.fail_next("delete_file", PermanentError(ErrorCode.STORAGE_DENIED, "Not yours."), times=100)
    run, notes = planted.fix()
    refused = {found for found in notes.findings if found[3] == "Not yours."}
    assert {trouble for _, trouble, *_ in refused} == {"orphan", "ownerless"}
    assert sum(run.left.values()) == len(refused)
    assert run.has_faults
