"""One event id for several files, media or companies: each row shows exactly its objects, and nothing else is left behind."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa

from schemas.cloudevents import read_event, write_event
from schemas.events import THUMBNAIL_READY_TYPE, MediaUploaded, ThumbnailReady
from schemas.tables import videos
from storage.memory import MemoryStorageProvider
from storage.tenants import TenantStorage
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.rows.queries import RowStates
from streams.rows.upsert import apply_results
from streams.thumbnails.cleanup_requests import cleanup_request, needs_cleanup
from tests.doubles.pipeline import NOW, OneTenant, a_flow, an_upload
from tests.doubles.results import a_database
from tests.unit.streams.worker.test_handler import Rows, a_handler, a_record

Result = tuple[ThumbnailReady, OutboundRecord]


class TwoTenants(OneTenant):
    """Company 2, too: in a storage of its own, or by mistake in the folder of company 1."""

    def __init__(self) -> None:
        super().__init__()
        self.other = MemoryStorageProvider("memory://other")
        self.is_shared = False

    def open(self, company_id: int) -> TenantStorage:
        if company_id != 2:
            return super().open(company_id)
        if self.is_shared:
            return TenantStorage(self.own, "acme", 6, "minio")
        return TenantStorage(self.other, "globex", 6, "minio")


class Installation:
    """The worker's handler, persist's rules and a database, without Kafka: rows 40 to 49 are of company 1."""

    def __init__(self, folder: Path) -> None:
        self.engine = a_database(f"sqlite:///{folder}/rows.db")
        self.tenants = TwoTenants()
        self.flow = a_flow(tenants=self.tenants)
        self.tenants.other.objects["globex/uploads/a.mp4"] = b"the whole video"
        self._handler = a_handler(self.flow, rows=cast(Rows, RowStates(self.engine)))

    def make(self, upload: MediaUploaded, picture: str = "picture") -> Result:
        """The worker makes thumbnails that look like `picture`."""
        self.flow.maker.picture = picture
        (announced,) = self._handle(a_record(write_event(upload)))
        return read_event(ThumbnailReady, THUMBNAIL_READY_TYPE, announced.value, announced.headers), announced

    def persist(self, *results: Result) -> list[str]:
        """One batch and the cleanups that it asks for; return the outcomes."""
        with self.engine.begin() as connection:
            outcomes = apply_results(connection, [result for result, _ in results], now=NOW)
        for (result, record), outcome in zip(results, outcomes, strict=True):
            if needs_cleanup(result, outcome, record.headers):
                request = cleanup_request("p.thumbnail.cleanup", result, outcome, (), NOW)
                assert self._handle(InboundRecord(request.topic, 0, 1, 0, request.key, request.value, ())) == ()
        return [str(outcome) for outcome in outcomes]

    def _handle(self, record: InboundRecord) -> tuple[OutboundRecord, ...]:
        outcome = asyncio.run(self._handler.handle(record))
        assert outcome.status == "success"
        return outcome.records

    def shown(self, video: int) -> dict[str, str]:
        """The checksum of each object that the row shows."""
        with self.engine.connect() as connection:
            found: Any = connection.scalar(sa.select(videos.c.thumbnails).where(videos.c.id == video)) or []
        return {item["key"]: item["sha256"] for item in found}

    @staticmethod
    def stored(storage: MemoryStorageProvider) -> dict[str, str]:
        pictures = {key: content for key, content in storage.objects.items() if "/thumbnails/" in key}
        return {key: hashlib.sha256(content).hexdigest() for key, content in pictures.items()}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.engine.dispose()


@pytest.mark.parametrize("batches", ["one by one", "in one batch", "the other way round"])
def test_an_id_that_comes_again_with_another_file_changes_nothing_that_the_row_shows(
    here: Installation, batches: str
) -> None:
    here.tenants.own.objects["acme/uploads/b.mp4"] = b"another one"
    first = here.make(an_upload(), "first")
    if batches == "one by one":
        assert here.persist(first) == ["applied"]
        before = here.shown(42)
        assert here.persist(here.make(an_upload(key="acme/uploads/b.mp4"), "second")) == ["repeated"]
        assert here.shown(42) == before
    else:
        second = here.make(an_upload(key="acme/uploads/b.mp4"), "second")
        order = (first, second) if batches == "in one batch" else (second, first)
        assert here.persist(*order) == ["applied", "repeated"]
    assert here.stored(here.tenants.own) == here.shown(42)
    assert len(here.shown(42)) == 3


def test_a_file_that_is_replaced_between_two_deliveries_leaves_nothing_of_the_first(here: Installation) -> None:
    here.make(an_upload(), "as it was")  # killed before it was announced
    second = here.make(an_upload(), "as it is")
    assert here.persist(second) == ["applied"]
    assert here.stored(here.tenants.own) == here.shown(42)


def test_a_repeated_delivery_repeats_keys_objects_and_id(here: Installation) -> None:
    first, again = here.make(an_upload()), here.make(an_upload())
    assert (first[0].event_id, first[0].renditions) == (again[0].event_id, again[0].renditions)
    assert first[1].headers == again[1].headers
    assert here.persist(first, again) == ["applied", "repeated"]
    assert here.stored(here.tenants.own) == here.shown(42)


def test_one_id_for_two_media_is_two_results(here: Installation) -> None:
    first, second = here.make(an_upload(), "first"), here.make(an_upload(video=43), "second")
    assert first[0].event_id != second[0].event_id
    assert here.persist(first, second) == ["applied", "applied"]
    assert here.stored(here.tenants.own) == here.shown(42) | here.shown(43)
    assert len(here.shown(42) | here.shown(43)) == 6


@pytest.mark.parametrize("is_shared", [False, True], ids=["storages apart", "one folder by mistake"])
@pytest.mark.parametrize("is_shown", [True, False], ids=["shown", "not yet written to the row"])
def test_pictures_for_another_companys_media_are_deleted_and_its_own_stay(
    here: Installation, is_shared: bool, is_shown: bool
) -> None:
    """The event of company 2 is later than that of company 1, or a copy of it."""
    here.tenants.is_shared = is_shared
    own = here.make(an_upload(), "own")
    older = here.make(an_upload(event_id="older", occurred_at=NOW.replace(hour=11)), "older")
    before = here.stored(here.tenants.own)
    if is_shown:
        here.persist(own)
    key = "acme/uploads/a.mp4" if is_shared else "globex/uploads/a.mp4"
    for event_id, occurred_at in (("upload-1", NOW), ("later", NOW.replace(minute=1))):
        upload = an_upload(event_id=event_id, occurred_at=occurred_at, company_id=2, key=key)
        wrong = here.make(upload, "own")
        assert wrong[0].event_id != own[0].event_id
        assert here.persist(wrong) == ["other_company"]
    assert here.stored(here.tenants.own) == before
    assert here.stored(here.tenants.other) == {}
    outcomes = here.persist(older, own)
    assert outcomes == (["stale", "repeated"] if is_shown else ["applied", "replaced"])
    assert here.stored(here.tenants.own) == here.shown(42)
