"""A made-up end of a campaign in which all is as it must be: what was published, and the evidence. Tests damage it."""

import base64
import hashlib
import json
from datetime import datetime, timedelta
from typing import Any, Final

from tests.campaign.chaos.evidence import Evidence, StoredFile
from tests.campaign.chaos.oracle.facts import BASE_PATHS, CAMPAIGN_ID, REJECTED, Published
from tests.campaign.chaos.pictures import PHOTO_SIZE, Measured
from tests.campaign.chaos.poison import ODD_HEADERS, POISONS
from tests.campaign.chaos.topics import Record
from tests.campaign.chaos.uploads import ACME, GLOBEX, HOOLI, SLUGS, Case, PlannedUpload

BEGAN: Final = datetime.fromisoformat("2026-11-25T10:00:00+00:00")
MADE: Final = BEGAN + timedelta(seconds=20)
DUE: Final = BEGAN + timedelta(seconds=5)
READ: Final = BEGAN + timedelta(minutes=5)
_SIZES: Final = {"small": (150, 112), "medium": (240, 180), "large": (240, 180)}


def ms(moment: datetime) -> int:
    """As records have their times."""
    return round(moment.timestamp() * 1000)


def an_upload(number: int, case: Case, *, company: int = GLOBEX, media: int = 0, **more: Any) -> Published:
    """Published at BEGAN; `age_s` ago it happened."""
    planned = PlannedUpload(f"upload-{number}", case, "image", company, media or number, 0.0, number=number, **more)
    event = {
        "event_id": planned.event_id,
        "occurred_at": (BEGAN - timedelta(seconds=planned.age_s)).isoformat(),
        "company_id": company,
        "media": {
            "kind": "image",
            "id": planned.media_id,
            "ar_content_id": planned.media_id,
            "key": f"{SLUGS[company]}/uploads/{number}",
        },
    }
    return Published(planned, event, BEGAN)


GOOD: Final = an_upload(1, Case.GOOD)
OLD: Final = an_upload(2, Case.OUT_OF_ORDER, media=20, age_s=3600.0)
NEW: Final = an_upload(3, Case.OUT_OF_ORDER, media=20)
BROKEN: Final = an_upload(4, Case.BROKEN, company=ACME, error_code="media.corrupt", oddity="repeated name")
GONE: Final = an_upload(5, Case.DELETED)
FUTURE: Final = an_upload(6, Case.IN_FUTURE, error_code="event.in_future", age_s=-86_400.0)
POISON: Final = an_upload(7, Case.POISON, error_code="event.malformed", oddity="bytes")
REPAIRED: Final = an_upload(8, Case.REPAIRED, company=ACME)
OF_HOOLI: Final = an_upload(9, Case.GOOD, company=HOOLI)
UPLOADS: Final = [GOOD, NEW, OLD, BROKEN, GONE, FUTURE, POISON, REPAIRED, OF_HOOLI]
SHOWN: Final = [GOOD, NEW, REPAIRED, OF_HOOLI]


def a_placeholder(upload: Published) -> str:
    """A ThumbHash whose average colour is that of the upload's picture."""
    red, green, blue = (sum(channel) / 3 / 255 for channel in zip(*upload.planned.colours, strict=True))
    light, p, q = (red + green + blue) / 3, (red + green) / 2 - blue, red - green
    header = round(light * 63) | round((p + 1) * 31.5) << 6 | round((q + 1) * 31.5) << 12
    return base64.b64encode(header.to_bytes(3, "little") + bytes(9)).decode()


def sum_of(text: str) -> str:
    """A checksum."""
    return hashlib.sha256(text.encode()).hexdigest()


def a_result(upload: Published, kind: str, **fields: Any) -> dict[str, Any]:
    """What ready, failed and cleanup have alike."""
    media = upload.event["media"] | {"content_type": None, "size_bytes": None, "version": None, "external_id": None}
    return {
        "event_id": f"{kind}-{upload.planned.event_id}",
        "upload_event_id": upload.planned.event_id,
        "occurred_at": upload.happened_at.isoformat(),
        "produced_at": MADE.isoformat(),
        "company_id": upload.planned.company_id,
        "media": media,
        **fields,
    }


def a_ready(upload: Published) -> dict[str, Any]:
    planned = upload.planned
    own = {ACME: "local_disk"}.get(planned.company_id, "minio")
    renditions = []
    for name, (width, height) in _SIZES.items():
        key = f"{SLUGS[planned.company_id]}/thumbnails/image/{planned.media_id}/v-{planned.event_id}/{name}.webp"
        item = {"name": name, "key": key, "url": f"http://x/{key}", "width": width, "height": height}
        renditions.append(item | {"format": "webp", "bytes": 10, "sha256": sum_of(key)})
    width, height = PHOTO_SIZE
    source = {"width": width, "height": height, "duration_s": None, "codec": "jpeg", "format": "jpeg"}
    return a_result(
        upload,
        "ready",
        thumbnail_url=renditions[1]["url"],
        renditions=renditions,
        storage={"provider": own, "connection_id": planned.company_id, "fallback": None},
        source=source | {"rotation": 0, "bytes_read": 1, "size_bytes": 1, "contradicts": []},
        frame={"time_s": None, "method": "image", "score": None, "candidates": 1},
        degraded=False,
        degraded_reason=None,
        placeholder=a_placeholder(upload),
        attempt=1,
        timings_ms=dict.fromkeys(("read", "decode", "render", "upload", "total"), 1.0),
        version="v",
        settings="1-a",
    )


def a_failed(upload: Published, code: str) -> dict[str, Any]:
    error = {"code": code, "message": "damaged", "stage": "decode", "retryable": False, "next_action": "Ask."}
    facts = {"first_failed_at": MADE.isoformat(), "dead_letter": {"topic": "thumbnail.dlq"}, "version": "v"}
    return a_result(upload, "failed", error=error, attempts=1, **facts)


def a_rejection(upload: Published, offset: int) -> dict[str, Any]:
    return {
        "event_id": f"rejected-{upload.planned.event_id}",
        "produced_at": MADE.isoformat(),
        "upload_event_id": None,
        "company_id": None,
        "media": dict.fromkeys(("kind", "id", "ar_content_id", "key", "external_id")),
        "error": a_failed(upload, upload.planned.error_code or "")["error"],
        "faults": [{"field": None, "value": None, "message": "It is not JSON."}],
        "record": {"topic": "media.uploaded", "partition": 1, "offset": offset},
        "attempts": 1,
        "first_failed_at": MADE.isoformat(),
        "dead_letter": {"topic": "thumbnail.dlq"},
    }


def rejected(upload: Published, offset: int, at: int) -> Record:
    """The answer to the record of media.uploaded at `offset`."""
    key, event = upload.planned.record_key.encode(), a_rejection(upload, offset)
    return Record(
        "thumbnail.failed", 0, at, ms(MADE), key, json.dumps(event).encode(), (("ce_type", REJECTED.encode()),)
    )


def announced(topic: str, upload: Published, event: dict[str, Any], offset: int = 0) -> Record:
    """A record of ready, failed or cleanup."""
    headers = {"ce_id": event["event_id"], "ce_type": f"vertexar.{topic}.v1", "ce_subject": upload.planned.record_key}
    headers["causationid"] = upload.planned.event_id
    named = tuple((name, text.encode()) for name, text in headers.items())
    return Record(topic, 0, offset, ms(MADE), upload.planned.record_key.encode(), json.dumps(event).encode(), named)


def sent(upload: Published, offset: int) -> Record:
    """The record on media.uploaded."""
    planned = upload.planned
    value, headers = json.dumps(upload.event).encode(), list(ODD_HEADERS.get(planned.oddity, []))
    if planned.case is Case.POISON:
        value, headers = POISONS[planned.oddity].value(upload.event), []
    named = ((CAMPAIGN_ID, planned.event_id.encode()), *headers)
    return Record("media.uploaded", 1, offset, ms(BEGAN), planned.record_key.encode(), value, named)


def hop(topic: str, original: Record, at: datetime, offset: int = 0, **headers: str) -> Record:
    """A record that was handed on, with what our roles write beside it."""
    known = {
        "x-original-topic": original.topic,
        "x-original-partition": str(original.partition),
        "x-original-offset": str(original.offset),
        "x-original-timestamp": BEGAN.isoformat(),
        "x-consumer-group": "thumbnails",
        **dict.fromkeys(("error-class", "error-message", "error-stage", "retryable", "next-action"), "x"),
        "attempts": "1",
        "first-failed-at": MADE.isoformat(),
        "last-failed-at": MADE.isoformat(),
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    named = tuple((name, text.encode()) for name, text in known.items())
    return Record(topic, 0, offset, ms(at), original.key, original.value, original.headers + named)


def a_row(upload: Published) -> dict[str, Any]:
    event = a_ready(upload)
    return {
        "thumbnail_status": "ready",
        "thumbnail_given_up": None,
        "thumbnail_event_id": upload.planned.event_id,
        "thumbnail_error": None,
        "thumbnail_url": event["thumbnail_url"],
        "thumbnails": event["renditions"],
        "thumbnail_placeholder": event["placeholder"],
        "thumbnail_settings": event["settings"],
        "thumbnail_occurred_at": upload.happened_at,
        "thumbnail_updated_at": MADE,
    }


def a_failed_row(upload: Published) -> dict[str, Any]:
    pictures = dict.fromkeys(("thumbnail_url", "thumbnails", "thumbnail_placeholder", "thumbnail_settings"))
    error = f"{upload.planned.error_code}: damaged"
    return a_row(upload) | pictures | {"thumbnail_status": "failed", "thumbnail_error": error}


def a_state(row: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """What thumbnail.state must say of a row."""
    code, _, message = (row["thumbnail_error"] or "").partition(": ")
    return {
        "event_id": f"state-of-{row['thumbnail_event_id']}",
        "revision": 3,
        "updated_at": row["thumbnail_updated_at"].isoformat(),
        "company_id": 1,
        "media": {"kind": "image", "id": 1, "ar_content_id": 1, "external_id": None},
        "status": row["thumbnail_status"],
        "upload_event_id": row["thumbnail_event_id"],
        "occurred_at": row["thumbnail_occurred_at"].isoformat(),
        "thumbnail_url": row["thumbnail_url"],
        "renditions": row["thumbnails"] or [],
        "placeholder": row["thumbnail_placeholder"],
        "shown_upload_event_id": None,
        "degraded": False,
        "degraded_reason": None,
        "storage_fallback": None,
        "error": {"code": code, "message": message, "next_action": "Ask."} if code else None,
    } | fields


def state_record(key: str, offset: int, said: dict[str, Any] | None) -> Record:
    """A record of thumbnail.state; without a state the media is gone."""
    value = None if said is None else json.dumps(said).encode()
    return Record("thumbnail.state", 0, offset, ms(MADE), key.encode(), value)


def a_sound_state() -> Evidence:
    """Of UPLOADS; the good one waited in a retry topic once, the repaired one was replayed."""
    uploaded = {upload.planned.event_id: sent(upload, offset) for offset, upload in enumerate(UPLOADS)}
    of = {name: uploaded[upload.planned.event_id] for name, upload in (("good", GOOD), ("repaired", REPAIRED))}
    given_up = [(BROKEN, "media.corrupt"), (FUTURE, "event.in_future"), (REPAIRED, "source.missing")]
    dead = [*given_up, (POISON, "event.malformed")]
    ready = [upload for upload in UPLOADS if upload in SHOWN or upload in (OLD, GONE)]
    replayed: dict[str, Any] = {
        "replayed_at": MADE.isoformat(),
        "replayed_from": "thumbnail.dlq 0:2",
        "replay_count": "1",
    }
    waiting: dict[str, Any] = {"retry_attempt": "1", "error_code": "source.missing"}
    due = DUE.isoformat()
    objects = {}
    for upload in SHOWN:
        for item in a_ready(upload)["renditions"]:
            picture = Measured(item["width"], item["height"], "webp", upload.planned.colours)
            objects[BASE_PATHS[upload.planned.company_id], item["key"]] = StoredFile(10, sum_of(item["key"]), picture)
    rows = {
        **{upload.planned.record_key: a_row(upload) for upload in SHOWN},
        **{upload.planned.record_key: a_failed_row(upload) for upload in (BROKEN, FUTURE)},
    }
    earlier = a_state(rows[GOOD.planned.record_key], status="failed", revision=2)
    states = [(GOOD.planned.record_key, earlier), *((key, a_state(row)) for key, row in rows.items())]
    return Evidence(
        records={
            "thumbnail.state": [
                state_record(key, n, said) for n, (key, said) in enumerate([*states, (GONE.planned.record_key, None)])
            ],
            "media.uploaded": list(uploaded.values()),
            "thumbnail.ready": [announced("thumbnail.ready", u, a_ready(u), n) for n, u in enumerate(ready)],
            "thumbnail.failed": [
                *(announced("thumbnail.failed", u, a_failed(u, code), n) for n, (u, code) in enumerate(given_up)),
                rejected(POISON, UPLOADS.index(POISON), len(given_up)),
            ],
            "thumbnail.dlq": [
                hop("thumbnail.dlq", uploaded[u.planned.event_id], MADE, n, error_code=code)
                for n, (u, code) in enumerate(dead)
            ],
            "thumbnail.retry.1": [hop("thumbnail.retry.1", of["good"], BEGAN, retry_due_at=due, **waiting)],
            "thumbnail.due": [
                hop("thumbnail.due", of["good"], DUE + timedelta(seconds=0.25), 0, **waiting),
                hop("thumbnail.due", of["repaired"], MADE, 1, **replayed),
            ],
        },
        rows=rows,
        objects=objects,
        read_at=READ,
    )
