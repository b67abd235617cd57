"""Provide one example of each event as it is on the wire, for the exported files and the documents."""

from typing import Any, Final

_UPLOAD_ID: Final = "5d5f27e4-a049-4d83-8036-3fc1644ddf49"
_READY_ID: Final = "15338518-7776-51c8-a418-f2dfbf5ddfe5"
_VERSION: Final = "20261123T193124.182393Z-00677edb56d0"
_FOLDER: Final = f"acme/thumbnails/video/42/{_VERSION}-1-fa0a9e3b9eca"
_URL: Final = f"https://files.example.com/vault/{_FOLDER}"
_TRACEPARENT: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

_UPLOAD: Final[dict[str, Any]] = {
    "event_id": _UPLOAD_ID,
    "occurred_at": "2026-11-23T19:31:24.182393Z",
    "company_id": 1,
}
_MEDIA: Final[dict[str, Any]] = {
    "kind": "video",
    "id": 42,
    "ar_content_id": 9,
    "key": "acme/uploads/holiday.mp4",
    "content_type": "video/mp4",
    "size_bytes": 1048576,
    "version": None,
    "external_id": "2f1a6c0e-8a52-4a55-9d61-0b8c6b3f7d10",
}
_RESULT: Final[dict[str, Any]] = {
    "upload_event_id": _UPLOAD_ID,
    "occurred_at": "2026-11-23T19:31:24.182393Z",
    "produced_at": "2026-11-23T19:31:25.328837Z",
    "company_id": 1,
    "media": _MEDIA,
}


def _rendition(name: str, width: int, height: int, size: int, sha256: str) -> dict[str, Any]:
    place = {"name": name, "key": f"{_FOLDER}/{name}.webp", "url": f"{_URL}/{name}.webp"}
    return place | {"width": width, "height": height, "format": "webp", "bytes": size, "sha256": sha256}


MEDIA_UPLOADED: Final[tuple[dict[str, Any], ...]] = (
    _UPLOAD | {"media": {key: value for key, value in _MEDIA.items() if value is not None}, "frame_time_s": 3.5},
    {
        "event_id": "01HF7YAT4MZ8G3V2N6Q1XK9R5T",
        "occurred_at": "2026-11-23T20:31:54.183+01:00",
        "company_id": 1,
        "media": {"kind": "image", "id": 9, "ar_content_id": 9, "key": "acme/uploads/photo.jpg"},
    },
)
"""A video with every field, and a photograph with the required fields only."""

THUMBNAIL_READY: Final[tuple[dict[str, Any], ...]] = (
    {
        "event_id": _READY_ID,
        **_RESULT,
        "thumbnail_url": f"{_URL}/medium.webp",
        "renditions": [
            _rendition("small", 150, 84, 2172, "63a339f8fbe96e319b9a4773f28156ad992fa1db06f919437f763e0e5dddb36f"),
            _rendition("medium", 320, 180, 4878, "e6daa0df6e668371380131ae9c67f84bed9d8439dca8ba5a56c7edd20589e129"),
            _rendition("large", 640, 360, 11024, "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"),
        ],
        "storage": {"provider": "minio", "connection_id": 7, "fallback": None},
        "source": {
            "width": 1920,
            "height": 1080,
            "duration_s": 12.4,
            "codec": "h264",
            "format": "mov",
            "rotation": 0,
            "bytes_read": 26859,
            "size_bytes": 18274655,
            "contradicts": [],
        },
        "frame": {"time_s": 3.5, "method": "pyav-chosen", "score": None, "candidates": 1},
        "degraded": False,
        "degraded_reason": None,
        "placeholder": "ngcCFITWuY7h9mHHW6evgjiUBw==",
        "attempt": 1,
        "timings_ms": {"read": 7.9, "decode": 27.0, "render": 20.4, "upload": 27.6, "total": 112.1},
        "version": _VERSION,
        "settings": "1-0d625d0a7c220b7c",
    },
)

THUMBNAIL_FAILED: Final[tuple[dict[str, Any], ...]] = (
    {
        "event_id": "c98a619c-2cb5-581f-bfab-4c45f3a6bd65",
        **_RESULT,
        "error": {
            "code": "media.corrupt",
            "message": "The video cannot be decoded: Invalid data found when processing input.",
            "stage": "decode",
            "retryable": False,
            "next_action": "The file is damaged: ask the uploader to export it again and upload the new file.",
        },
        "attempts": 1,
        "first_failed_at": "2026-11-23T19:31:25.259405Z",
        "dead_letter": {"topic": "thumbnail.dlq"},
        "version": _VERSION,
    },
)

_REJECTED: Final = (
    "occurred_at is 1795462284182, but must be a time as in RFC 3339, as text and with an offset: 2026-11-23T19:31:24Z.",
    'company_id is required, and is not there; "companyId" is.',
)
MEDIA_REJECTED: Final[tuple[dict[str, Any], ...]] = (
    {
        "event_id": "0d0f3f0a-6a5e-5d7c-9b1e-2f6d8f1c7a31",
        "produced_at": "2026-11-23T19:31:24.201744Z",
        "upload_event_id": _UPLOAD_ID,
        "company_id": None,
        "media": {
            "kind": "video",
            "id": 42,
            "ar_content_id": 9,
            "key": "acme/uploads/holiday.mp4",
            "external_id": None,
        },
        "error": {
            "code": "event.malformed",
            "message": " ".join(_REJECTED),
            "stage": "event",
            "retryable": False,
            "next_action": "Fix the producer: the value must match the media.uploaded schema. Then publish the upload again.",
        },
        "faults": [
            {"field": "occurred_at", "value": "1795462284182", "message": _REJECTED[0]},
            {"field": "company_id", "value": None, "message": _REJECTED[1]},
        ],
        "record": {"topic": "media.uploaded", "partition": 1, "offset": 2},
        "attempts": 1,
        "first_failed_at": "2026-11-23T19:31:24.201744Z",
        "dead_letter": {"topic": "thumbnail.dlq"},
    },
)

THUMBNAIL_CLEANUP: Final[tuple[dict[str, Any], ...]] = (
    {
        "event_id": "211c3e75-823a-5c54-a88c-314436fe11f0",
        **_RESULT,
        "version": _VERSION,
        "storage": None,
        "reason": "given_up",
    },
)

_DELETED: Final[dict[str, Any]] = {
    "occurred_at": "2026-11-24T09:00:00Z",
    "company_id": 1,
    "media": {"kind": "video", "id": 42, "ar_content_id": 9, "external_id": None},
}
MEDIA_DELETED: Final[tuple[dict[str, Any], ...]] = ({"event_id": "deletion-of-video-42", **_DELETED},)

THUMBNAIL_DELETED: Final[tuple[dict[str, Any], ...]] = (
    {
        "event_id": "3ae5c5d5-4a5f-5b5c-9a26-0c7c9a0a6b0e",
        **_DELETED,
        "produced_at": "2026-11-24T09:00:00.125000Z",
        "media": _DELETED["media"] | {"key": None},
    },
)

_SHOWN: Final[dict[str, Any]] = {
    "thumbnail_url": f"{_URL}/medium.webp",
    "renditions": THUMBNAIL_READY[0]["renditions"],
    "placeholder": "ngcCFITWuY7h9mHHW6evgjiUBw==",
    "shown_upload_event_id": _UPLOAD_ID,
    "degraded": False,
    "degraded_reason": None,
    "storage_fallback": None,
}
THUMBNAIL_STATE: Final[tuple[dict[str, Any], ...]] = (
    {
        "event_id": "9b0f2a52-52ae-5e0c-8a3a-6f0f4c3d2b1a",
        "revision": 1,
        "updated_at": "2026-11-23T19:31:25.402117Z",
        "company_id": 1,
        "media": {"kind": "video", "id": 42, "ar_content_id": 9, "external_id": None},
        "status": "ready",
        "upload_event_id": _UPLOAD_ID,
        "occurred_at": "2026-11-23T19:31:24.182393Z",
        **_SHOWN,
        "error": None,
    },
    {
        "event_id": "5d2a9d0b-8f0d-5e19-b1a5-0f6f1f7c9c11",
        "revision": 2,
        "updated_at": "2026-11-24T08:00:01.530211Z",
        "company_id": 1,
        "media": {"kind": "video", "id": 42, "ar_content_id": 9, "external_id": None},
        "status": "failed",
        "upload_event_id": "0c8f6f0e-1d7e-4a8e-9d57-7a1b9a3d5e21",
        "occurred_at": "2026-11-24T08:00:00Z",
        **_SHOWN,
        "error": {name: THUMBNAIL_FAILED[0]["error"][name] for name in ("code", "message", "next_action")},
    },
)
"""A media that is shown, and the same after its next upload has failed: the earlier pictures stay."""

REPLAY_MARK: Final[dict[str, Any]] = {
    "state": "replayed",
    "at": "2026-11-24T08:00:00.000Z",
    "to": "thumbnail.due",
    "letter_timestamp_ms": 1795462314260,
}

HEADERS: Final[dict[str, str]] = {
    "ce_specversion": "1.0",
    "ce_id": _UPLOAD_ID,
    "ce_source": "/upload-service",
    "ce_type": "vertexar.media.uploaded.v1",
    "ce_time": "2026-11-23T19:31:24.182Z",
    "ce_subject": "video:42",
    "content-type": "application/json",
    "traceparent": _TRACEPARENT,
    "tracestate": "vendor=opaque",
    "correlationid": _UPLOAD_ID,
    "causationid": _UPLOAD_ID,
    "ce_traceparent": _TRACEPARENT,
    "ce_tracestate": "vendor=opaque",
    "ce_correlationid": _UPLOAD_ID,
    "ce_causationid": _UPLOAD_ID,
    "retry-attempt": "1",
    "retry-due-at": "2026-11-23T19:32:24.260Z",
    "retry-hops": "1",
    "other-pictures": "true",
    "retry-not-before": "2026-11-23T19:32:55.260Z",
    "first-failed-at": "2026-11-23T19:31:25.259Z",
    "last-failed-at": "2026-11-23T19:31:25.259Z",
    "x-original-topic": "media.uploaded",
    "x-original-partition": "1",
    "x-original-offset": "2",
    "x-original-timestamp": "2026-11-23T19:31:24.183Z",
    "x-consumer-group": "thumbnails",
    "error-code": "media.corrupt",
    "error-class": "PermanentError",
    "error-message": "The video cannot be decoded: Invalid data found when processing input.",
    "error-stage": "decode",
    "retryable": "false",
    "attempts": "1",
    "next-action": "The file is damaged: ask the uploader to export it again and upload the new file.",
    "x-cut": "Only the beginning is here, for the record is too large for this topic: value 16700000 bytes, key 8 bytes,"
    " 9 headers of 420 bytes. The whole is in media.uploaded, partition 3, offset 17, as long as that topic keeps it.",
    "replay-count": "1",
    "replayed-at": "2026-11-24T08:00:00.000Z",
    "replayed-from": "thumbnail.dlq/0/17",
    "parked-at": "2026-11-24T08:00:00.000Z",
    "parked-reason": "It failed again after 3 replays (DLQ_MAX_REPLAYS).",
    "cancelled-at": "2026-11-24T08:05:00.000Z",
    "cancelled-by": "ana@ops-1",
    "cancelled-note": "Acme uploads it again",
}
"""What each header looks like."""
