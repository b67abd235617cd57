"""What the persist loop writes to thumbnail.state: what the row says, in the same bytes each time, null once the media is gone."""

import json
from typing import Any

import pytest
import sqlalchemy as sa
from confluent_kafka import KafkaError
from jsonschema import Draft202012Validator

from schemas import headers as h
from schemas.contracts.files import EXPORTED
from schemas.database import write_transaction
from schemas.degraded import DegradedReason
from schemas.errors import NEXT_ACTIONS, ErrorCode
from schemas.events import MediaKind, StorageInfo
from schemas.media_state import DeletedMedia, ThumbnailDeleted
from schemas.tables import videos
from streams.rows.queries import RowStates
from tests.doubles.memory_loops import PersistLoop
from tests.doubles.results import a_media, failed, moment, ready

SCHEMA = Draft202012Validator(json.loads((EXPORTED / "thumbnail.state.v1.schema.json").read_text()))


@pytest.fixture
def loop(persist_loop: PersistLoop) -> PersistLoop:
    return persist_loop


def state_of(loop: PersistLoop, key: str = "video:42") -> dict[str, Any]:
    state = loop.states()[key]
    assert state is not None
    SCHEMA.validate(state)
    return state


def delete(loop: PersistLoop, number: int, media_id: int = 42, company_id: int | None = 1) -> None:
    """As the worker does."""
    RowStates(loop.rows.engine).mark_deleted(MediaKind.VIDEO, media_id, moment(number))
    media = DeletedMedia(kind=MediaKind.VIDEO, id=media_id, ar_content_id=media_id)
    loop.put_deletion(
        ThumbnailDeleted(
            event_id=f"deletion-{number}",
            occurred_at=moment(number),
            produced_at=moment(number),
            company_id=company_id,
            media=media,
        )
    )


def test_a_state_says_what_the_row_shows(loop: PersistLoop) -> None:
    result = ready(1, placeholder="abcd", degraded=True, degraded_reason=DegradedReason.DAMAGED)
    loop.put(result.model_copy(update={"storage": StorageInfo(provider="local_disk", fallback="storage.full")}))
    loop.run(5)
    state = state_of(loop)
    assert state | {"event_id": ""} == {
        "event_id": "",
        "revision": 1,
        "updated_at": "2026-11-23T12:00:01Z",
        "company_id": 1,
        "media": {"kind": "video", "id": 42, "ar_content_id": 42, "external_id": None},
        "status": "ready",
        "upload_event_id": "upload-1",
        "occurred_at": "2026-11-23T12:00:01Z",
        "thumbnail_url": result.thumbnail_url,
        "renditions": [rendition.model_dump() for rendition in result.renditions],
        "placeholder": "abcd",
        "shown_upload_event_id": "upload-1",
        "degraded": True,
        "degraded_reason": "damaged",
        "storage_fallback": "storage.full",
        "error": None,
    }
    (record,) = loop.broker.records("thumbnail.state")
    assert h.get_header(record.headers, h.CE_ID) == state["event_id"]
    assert h.get_header(record.headers, h.CE_TYPE) == "vertexar.thumbnail.state.v1"
    assert h.get_header(record.headers, h.CE_SUBJECT) == "video:42"


def test_a_failure_leaves_the_earlier_pictures_in_the_state_and_says_what_to_do(loop: PersistLoop) -> None:
    loop.put(ready(1))
    loop.run(5)
    loop.put(failed(2, message="Broken: badly."))
    loop.restart()
    loop.run(5)
    state = state_of(loop)
    assert (state["status"], state["upload_event_id"], state["revision"]) == ("failed", "upload-2", 2)
    assert (state["shown_upload_event_id"], state["thumbnail_url"]) == ("upload-1", ready(1).thumbnail_url)
    action = NEXT_ACTIONS[ErrorCode.MEDIA_CORRUPT]
    assert state["error"] == {"code": "media.corrupt", "message": "Broken: badly.", "next_action": action}


def test_a_first_failure_has_no_pictures_and_a_photograph_the_key_of_its_ar_content(loop: PersistLoop) -> None:
    loop.put(failed(1, a_media(43, MediaKind.IMAGE)))
    loop.run(5)
    state = state_of(loop, "ar_content:43")
    assert (state["thumbnail_url"], state["renditions"], state["degraded"]) == (None, [], None)
    assert state["media"] == {"kind": "image", "id": 43, "ar_content_id": 43, "external_id": None}


def test_a_repeated_result_sends_the_same_bytes_and_one_that_lost_none(loop: PersistLoop) -> None:
    loop.put(ready(2), failed(2), ready(2))
    loop.run(5)
    loop.put(ready(2))
    loop.restart()
    loop.run(5)
    first, *others = loop.values("thumbnail.state")
    assert others
    assert set(others) == {first}
    loop.put(ready(1), ready(3, company_id=2))
    loop.restart()
    loop.run(5)
    assert len(loop.values("thumbnail.state")) == 1 + len(others)


def test_a_state_is_null_once_the_media_is_deleted_and_the_pictures_go_after_it(loop: PersistLoop) -> None:
    loop.put(ready(1))
    loop.run(5)
    delete(loop, 5)
    loop.restart()
    loop.run(5)
    assert loop.states() == {"video:42": None}
    journal = loop.broker.journal
    assert len(journal) - journal[::-1].index("sent thumbnail.state") <= journal.index("sent thumbnail.cleanup")
    (request,) = [json.loads(value or b"") for value in loop.values("thumbnail.cleanup")]
    assert (request["company_id"], request["version"] > ready(1).renditions[0].key.split("/")[-2]) == (1, True)
    assert loop.committed("thumbnail.deleted") == 1

    loop.put(ready(4), ready(6))
    loop.restart()
    loop.run(5)
    assert (state_of(loop)["upload_event_id"], state_of(loop)["revision"]) == ("upload-6", 3)


@pytest.mark.parametrize("company_id", [1, None])
def test_a_media_without_a_row_has_a_null_state_and_its_pictures_go_where_its_company_is_known(
    loop: PersistLoop, company_id: int | None
) -> None:
    delete(loop, 5, media_id=999, company_id=company_id)
    loop.put(ready(1, a_media(998)))
    loop.run(5)
    assert loop.states() == {"video:999": None, "video:998": None}
    asked = {record.key for record in loop.broker.records("thumbnail.cleanup")}
    assert asked == {b"video:998"} | ({b"video:999"} if company_id else set())


def test_a_row_of_0_1_has_a_state_that_says_what_it_does_not_know(loop: PersistLoop) -> None:
    loop.put(ready(1))
    loop.run(5)
    with write_transaction(loop.rows.engine) as connection:
        unknown = {"thumbnail_revision": None, "thumbnail_details": sa.null(), "thumbnails": ["odd", {"key": 1}]}
        connection.execute(sa.update(videos).values(unknown))
    loop.put(ready(1))
    loop.restart()
    loop.run(5)
    state = state_of(loop)
    names = ("revision", "degraded", "shown_upload_event_id", "storage_fallback", "renditions")
    assert [state[name] for name in names] == [0, None, None, None, []]


def test_states_wait_for_a_cluster_that_takes_none_and_nothing_is_committed_before(loop: PersistLoop) -> None:
    loop.put(ready(1))
    for _ in range(3):
        loop.producer.fail("deliver", KafkaError(KafkaError.NOT_ENOUGH_REPLICAS))
    seen: list[int | None] = []
    loop.clock.after(2, lambda: seen.append(loop.committed("thumbnail.ready")))
    loop.run(30)
    assert seen == [None]
    assert state_of(loop)["status"] == "ready"
    assert loop.committed("thumbnail.ready") == 1


def test_states_wait_for_the_database_and_nothing_is_committed_before(loop: PersistLoop) -> None:
    loop.put(ready(1))
    began = []

    def fall_away() -> None:
        """As soon as the rows are written."""
        loop.rows.is_down = True
        began.append(loop.clock.monotonic())
        loop.clock.after(20, lambda: setattr(loop.rows, "is_down", False))

    loop.rows.before_commit = fall_away
    seen: list[object] = []
    loop.clock.after(15, lambda: seen.append((loop.committed("thumbnail.ready"), loop.states(), loop.rows.statuses())))
    loop.run(60)
    assert began
    assert seen == [(None, {}, {42: "ready"})]
    assert state_of(loop)["status"] == "ready"
    assert loop.committed("thumbnail.ready") == 1
