"""Notifications of buckets in the shapes of each server, field by field as its public documentation or its source has them."""

import json
from typing import Any

AT = "2026-11-30T10:00:00.123Z"


def aws(name: str = "ObjectCreated:Put", key: str = "acme/uploads/42.mp4", **of_object: Any) -> dict[str, Any]:
    """Amazon S3, version 2.1 of its structure."""
    found = {"key": key, "size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "sequencer": "0055AED6DCD90281E5"}
    if name.startswith("ObjectRemoved"):
        del found["size"], found["eTag"]
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-west-2",
        "eventTime": AT,
        "eventName": name,
        "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "192.0.2.3"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "thumbnails",
            "bucket": {
                "name": "media",
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": "arn:aws:s3:::media",
            },
            "object": found | of_object,
        },
    }


def minio(name: str = "s3:ObjectCreated:Put", key: str = "acme%2Fuploads%2F42.mp4", **of_object: Any) -> dict[str, Any]:
    """MinIO: names with `s3:`, keys encoded with their slashes, a content type, and who asked."""
    made = {"size": 1024, "eTag": "37b51d194a7513e45b56f6524f2d51f2", "contentType": "video/mp4", "userMetadata": {}}
    found = {"key": key, "sequencer": "187D0A0A2A4C2B63"} | ({} if "Removed" in name else made)
    return {
        "eventVersion": "2.0",
        "eventSource": "minio:s3",
        "awsRegion": "",
        "eventTime": AT,
        "eventName": name,
        "userIdentity": {"principalId": "minio"},
        "requestParameters": {"principalId": "minio", "region": "", "sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "187D0A0A2A4C2B63", "x-minio-deployment-id": "a"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "Config",
            "bucket": {"name": "media", "ownerIdentity": {"principalId": "minio"}, "arn": "arn:aws:s3:::media"},
            "object": found | of_object,
        },
        "source": {"host": "127.0.0.1", "port": "", "userAgent": "MinIO"},
    }


def of_minio(record: dict[str, Any]) -> bytes:
    """What MinIO wraps around it."""
    whole = {"EventName": record["eventName"], "Key": "media/acme/uploads/42.mp4", "Records": [record]}
    return json.dumps(whole).encode()


def ceph(name: str = "ObjectCreated:Put", key: str = "acme/uploads/42.mp4", **of_object: Any) -> dict[str, Any]:
    """Ceph: keys as they are, sizes as text, an empty version, and more fields."""
    found = {
        "key": key,
        "size": "1024",
        "eTag": "37b51d194a7513e45b56f6524f2d51f2",
        "versionId": "",
        "sequencer": "F7E6D75DC742D108",
        "metadata": [],
        "tags": [],
    }
    return {
        "eventVersion": "2.1",
        "eventSource": "ceph:s3",
        "awsRegion": "zonegroup1",
        "eventTime": "2026-11-30T10:00:00.123456Z",
        "eventName": name,
        "userIdentity": {"principalId": "tester"},
        "requestParameters": {"sourceIPAddress": ""},
        "responseElements": {"x-amz-request-id": "503a4c37.5330.903595", "x-amz-id-2": "14d2-zone1-zonegroup1"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "thumbnails",
            "bucket": {
                "name": "media",
                "ownerIdentity": {"principalId": "tester"},
                "arn": "arn:aws:s3:::media",
                "id": "5",
            },
            "object": found | of_object,
        },
        "eventId": "",
        "opaqueData": "me@example.com",
    }


def bridge(detail_type: str = "Object Created", key: str = "acme/uploads/42.mp4", **more: Any) -> bytes:
    """Amazon EventBridge: keys as they are, times to the second."""
    found = {"key": key, "etag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "617f08299329d189"}
    detail: dict[str, Any] = {"version": "0", "bucket": {"name": "media"}, "object": found | more.pop("object", {})}
    if detail_type == "Object Created":
        detail["object"]["size"] = 5
    event = {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": detail_type,
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2026-11-30T10:00:00Z",
        "region": "ca-central-1",
        "resources": ["arn:aws:s3:::media"],
        "detail": detail | {"request-id": "N4N7GDK58NMKJ12R", "requester": "111122223333"} | more,
    }
    return json.dumps(event).encode()


def records(*found: dict[str, Any]) -> bytes:
    """A notification with these records."""
    return json.dumps({"Records": list(found)}).encode()


TEST_EVENT = json.dumps(
    {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": AT,
        "Bucket": "media",
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4",
    }
).encode()
"""What Amazon S3 sends as the notifications of a bucket are switched on."""
