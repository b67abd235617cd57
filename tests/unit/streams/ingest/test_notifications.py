"""What each server's notifications say: the object's own key, what happened to it, when; and what is about no media."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.cloudevents import MAX_EVENT_BYTES
from schemas.errors import PermanentError
from schemas.faults import RefusedEventError
from streams.ingest.notifications import ChangeKind, ObjectChange, PassedOver, read_notification
from tests.doubles.notifications import TEST_EVENT, aws, bridge, ceph, minio, of_minio, records

AT = datetime(2026, 11, 30, 10, 0, 0, 123_000, tzinfo=UTC)


def only(value: bytes) -> ObjectChange:
    (change,) = read_notification(value)
    assert isinstance(change, ObjectChange)
    return change


def test_amazon_s3_says_what_was_stored() -> None:
    assert only(records(aws())) == ObjectChange(
        ChangeKind.CREATED,
        "media",
        "acme/uploads/42.mp4",
        AT,
        sequencer="0055AED6DCD90281E5",
        etag="d41d8cd98f00b204e9800998ecf8427e",
        size_bytes=1024,
    )


def test_minio_says_the_same_with_a_content_type() -> None:
    change = only(of_minio(minio()))
    assert (change.kind, change.bucket, change.key, change.occurred_at) == (
        ChangeKind.CREATED,
        "media",
        "acme/uploads/42.mp4",
        AT,
    )
    assert (change.content_type, change.size_bytes) == ("video/mp4", 1024)


def test_ceph_writes_sizes_as_text_and_an_empty_version() -> None:
    change = only(records(ceph()))
    assert (change.size_bytes, change.version_id, change.occurred_at.microsecond) == (1024, None, 123_456)


def test_eventbridge_has_another_shape() -> None:
    change = only(bridge(object={"version-id": "IYV3p45BT0ac8hjHg1houSdS1a"}))
    assert (change.kind, change.key, change.size_bytes) == (ChangeKind.CREATED, "acme/uploads/42.mp4", 5)
    assert (change.version_id, change.occurred_at) == ("IYV3p45BT0ac8hjHg1houSdS1a", AT.replace(microsecond=0))


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (records(aws(key="red+flower%2B%C3%BC.jpg")), "red flower+ü.jpg"),
        (of_minio(minio(key="a%2Fred+flower%2B100%25.jpg")), "a/red flower+100%.jpg"),
        (records(ceph(key="a/red+flower 100%25.jpg")), "a/red+flower 100%25.jpg"),
        (bridge(key="a/red+flower 100%25.jpg"), "a/red+flower 100%25.jpg"),
    ],
    ids=["S3", "MinIO", "Ceph", "EventBridge"],
)
def test_the_key_is_the_objects_own_name(value: bytes, key: str) -> None:
    assert only(value).key == key


@pytest.mark.parametrize("name", ["Put", "Post", "Copy", "CompleteMultipartUpload"])
def test_every_way_to_store_an_object_counts(name: str) -> None:
    for value in (records(aws(f"ObjectCreated:{name}")), of_minio(minio(f"s3:ObjectCreated:{name}"))):
        assert only(value).kind is ChangeKind.CREATED


@pytest.mark.parametrize(
    "value",
    [
        records(aws("ObjectRemoved:Delete")),
        records(aws("ObjectRemoved:DeleteMarkerCreated", versionId="of-the-marker")),
        records(aws("LifecycleExpiration:Delete")),
        records(aws("LifecycleExpiration:DeleteMarkerCreated", versionId="of-the-marker")),
        of_minio(minio("s3:ObjectRemoved:Delete")),
        of_minio(minio("s3:ObjectRemoved:Delete", versionId="null")),
        of_minio(minio("s3:ObjectRemoved:DeleteAllVersions", versionId="v")),
        records(ceph("ObjectRemoved:Delete", size="0")),
        bridge("Object Deleted", **{"deletion-type": "Permanently Deleted", "reason": "DeleteObject"}),
        bridge("Object Deleted", object={"version-id": "m"}, **{"deletion-type": "Delete Marker Created"}),
    ],
)
def test_an_object_that_is_gone_is_removed(value: bytes) -> None:
    change = only(value)
    assert (change.kind, change.size_bytes, change.content_type) == (ChangeKind.REMOVED, None, None)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (TEST_EVENT, PassedOver.TEST),
        (records(aws("ObjectRemoved:Delete", versionId="of-an-older-one")), PassedOver.OLD_VERSION),
        (
            bridge("Object Deleted", object={"version-id": "v"}, **{"deletion-type": "Permanently Deleted"}),
            PassedOver.OLD_VERSION,
        ),
        (records(aws("ObjectTagging:Put")), PassedOver.OTHER_EVENT),
        (records(aws("ObjectRestore:Completed")), PassedOver.OTHER_EVENT),
        (of_minio(minio("s3:ObjectCreated:PutTagging")), PassedOver.OTHER_EVENT),
        (of_minio(minio("s3:ObjectCreated:PutRetention")), PassedOver.OTHER_EVENT),
        (of_minio(minio("s3:ObjectRemoved:NoOP")), PassedOver.OTHER_EVENT),
        (of_minio(minio("s3:ObjectAccessed:Get")), PassedOver.OTHER_EVENT),
        (records(ceph("ObjectCreated:Post", size="0")), PassedOver.OTHER_EVENT),
        (bridge("Object Tags Added"), PassedOver.OTHER_EVENT),
        (records(aws(key="acme/uploads/")), PassedOver.FOLDER),
    ],
)
def test_what_is_about_no_media_is_passed_over(value: bytes, why: PassedOver) -> None:
    assert read_notification(value) == [why]


def test_a_notification_may_have_several_records() -> None:
    found = read_notification(records(aws(key="a.mp4"), aws("ObjectTagging:Put"), aws("ObjectRemoved:Delete", key="b")))
    assert [one.key if isinstance(one, ObjectChange) else one for one in found] == ["a.mp4", "other_event", "b"]


def test_a_notification_that_connect_wrote_as_text_is_read() -> None:
    assert only(json.dumps(records(aws()).decode()).encode()) == only(records(aws()))


def broken(**changes: Any) -> bytes:
    return records(aws() | changes)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "null value"),
        (b"", "is empty"),
        (b"not json", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "JSON array"),
        (b'"text"', "JSON string"),
        (b"{}", "neither Records nor"),
        (b'{"Records": []}', "Records"),
        (b'{"Records": [{"dynamodb": {}}]}', "Records.0.eventName is required"),
        (broken(eventTime="yesterday"), "Records.0.eventTime"),
        (broken(eventTime="2026-11-30T10:00:00"), "with an offset"),
        (broken(s3={"bucket": {"name": "b"}, "object": {}}), "Records.0.s3.object.key is required"),
        (b'{"source": "aws.s3", "detail-type": "Object Created"}', "detail is required"),
        (b" " * (MAX_EVENT_BYTES + 1), "at most 262144"),
    ],
)
def test_what_is_no_notification_says_why(value: bytes | None, said: str) -> None:
    with pytest.raises(RefusedEventError, match=said) as caught:
        read_notification(value)
    assert caught.value.code == "notification.malformed"


def test_any_bytes_are_read_or_refused() -> None:
    whole = of_minio(minio())
    for end in range(0, len(whole), 7):
        with pytest.raises(PermanentError):
            read_notification(whole[:end])
