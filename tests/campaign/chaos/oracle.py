"""Judges what a campaign has left behind: pure, and shares no code with the product."""

import collections
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from tests.campaign.chaos.evidence import Evidence, Record
from tests.campaign.chaos.uploads import ACME, Case, PlannedUpload

_PAIRED_BY: Final = ("retry-attempt", "last-failed-at", "x-original-topic", "x-original-partition", "x-original-offset")


@dataclass(frozen=True)
class Published:
    """An upload as it was published; `event` is its JSON."""

    planned: PlannedUpload
    event: dict[str, Any]

    @property
    def rank(self) -> tuple[datetime, str]:
        """The newest upload of a media has the highest."""
        return datetime.fromisoformat(self.event["occurred_at"]), self.planned.event_id


@dataclass(frozen=True)
class Finding:
    """One thing that must not be: `kind` is lost, wrong outcome, stale row, missing object, orphan, …"""

    kind: str
    what: str


@dataclass
class OracleReport:
    """All findings, and figures that are reported but are not findings."""

    findings: list[Finding] = field(default_factory=list)
    duplicates: dict[str, int] = field(default_factory=dict)
    lateness_s: list[float] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def of(self, kind: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind == kind]


def judge(published: Iterable[Published], evidence: Evidence) -> OracleReport:
    """What is wrong with `evidence`, given what was published."""
    uploads = list(published)
    state = _State(evidence)
    oracle_report = OracleReport()
    oracle_report.findings += [finding for upload in uploads for finding in _outcome(upload, uploads, state)]
    for newest in _newest(uploads).values():
        oracle_report.findings += _row(newest, state)
    oracle_report.findings += _objects(uploads, state)
    oracle_report.findings += _retries(evidence, oracle_report.lateness_s)
    oracle_report.findings += [
        Finding("not committed", f"{place} is {lag} behind") for place, lag in evidence.lags.items()
    ]
    oracle_report.findings += [Finding("leftover", what) for what in evidence.leftovers]
    refused = evidence.records.get("thumbnail.ready.dlq", [])
    oracle_report.findings += [Finding("refused result", f"{record.key}: {record.headers}") for record in refused]
    oracle_report.duplicates = _duplicates(uploads, state)
    oracle_report.counts = _counts(evidence, state)
    return oracle_report


class _State:
    """The evidence, by the uploads' event ids."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.sent = self._by("media.uploaded", "event_id")
        self.ready = self._by("thumbnail.ready", "upload_event_id")
        self.failed = self._by("thumbnail.failed", "upload_event_id")
        self.dead_letters = self._by("thumbnail.dlq", "event_id")
        self.dead_letter_codes: dict[str, set[str | None]] = collections.defaultdict(set)
        for record in evidence.records.get("thumbnail.dlq", []):
            self.dead_letter_codes[json.loads(record.value).get("event_id")].add(record.headers.get("error-code"))
        waited = [record for tier in (1, 2, 3) for record in evidence.records.get(f"thumbnail.retry.{tier}", [])]
        self.waited = {json.loads(record.value).get("event_id") for record in waited}

    def _by(self, topic: str, name: str) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
        for record in self.evidence.records.get(topic, []):
            value = json.loads(record.value)
            found[value.get(name)].append(value)
        return found


def _newest(uploads: list[Published]) -> dict[str, Published]:
    newest: dict[str, Published] = {}
    for upload in uploads:
        key = upload.planned.record_key
        if key not in newest or upload.rank > newest[key].rank:
            newest[key] = upload
    return newest


def _outcome(upload: Published, uploads: list[Published], state: _State) -> Iterator[Finding]:
    """Whether what was announced of an upload is what had to be."""
    event_id, code = upload.planned.event_id, upload.planned.error_code
    name = f"{upload.planned.case} {upload.planned.record_key} {event_id}"
    if event_id not in state.sent:
        yield Finding("campaign", f"{name} never reached Kafka")
        return
    codes = state.dead_letter_codes.get(event_id, set())
    if code is None:
        if codes or event_id in state.failed:
            yield Finding("wrong outcome", f"{name} was given up: {sorted(map(str, codes))}")
        if event_id not in state.ready and not codes and not _may_be_dropped(upload, uploads, state):
            yield Finding("lost", f"{name} has no outcome")
        return
    if event_id in state.ready:
        yield Finding("wrong outcome", f"{name} is ready instead of {code}")
    elif not codes and event_id not in state.failed:
        yield Finding("lost", f"{name} has no outcome")
    elif codes != {code}:
        yield Finding("wrong outcome", f"{name} has the dead letters {sorted(map(str, codes))} instead of {code}")
    elif {event["error"]["code"] for event in state.failed.get(event_id, [])} != {code}:
        yield Finding("wrong outcome", f"{name} has a dead letter, and no thumbnail.failed of the same code")


def _may_be_dropped(upload: Published, uploads: list[Published], state: _State) -> bool:
    """Whether nothing had to be announced: it waited, and a newer one overtook it meanwhile, or its row is gone."""
    planned = upload.planned
    return planned.event_id in state.waited and (
        planned.case is Case.DELETED
        or any(other.rank > upload.rank for other in uploads if other.planned.record_key == planned.record_key)
    )


def _row(newest: Published, state: _State) -> Iterator[Finding]:
    """Whether the media's row shows its newest upload, and the objects are there."""
    planned = newest.planned
    row = state.evidence.rows.get(planned.record_key)
    if planned.case is Case.DELETED:
        if row is not None:
            yield Finding("campaign", f"the row of {planned.record_key} was not deleted")
        return
    if row is None or row["thumbnail_status"] is None:
        yield Finding("lost", f"the row of {planned.record_key} ({planned.case}) shows no result")
        return
    if row["thumbnail_event_id"] != planned.event_id:
        yield Finding("stale row", f"{planned.record_key} shows another upload than the newest, {planned.event_id}")
        return
    status = "failed" if planned.error_code else "ready"
    if row["thumbnail_status"] != status:
        yield Finding("wrong row", f"{planned.record_key} is {row['thumbnail_status']} instead of {status}")
    elif planned.error_code and not str(row["thumbnail_error"]).startswith(planned.error_code):
        yield Finding("wrong row", f"{planned.record_key}: {row['thumbnail_error']} instead of {planned.error_code}")
    elif not planned.error_code and _announcement(row, state) is None:
        yield Finding("wrong row", f"{planned.record_key} shows what no thumbnail.ready of its upload announces")


def _announcement(row: dict[str, Any], state: _State) -> dict[str, Any] | None:
    """The ready event that the row shows."""
    for event in state.ready.get(row["thumbnail_event_id"], []):
        same_url = event["thumbnail_url"] == row["thumbnail_url"]
        if same_url and _shown(event["renditions"]) == _shown(row["thumbnails"] or []):
            return event
    return None


def _shown(renditions: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted((item["name"], item["key"], item["bytes"], item["sha256"]) for item in renditions)


def _objects(uploads: list[Published], state: _State) -> Iterator[Finding]:
    """Whether the objects are those that rows show, all of them, and no others."""
    companies = {upload.planned.record_key: upload.planned.company_id for upload in uploads}
    owned = set()
    for record_key, row in state.evidence.rows.items():
        event = _announcement(row, state)
        if event is None:
            continue  # reported by _row, or never had any
        own = "local" if companies.get(record_key) == ACME else "minio"
        place = "fallback" if event["storage"]["fallback"] else own
        for item in event["renditions"]:
            found = state.evidence.objects.get((place, item["key"]))
            owned.add((place, item["key"]))
            if found is None:
                yield Finding("missing object", f"{record_key}: {item['key']} is not in {place}")
            elif (found.size_bytes, found.sha256) != (item["bytes"], item["sha256"]):
                yield Finding("wrong object", f"{record_key}: {item['key']} in {place} has other bytes")
    for place, key in sorted(state.evidence.objects.keys() - owned):
        yield Finding("orphan", f"{key} in {place}")


def _retries(evidence: Evidence, lateness_s: list[float]) -> Iterator[Finding]:
    """Whether each record that waited was handed on, and not before it was due; `lateness_s` is filled."""
    handed_on: dict[tuple[str, ...], list[Record]] = collections.defaultdict(list)
    for record in evidence.records.get("thumbnail.due", []):
        handed_on[_retry_id(record)].append(record)
    for tier in (1, 2, 3):
        for record in evidence.records.get(f"thumbnail.retry.{tier}", []):
            due = datetime.fromisoformat(record.headers["retry-due-at"]).timestamp()
            again = [found for found in handed_on[_retry_id(record)] if found.value == record.value]
            if not again:
                yield Finding("lost", f"{record.key} waits in {record.topic} at {record.partition}/{record.offset}")
                continue
            late_s = min(found.timestamp_ms for found in again) / 1000 - due
            lateness_s.append(round(late_s, 3))
            if late_s < 0:
                yield Finding("early", f"{record.key} of {record.topic} was handed on {-late_s:.3f} s before its time")


def _retry_id(record: Record) -> tuple[str, ...]:
    return (record.key, *(record.headers.get(name, "") for name in _PAIRED_BY))


def _duplicates(uploads: list[Published], state: _State) -> dict[str, int]:
    """How many outcomes there are more than there had to be; allowed, because delivery is at least once."""
    sent = {upload.planned.event_id: len(state.sent.get(upload.planned.event_id, [])) for upload in uploads}
    due = collections.Counter(_retry_id(record) for record in state.evidence.records.get("thumbnail.due", []))
    planned = sum(2 if upload.planned.case is Case.REPEATED else 1 for upload in uploads)

    def more(outcomes: dict[str, list[dict[str, Any]]]) -> int:
        return sum(max(0, len(events) - sent.get(event_id, 1)) for event_id, events in outcomes.items())

    return {
        "media.uploaded": sum(sent.values()) - planned,
        "thumbnail.ready": more(state.ready),
        "thumbnail.failed": more(state.failed),
        "thumbnail.dlq": more(state.dead_letters),
        "thumbnail.due": sum(due.values()) - len(due),
    }


def _counts(evidence: Evidence, state: _State) -> dict[str, int]:
    retries = [record for tier in (1, 2, 3) for record in evidence.records.get(f"thumbnail.retry.{tier}", [])]
    codes = collections.Counter(record.headers.get("error-code", "?") for record in retries)
    ready = [event for events in state.ready.values() for event in events]
    return {
        **{f"records of {topic}": len(records) for topic, records in evidence.records.items()},
        **{f"retries for {code}": count for code, count in sorted(codes.items())},
        "ready in fallback storage": sum(bool(event["storage"]["fallback"]) for event in ready),
        "rows": len(evidence.rows),
        "objects": len(evidence.objects),
    }
