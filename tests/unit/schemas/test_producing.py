"""Records of media.uploaded for other services' producers: what the worker reads of them, and where they go."""

from datetime import UTC, datetime

import pytest

from schemas import headers as h
from schemas.cloudevents import read_event
from schemas.events import MEDIA_UPLOADED_TYPE, MediaUploaded
from schemas.faults import RefusedEventError
from schemas.media_state import MEDIA_DELETED_TYPE, MediaDeletion
from schemas.producing import deletion_record, partition_of, upload_record

MEDIA = {"kind": "video", "id": 42, "ar_content_id": 9, "key": "acme/uploads/a.mp4"}
AT = datetime(2026, 11, 23, 10, tzinfo=UTC)


def test_an_upload_is_read_as_it_was_said() -> None:
    record = upload_record(1, MEDIA, event_id="e-1", occurred_at=AT, source="/uploads", frame_time_s=2.5)
    event = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, record.value, record.headers)
    assert (event.event_id, event.occurred_at, event.company_id, event.frame_time_s) == ("e-1", AT, 1, 2.5)
    assert event.media.model_dump(mode="json", exclude_none=True) == MEDIA
    assert (record.key, record.event_id) == (b"video:42", "e-1")
    assert h.get_header(record.headers, h.CE_SOURCE) == "/uploads"


def test_an_upload_without_an_id_has_one_of_its_own_and_happened_now() -> None:
    first, second = (upload_record(1, MEDIA) for _ in range(2))
    assert first.event_id != second.event_id
    event = read_event(MediaUploaded, MEDIA_UPLOADED_TYPE, first.value, first.headers)
    assert abs((datetime.now(UTC) - event.occurred_at).total_seconds()) < 60


def test_a_deletion_is_read_as_it_was_said() -> None:
    record = deletion_record(1, {name: MEDIA[name] for name in ("kind", "id", "ar_content_id")}, occurred_at=AT)
    event = read_event(MediaDeletion, MEDIA_DELETED_TYPE, record.value, record.headers)
    assert (event.occurred_at, event.media.record_key) == (AT, "video:42")


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(RefusedEventError) as refused:
        upload_record(0, MEDIA | {"kind": "VIDEO", "key": ""}, event_id="with space")
    assert {fault.field for fault in refused.value.faults} == {"event_id", "company_id", "media.kind", "media.key"}


@pytest.mark.parametrize(
    ("key", "murmur2"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_partitions_are_those_of_apache_kafkas_own_test(key: bytes, murmur2: int) -> None:
    """The values are those of its UtilsTest.testMurmur2; all others are compared with clients in tests/system/test_contract.py."""
    for partitions in (1, 6, 7, 2**31 - 1):
        assert partition_of(key, partitions) == (murmur2 & 0x7FFFFFFF) % partitions
