"""ThumbnailService: what is stored, what is announced, and what a failure leaves behind."""

import asyncio
import hashlib
from threading import Event

import pytest

from processors.types import RenditionSpec, ThumbnailSpec
from schemas.errors import ErrorCode, ObjectNotFoundError, PermanentError, Stage, ThumbnailError, TransientError
from schemas.events import ThumbnailReady
from storage.base import StoredObject
from storage.memory import MemoryStorageProvider
from streams.thumbnails.service import Progress
from tests.doubles.pipeline import SOURCE_KEY, Flow, ForgetfulStorage, a_flow, an_upload

UNAVAILABLE = TransientError(ErrorCode.STORAGE_UNAVAILABLE, "The store does not answer.")
FULL = TransientError(ErrorCode.STORAGE_FULL, "The store is full.")
DENIED = PermanentError(ErrorCode.STORAGE_DENIED, "The store refuses.")


def create(
    flow: Flow, *, progress: Progress | None = None, last: bool = False, key: str = SOURCE_KEY, attempt: int = 1
) -> ThumbnailReady:
    def is_final(error: ThumbnailError) -> bool:
        return last or isinstance(error, PermanentError)

    made = flow.service.create(an_upload(key=key), progress or Progress(), attempt=attempt, is_final=is_final)
    return asyncio.run(made)


def stored_pictures(flow: Flow) -> dict[str, bytes]:
    return {key: content for key, content in flow.tenants.own.objects.items() if key != SOURCE_KEY}


def test_every_rendition_is_stored_under_the_uploads_own_folder() -> None:
    flow = a_flow()
    ready = create(flow)

    (folder,) = {rendition.key.rpartition("/")[0] for rendition in ready.renditions}
    assert folder.startswith(f"acme/thumbnails/video/42/{an_upload().version}-1-")
    assert stored_pictures(flow) == {
        f"{folder}/{name}.webp": f"{name} picture".encode() for name in ("small", "medium", "large")
    }
    assert [rendition.key for rendition in ready.renditions] == list(stored_pictures(flow))


def test_the_announcement_tells_what_was_confirmed_by_the_store() -> None:
    ready = create(a_flow())

    medium = ready.renditions[1]
    assert ready.thumbnail_url == medium.url
    assert medium.sha256 == hashlib.sha256(b"medium picture").hexdigest()
    assert (ready.storage.provider, ready.storage.connection_id, ready.storage.fallback) == ("memory", 5, None)
    assert (ready.frame.time_s, ready.frame.score, ready.source.codec) == (1.5, 0.9, "h264")


@pytest.mark.parametrize(
    ("names", "shown"),
    [(("large", "medium", "icon"), "medium"), (("s", "m", "l"), "m"), (("s", "l"), "l"), (("s",), "s")],
)
def test_the_url_is_that_of_medium_or_of_the_middle_one(names: tuple[str, ...], shown: str) -> None:
    spec = ThumbnailSpec(renditions=tuple(RenditionSpec(name, 64, 48) for name in names))
    ready = create(a_flow(spec=spec))
    assert [rendition.name for rendition in ready.renditions] == list(names)
    assert ready.thumbnail_url.endswith(f"/{shown}.webp")


def test_a_repeated_upload_gives_the_same_event_and_the_same_keys() -> None:
    flow = a_flow()
    first, second = create(flow), create(flow)

    assert first.event_id == second.event_id
    assert first.renditions == second.renditions


def test_a_missing_source_is_an_error_of_reading() -> None:
    flow, progress = a_flow(), Progress()
    with pytest.raises(ObjectNotFoundError):
        create(flow, progress=progress, key="acme/uploads/none.mp4")

    assert progress.stage is Stage.READ


def test_a_key_outside_the_companys_prefix_is_refused() -> None:
    for key in ("globex/uploads/a.mp4", "acme-2/a.mp4", "acme/../globex/a.mp4", "/acme/a.mp4", "acme"):
        with pytest.raises(PermanentError) as caught:
            create(a_flow(), key=key)
        assert caught.value.code is ErrorCode.STORAGE_BAD_KEY


def test_a_passing_failure_of_the_store_is_tried_again_at_once() -> None:
    flow = a_flow()
    flow.tenants.own.fail_next("upload_file", UNAVAILABLE, times=2)
    create(flow)

    assert len(stored_pictures(flow)) == 3
    assert flow.slept_s == [0.1, 0.4]


def test_a_failure_half_way_leaves_what_the_next_attempt_writes_again() -> None:
    flow, progress = a_flow(), Progress()
    flow.tenants.own.fail_next("upload_file", FULL, after=2)
    with pytest.raises(TransientError) as caught:
        create(flow, progress=progress)
    left = stored_pictures(flow)

    assert caught.value.code is ErrorCode.STORAGE_FULL
    assert progress.stage is Stage.UPLOAD
    ready = create(flow)
    assert left.keys() < stored_pictures(flow).keys() == {rendition.key for rendition in ready.renditions}


def test_a_failed_repetition_leaves_alone_what_an_earlier_delivery_announced() -> None:
    flow = a_flow()
    create(flow)
    before = stored_pictures(flow)
    flow.tenants.own.fail_next("upload_file", FULL)
    with pytest.raises(TransientError):
        create(flow)

    assert stored_pictures(flow) == before


class BusyStorage(MemoryStorageProvider):
    """Fails the upload number `fails_at`, after another delivery of the same event has stored and announced everything."""

    def __init__(self, fails_at: int, error: ThumbnailError) -> None:
        super().__init__()
        self._uploads, self._fails_at, self._error = 0, fails_at, error
        self.announced: ThumbnailReady | None = None

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        self._uploads += 1
        if self._uploads != self._fails_at:
            return super().upload_file(key, content, content_type=content_type)
        self.announced = create(a_flow(own=self))
        raise self._error


@pytest.mark.parametrize("fails_at", [2, 3])
@pytest.mark.parametrize("fallback_allowed", [True, False])
def test_an_attempt_that_fails_takes_away_nothing_that_another_one_beside_it_has_announced(
    fails_at: int, *, fallback_allowed: bool
) -> None:
    storage = BusyStorage(fails_at, DENIED)
    flow = a_flow(own=storage, fallback_allowed=fallback_allowed)
    if fallback_allowed:
        create(flow)
    else:
        with pytest.raises(PermanentError):
            create(flow)

    assert storage.announced is not None
    assert {rendition.key for rendition in storage.announced.renditions} == set(stored_pictures(flow))


def test_the_last_attempt_falls_back_to_local_storage_and_says_why() -> None:
    flow = a_flow()
    flow.tenants.own.fail_next("upload_file", UNAVAILABLE, times=9)
    ready = create(flow, last=True)

    assert stored_pictures(flow) == {}
    assert len(flow.tenants.local.objects) == 3
    assert ready.storage.fallback == "storage.unavailable"
    assert ready.storage.connection_id is None


@pytest.mark.parametrize(
    ("call", "after", "attempt", "is_beside"),
    [("upload_file", 2, 1, True), ("list_files", 0, 1, False), ("list_files", 0, 3, True)],
    ids=["it wrote something", "it could write nothing", "an earlier attempt may have written something"],
)
def test_a_fallback_says_whether_the_companys_own_storage_may_hold_pictures_too(
    call: str, after: int, attempt: int, *, is_beside: bool
) -> None:
    flow, progress = a_flow(), Progress()
    flow.tenants.own.fail_next(call, DENIED, after=after)
    ready = create(flow, progress=progress, attempt=attempt)

    assert (len(stored_pictures(flow)), progress.is_beside_others) == (after, is_beside)
    folders = {key.rpartition("/")[0] for key in stored_pictures(flow)}
    assert folders.isdisjoint(rendition.key.rpartition("/")[0] for rendition in ready.renditions)


def test_a_denied_upload_falls_back_at_once() -> None:
    flow = a_flow()
    flow.tenants.own.fail_next("upload_file", DENIED)
    assert create(flow).storage.fallback == "storage.denied"


def test_without_a_fallback_the_failure_stands() -> None:
    flow = a_flow(fallback_allowed=False)
    flow.tenants.own.fail_next("upload_file", DENIED)
    with pytest.raises(PermanentError) as caught:
        create(flow, last=True)
    assert caught.value.code is ErrorCode.STORAGE_DENIED


def test_a_store_that_confirms_other_bytes_is_not_believed() -> None:
    flow = a_flow(own=ForgetfulStorage())
    with pytest.raises(ThumbnailError) as caught:
        create(flow)
    assert caught.value.code is ErrorCode.UPLOAD_UNVERIFIED


def test_the_error_of_the_decoder_comes_through_with_its_stage() -> None:
    flow, progress = a_flow(), Progress()
    flow.maker.error = PermanentError(ErrorCode.MEDIA_CORRUPT, "Broken.")
    with pytest.raises(PermanentError):
        create(flow, progress=progress)
    assert progress.stage is Stage.DECODE


def test_a_read_that_fails_twice_is_read_a_third_time() -> None:
    flow = a_flow()
    flow.tenants.own.fail_next("read_at", UNAVAILABLE, times=2)
    assert create(flow).source.bytes_read == 8


class SlowStorage(MemoryStorageProvider):
    """Takes the first picture only when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun, self.may_go_on = Event(), Event()

    def upload_file(self, key: str, content: bytes, *, content_type: str) -> StoredObject:
        self.has_begun.set()
        assert self.may_go_on.wait(30)
        return super().upload_file(key, content, content_type=content_type)


def test_an_upload_that_is_handed_back_stores_no_further_pictures() -> None:
    slow = SlowStorage()
    flow = a_flow(slow)

    async def cancel_while_storing() -> None:
        made = asyncio.create_task(
            flow.service.create(an_upload(), Progress(), attempt=1, is_final=lambda _error: False)
        )
        assert await asyncio.to_thread(slow.has_begun.wait, 30)
        made.cancel()
        with pytest.raises(asyncio.CancelledError):
            await made
        slow.may_go_on.set()

    asyncio.run(cancel_while_storing())
    flow.calls.executor.shutdown(wait=True)
    assert [key.rpartition("/")[2] for key in stored_pictures(flow)] == ["small.webp"]
