"""Whether every announcement says what is so: its contract, its upload, its company, its storage, its picture."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

from tests.campaign.chaos.oracle.facts import BASE_PATHS, REJECTED, Finding, Published, State
from tests.campaign.chaos.pictures import AVERAGE_TOLERANCE, CLIP_SIZE, PHOTO_SIZE, placeholder_distance
from tests.campaign.chaos.plan import FaultKind
from tests.campaign.chaos.topics import Record
from tests.campaign.chaos.uploads import ACME, SLUGS, PlannedUpload

TOPICS: Final = ("thumbnail.ready", "thumbnail.failed", "thumbnail.cleanup")
OUTAGES: Final = frozenset({FaultKind.S3_DOWN, FaultKind.S3_RESET, FaultKind.S3_SLOW})
"""Of the bucket. A company whose own storage is local has no fallback."""
AFTER_OUTAGE_S: Final = 10.0
"""A paused connection is asked again some seconds after its storage is back."""
CLOCK_S: Final = 1.0
_SCHEMAS: Final = Path(__file__).parents[4] / "schemas" / "exported"
_SIZES: Final = {"image": PHOTO_SIZE, "video": CLIP_SIZE}
_RENDITIONS: Final = {"small", "medium", "large"}


def check_events(state: State) -> Iterator[Finding]:
    """Each record of ready, failed and cleanup, repeated ones too."""
    yield from _rejections(state)
    deletions = {str(record.event.get("event_id")) for record in state.records("thumbnail.deleted")}
    for topic in TOPICS:
        contract = Draft202012Validator(json.loads((_SCHEMAS / f"{topic}.v1.schema.json").read_text()))
        owners: dict[str, str] = {}
        for record in state.records(topic):
            if record.header("ce_type") == REJECTED:
                continue
            place = f"{topic} {record.partition}/{record.offset}"
            upload = state.by_id.get(str(record.event.get("upload_event_id")))
            problems = [error.message for error in contract.iter_errors(record.event)]
            if (
                upload is None
                and topic == "thumbnail.cleanup"
                and str(record.event.get("upload_event_id")) in deletions
            ):
                problems += _of_a_deletion(record)
            elif upload is None:
                problems.append("it is of no upload that was published")
            else:
                problems += _common(record, upload, state)
                if owners.setdefault(record.event["event_id"], upload.planned.event_id) != upload.planned.event_id:
                    problems.append("its event_id is that of another upload's, too")
                if topic == "thumbnail.ready" and not problems:
                    problems += _ready(record.event, upload)
                    yield from _fallback(record, upload, state)
                    far = placeholder_distance(record.event["placeholder"], upload.planned.colours)
                    if far > AVERAGE_TOLERANCE:
                        yield Finding("wrong picture", f"the placeholder in {place} is {far:.0f} off {upload.name}")
            if problems:
                yield Finding("wrong event", f"{place}: {'; '.join(problems)}"[:500])


def _rejections(state: State) -> Iterator[Finding]:
    """Each answer to a record that could not be taken."""
    contract = Draft202012Validator(json.loads((_SCHEMAS / "media.rejected.v1.schema.json").read_text()))
    for event_id, records in state.rejected.items():
        upload = state.by_id.get(event_id)
        for record in records:
            problems = [error.message for error in contract.iter_errors(record.event)]
            if upload is None:
                problems.append("it is of no record that was published")
            elif record.key_text != upload.planned.record_key:
                problems.append(f"its key is {record.key_text} instead of {upload.planned.record_key}")
            if problems:
                place = f"thumbnail.failed {record.partition}/{record.offset}"
                yield Finding("wrong event", f"{place}: {'; '.join(problems)}"[:500])


def _of_a_deletion(record: Record) -> Iterator[str]:
    """What a cleanup after a deletion must say; which deletions there were is the tombstones' judge's to know."""
    if record.event["reason"] != "row_gone":
        yield f"its reason is {record.event['reason']} instead of row_gone"


def _common(record: Record, upload: Published, state: State) -> Iterator[str]:
    """What ready, failed and cleanup have alike."""
    event, planned = record.event, upload.planned
    wanted = upload.event["media"]
    if record.key_text != planned.record_key:
        yield f"its key is {record.key_text} instead of {planned.record_key}"
    if event["company_id"] != planned.company_id:
        yield f"its company is {event['company_id']} instead of {planned.company_id}"
    if planned.is_upload and {name: event["media"].get(name) for name in wanted} != wanted:
        yield f"its media is {event['media']} instead of {wanted}"
    said = datetime.fromisoformat(event["occurred_at"])
    is_right = (
        abs(said - upload.published_at) < timedelta(minutes=5)
        if planned.error_code == "event.in_future"
        else said == upload.happened_at
    )
    if not is_right:
        yield f"it says that the upload happened at {said} instead of {upload.happened_at}"
    made = datetime.fromisoformat(event["produced_at"])
    clock = timedelta(seconds=CLOCK_S)
    if not upload.published_at - clock <= made <= state.evidence.read_at + clock:
        yield f"it was made at {made}, and the upload published at {upload.published_at}"
    headers = {
        "ce_id": event["event_id"],
        "ce_type": f"vertexar.{record.topic}.v1",
        "ce_subject": planned.record_key,
        "causationid": planned.event_id,
    }
    yield from (
        f"its {name} is {record.header(name)!r}" for name, text in headers.items() if record.header(name) != text
    )


def _ready(event: dict[str, Any], upload: Published) -> Iterator[str]:
    planned, storage = upload.planned, event["storage"]
    items = {item["name"]: item for item in event["renditions"]}
    if set(items) != _RENDITIONS or len(items) != len(event["renditions"]):
        yield f"its renditions are {sorted(items)}"
    elif event["thumbnail_url"] != items["medium"]["url"]:
        yield "its thumbnail_url is not that of the medium rendition"
    folders = {item["key"].rpartition("/")[0] for item in event["renditions"]}
    if len(folders) != 1 or not all(_is_of(planned, folder) for folder in folders):
        yield f"its objects are in {sorted(folders)} instead of one folder of its media"
    urls = [item["url"] for item in event["renditions"] if not item["url"].endswith(item["key"])]
    if urls:
        yield f"the URLs {urls} are not those of their keys"
    size = event["source"]["width"], event["source"]["height"]
    if size != _SIZES[planned.kind]:
        yield f"it says that the source has {size} pixels"
    if event["degraded"]:
        yield "it calls a sound file degraded"
    own = "local_disk" if planned.company_id == ACME else "minio"
    if storage["fallback"] is None and (storage["provider"], storage["connection_id"]) != (own, planned.company_id):
        yield f"it names the storage {storage} of company {planned.company_id}"


def _is_of(planned: PlannedUpload, folder: str) -> bool:
    """Whether a folder is of the upload's company and media; what is below that is the product's own matter."""
    return folder.startswith(f"{SLUGS[planned.company_id]}/thumbnails/") and f"/{planned.media_id}/" in f"{folder}/"


def _fallback(record: Record, upload: Published, state: State) -> Iterator[Finding]:
    """A fallback needs an outage of that storage, between the upload's publication and its result."""
    reason = record.event["storage"]["fallback"]
    if reason is None:
        return
    made = datetime.fromisoformat(record.event["produced_at"])
    outages = [incident for incident in state.incidents if incident.kind in OUTAGES]
    had_one = any(outage.overlaps(upload.published_at, made, margin_s=AFTER_OUTAGE_S) for outage in outages)
    if upload.planned.company_id == ACME or not had_one:
        place = BASE_PATHS[upload.planned.company_id]
        yield Finding("fallback without reason", f"{upload.name}: {reason}, and {place} had no outage by then")
