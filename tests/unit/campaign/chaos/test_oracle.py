"""The oracle over made-up states: a sound one is passed, and each kind of damage is found."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.campaign.chaos.evidence import Evidence, Record, StoredFile
from tests.campaign.chaos.oracle import OracleReport, Published, judge
from tests.campaign.chaos.report import percentile
from tests.campaign.chaos.uploads import ACME, GLOBEX, Case, PlannedUpload

T0 = "2026-11-25T10:00:00+00:00"
T1 = "2026-11-25T11:00:00+00:00"
DUE = "2026-11-25T10:00:05.000Z"
DUE_MS = 1_795_600_805_000


def an_upload(event_id: str, media_id: int, case: Case, occurred_at: str = T0, company: int = GLOBEX) -> Published:
    planned = PlannedUpload(event_id, case, "image", company, media_id, at=0.0)
    return Published(planned, {"event_id": event_id, "occurred_at": occurred_at})


def a_record(topic: str, key: str, value: dict[str, Any], ms: int = 0, **headers: str) -> Record:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Record(topic, 0, 0, ms, key, json.dumps(value).encode(), named)


def a_rendition(key: str) -> dict[str, Any]:
    return {"name": "medium", "key": key, "bytes": 10, "sha256": f"sum of {key}"}


def a_ready(upload: Published, key: str) -> dict[str, Any]:
    return {
        "upload_event_id": upload.planned.event_id,
        "thumbnail_url": f"http://x/{key}",
        "renditions": [a_rendition(key)],
        "storage": {"fallback": None},
    }


GOOD = an_upload("good", 1, Case.GOOD)
OLD = an_upload("old", 2, Case.OUT_OF_ORDER, T0)
NEW = an_upload("new", 2, Case.OUT_OF_ORDER, T1)
BROKEN = an_upload("broken", 3, Case.BROKEN, company=ACME)
GONE = an_upload("gone", 4, Case.DELETED)
UPLOADS = [GOOD, NEW, OLD, BROKEN, GONE]


def a_row(upload: Published) -> dict[str, Any]:
    key = upload.planned.event_id
    return {
        "thumbnail_status": "ready",
        "thumbnail_event_id": key,
        "thumbnail_error": None,
        "thumbnail_url": f"http://x/{key}",
        "thumbnails": [a_rendition(key)],
    }


def a_sound_state() -> Evidence:
    """Of UPLOADS; the good one waited in a retry topic once."""
    ready = [upload for upload in UPLOADS if upload is not BROKEN]
    failed = {"upload_event_id": "broken", "error": {"code": "media.corrupt"}}
    waiting: dict[str, Any] = {"retry_attempt": "1", "last_failed_at": "x"}
    return Evidence(
        records={
            "media.uploaded": [a_record("media.uploaded", "", upload.event) for upload in UPLOADS],
            "thumbnail.ready": [a_record("thumbnail.ready", "", a_ready(u, u.planned.event_id)) for u in ready],
            "thumbnail.failed": [a_record("thumbnail.failed", "", failed)],
            "thumbnail.dlq": [a_record("thumbnail.dlq", "", BROKEN.event, error_code="media.corrupt")],
            "thumbnail.retry.1": [a_record("thumbnail.retry.1", "k", GOOD.event, retry_due_at=DUE, **waiting)],
            "thumbnail.due": [a_record("thumbnail.due", "k", GOOD.event, ms=DUE_MS + 250, **waiting)],
        },
        rows={
            "ar_content:1": a_row(GOOD),
            "ar_content:2": a_row(NEW),
            "ar_content:3": {
                "thumbnail_status": "failed",
                "thumbnail_event_id": "broken",
                "thumbnail_error": "media.corrupt: damaged",
                "thumbnail_url": None,
                "thumbnails": None,
            },
        },
        objects={("minio", key): StoredFile(10, f"sum of {key}") for key in ("good", "new")},
    )


def found(oracle_report: OracleReport) -> set[str]:
    return {finding.kind for finding in oracle_report.findings}


def test_a_sound_state_is_passed_and_its_retry_is_measured() -> None:
    oracle_report = judge(UPLOADS, a_sound_state())
    assert oracle_report.findings == []
    assert oracle_report.lateness_s == [0.25]
    assert set(oracle_report.duplicates.values()) == {0}


def _without_ready(state: Evidence) -> None:
    state.records["thumbnail.ready"] = [r for r in state.records["thumbnail.ready"] if b'"good"' not in r.value]


def _without_dead_letter(state: Evidence) -> None:
    state.records["thumbnail.dlq"] = []
    state.records["thumbnail.failed"] = []


def _other_code(state: Evidence) -> None:
    dead_letter = state.records["thumbnail.dlq"][0]
    state.records["thumbnail.dlq"] = [replace(dead_letter, headers={"error-code": "internal.error"})]


def _good_given_up(state: Evidence) -> None:
    state.records["thumbnail.dlq"].append(a_record("thumbnail.dlq", "", GOOD.event, error_code="storage.unavailable"))


def _older_shown(state: Evidence) -> None:
    state.rows["ar_content:2"] = a_row(OLD)


def _no_result(state: Evidence) -> None:
    state.rows["ar_content:1"]["thumbnail_status"] = None


def _row_of_nothing(state: Evidence) -> None:
    state.rows["ar_content:1"]["thumbnail_url"] = "http://elsewhere"


def _object_gone(state: Evidence) -> None:
    del state.objects["minio", "good"]


def _object_elsewhere(state: Evidence) -> None:
    state.objects["fallback", "good"] = state.objects.pop(("minio", "good"))


def _other_bytes(state: Evidence) -> None:
    state.objects["minio", "good"] = StoredFile(10, "another sum")


def _orphan(state: Evidence) -> None:
    state.objects["minio", "gone"] = StoredFile(10, "sum of gone")


def _waits_for_ever(state: Evidence) -> None:
    state.records["thumbnail.due"] = []


def _early(state: Evidence) -> None:
    state.records["thumbnail.due"] = [replace(state.records["thumbnail.due"][0], timestamp_ms=DUE_MS - 1)]


def _behind(state: Evidence) -> None:
    state.lags["thumbnails", "media.uploaded", 3] = 2


def _temporary_file(state: Evidence) -> None:
    state.leftovers.append("temporary file x.part")


def _refused(state: Evidence) -> None:
    state.records["thumbnail.ready.dlq"] = [a_record("thumbnail.ready.dlq", "k", {})]


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (_without_ready, "lost"),
        (_without_dead_letter, "lost"),
        (_other_code, "wrong outcome"),
        (_good_given_up, "wrong outcome"),
        (_older_shown, "stale row"),
        (_no_result, "lost"),
        (_row_of_nothing, "wrong row"),
        (_object_gone, "missing object"),
        (_object_elsewhere, "orphan"),
        (_other_bytes, "wrong object"),
        (_orphan, "orphan"),
        (_waits_for_ever, "lost"),
        (_early, "early"),
        (_behind, "not committed"),
        (_temporary_file, "leftover"),
        (_refused, "refused result"),
    ],
)
def test_each_kind_of_damage_is_found(damage: Callable[[Evidence], None], kind: str) -> None:
    state = a_sound_state()
    damage(state)
    assert kind in found(judge(UPLOADS, state))


def test_a_result_that_is_announced_twice_is_counted_and_no_finding() -> None:
    state = a_sound_state()
    state.records["thumbnail.ready"].append(state.records["thumbnail.ready"][0])
    oracle_report = judge(UPLOADS, state)
    assert oracle_report.findings == []
    assert oracle_report.duplicates["thumbnail.ready"] == 1


@pytest.mark.parametrize("upload", [OLD, GONE], ids=["overtaken", "deleted"])
def test_an_upload_may_end_without_a_result_only_when_it_waited_and_nobody_wants_it_any_more(upload: Published) -> None:
    state = a_sound_state()
    mine = f'"{upload.planned.event_id}"'.encode()
    state.records["thumbnail.ready"] = [r for r in state.records["thumbnail.ready"] if mine not in r.value]
    assert found(judge(UPLOADS, state)) == {"lost"}
    waiting: dict[str, Any] = {"retry_attempt": "1", "last_failed_at": "y"}
    state.records["thumbnail.retry.2"] = [a_record("thumbnail.retry.2", "o", upload.event, retry_due_at=DUE, **waiting)]
    state.records["thumbnail.due"].append(a_record("thumbnail.due", "o", upload.event, ms=DUE_MS, **waiting))
    assert judge(UPLOADS, state).findings == []


def test_an_upload_that_is_wanted_must_have_a_result_also_when_it_waited() -> None:
    state = a_sound_state()
    state.records["thumbnail.ready"] = [r for r in state.records["thumbnail.ready"] if b'"good"' not in r.value]
    assert "lost" in found(judge(UPLOADS, state))


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([], 0.5) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([1.0, 5.0], 1.0) == 5.0
