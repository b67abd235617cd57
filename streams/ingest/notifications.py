"""Read notifications of buckets as Amazon S3, MinIO, Ceph and Amazon EventBridge write them.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html and ev-events.html beside it,
https://docs.ceph.com/en/latest/radosgw/notifications/, and MinIO's cmd/event-notification.go.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final
from urllib.parse import unquote_plus

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from schemas.cloudevents import MAX_EVENT_BYTES
from schemas.errors import ErrorCode
from schemas.faults import RefusedEventError, faults_in, of_the_whole
from schemas.foreign_forms import foreign_form

_CREATED: Final = frozenset({"Put", "Post", "Copy", "CompleteMultipartUpload"})
"""MinIO also has PutTagging, PutRetention and others among ObjectCreated: they leave the content as it is."""
_GONE_WITH_ALL_VERSIONS: Final = frozenset({"DeleteMarkerCreated", "DeleteAllVersions"})
_REMOVED: Final = _GONE_WITH_ALL_VERSIONS | {"Delete"}
_REMOVING: Final = frozenset({"ObjectRemoved", "LifecycleExpiration"})
_CEPH: Final = "ceph:s3"
_NO_VERSION: Final = frozenset({None, "", "null"})
"""Of buckets without versions; `null` is what such an object is called once versions were suspended."""


class ChangeKind(StrEnum):
    """The kind of change of an object."""

    CREATED = "created"
    REMOVED = "removed"


@dataclass(frozen=True)
class ObjectChange:
    """An object has new content, or is gone; `key` is the object's own name, not encoded."""

    kind: ChangeKind
    bucket: str
    key: str
    occurred_at: datetime
    sequencer: str | None = None
    version_id: str | None = None
    etag: str | None = None
    size_bytes: int | None = None
    content_type: str | None = None


class PassedOver(StrEnum):
    """Why a notification is about no media."""

    TEST = "test"
    OTHER_EVENT = "other_event"
    FOLDER = "folder"
    OLD_VERSION = "old_version"


class _Part(BaseModel):
    """Fields that we do not know are ignored; numbers may be written as text, as Ceph does."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class _Bucket(_Part):
    name: Annotated[str, Field(min_length=1, max_length=255)]


class _AnyObject(_Part):
    key: Annotated[str, Field(min_length=1, max_length=4096)]
    size: Annotated[int, Field(ge=0)] | None = None
    etag: str | None = None
    version_id: str | None = None
    sequencer: str | None = None
    content_type: Annotated[str, Field(max_length=255)] | None = Field(None, alias="contentType")

    @property
    def version(self) -> str | None:
        """Return the version of an object that has some."""
        return None if self.version_id in _NO_VERSION else self.version_id


class _Object(_AnyObject):
    etag: str | None = Field(None, alias="eTag")
    version_id: str | None = Field(None, alias="versionId")


class _S3(_Part):
    bucket: _Bucket
    object: _Object


class _Record(_Part):
    source: str = Field("", alias="eventSource")
    name: str = Field(alias="eventName")
    time: AwareDatetime = Field(alias="eventTime")
    s3: _S3


class _Notification(_Part):
    records: Annotated[list[_Record], Field(min_length=1)] = Field(alias="Records")


class _BridgeObject(_AnyObject):
    version_id: str | None = Field(None, alias="version-id")


class _BridgeDetail(_Part):
    bucket: _Bucket
    object: _BridgeObject
    deletion_type: str | None = Field(None, alias="deletion-type")


class _BridgeEvent(_Part):
    time: AwareDatetime
    detail_type: str = Field(alias="detail-type")
    detail: _BridgeDetail


def read_notification(value: bytes | None) -> list[ObjectChange | PassedOver]:
    """Return what a record says, in its order, at least one thing.

    Raises only RefusedEventError notification.malformed, whatever bytes came.
    """
    said = _object(value)
    try:
        if said.get("source") == "aws.s3" and "detail-type" in said:
            return [_of_bridge(said)]
        if said.get("Event") == "s3:TestEvent" and "Records" not in said:
            return [PassedOver.TEST]
        if "Records" in said:
            return [_of_record(record) for record in _Notification.model_validate(said).records]
    except ValidationError as exc:
        raise RefusedEventError(ErrorCode.NOTIFICATION_MALFORMED, faults_in(exc)) from exc
    form = foreign_form(value or b"")
    raise _refused(form or "The value is JSON, but no notification: it has neither Records nor a detail-type of S3.")


def _object(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise _refused("The record has a null value, and no notification.")
    if len(value) > MAX_EVENT_BYTES:
        raise _refused(f"The value has {len(value)} bytes; at most {MAX_EVENT_BYTES} are read.")
    try:
        said = json.loads(value)
        if isinstance(said, str):  # what Kafka Connect makes of a message that is text
            said = json.loads(said)
    except (ValueError, RecursionError) as exc:
        raise _refused(foreign_form(value) or "The value is not JSON that can be read.") from exc
    if not isinstance(said, dict):
        raise _refused(foreign_form(value) or "The value is JSON, but no object.")
    return said


def _refused(message: str) -> RefusedEventError:
    return of_the_whole(ErrorCode.NOTIFICATION_MALFORMED, message)


def _of_record(record: _Record) -> ObjectChange | PassedOver:
    family, _, name = record.name.removeprefix("s3:").partition(":")
    found, bucket = record.s3.object, record.s3.bucket.name
    if family == "ObjectCreated" and name in _CREATED:
        if record.source == _CEPH and name == "Post" and not found.size:
            return PassedOver.OTHER_EVENT  # it also says so of a multipart upload that has only begun
        kind = ChangeKind.CREATED
    elif family in _REMOVING and name in _REMOVED:
        if found.version is not None and name not in _GONE_WITH_ALL_VERSIONS:
            return PassedOver.OLD_VERSION
        kind = ChangeKind.REMOVED
    else:
        return PassedOver.OTHER_EVENT
    # Ceph writes keys as they are, the others as in a query.
    key = found.key if record.source == _CEPH else unquote_plus(found.key)
    return _change(ObjectChange(kind, bucket, key, record.time.astimezone(UTC)), found)


def _of_bridge(said: dict[str, Any]) -> ObjectChange | PassedOver:
    if said["detail-type"] not in ("Object Created", "Object Deleted"):
        return PassedOver.OTHER_EVENT
    event = _BridgeEvent.model_validate(said)
    detail = event.detail
    kind = ChangeKind.CREATED if event.detail_type == "Object Created" else ChangeKind.REMOVED
    found, is_final = detail.object, detail.deletion_type == "Permanently Deleted"
    if kind is ChangeKind.REMOVED and found.version is not None and is_final:
        return PassedOver.OLD_VERSION
    # EventBridge writes keys as they are.
    return _change(ObjectChange(kind, detail.bucket.name, found.key, event.time.astimezone(UTC)), found)


def _change(change: ObjectChange, found: _AnyObject) -> ObjectChange | PassedOver:
    """Return the change with what is known of the object."""
    if change.key.endswith("/"):
        return PassedOver.FOLDER
    known = replace(change, sequencer=found.sequencer or None, version_id=found.version, etag=found.etag or None)
    if change.kind is ChangeKind.REMOVED:
        return known
    return replace(known, size_bytes=found.size, content_type=found.content_type or None)
