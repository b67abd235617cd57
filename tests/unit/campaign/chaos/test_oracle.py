"""The oracle over made-up states: a sound one is passed, and each kind of damage is found."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.campaign.chaos.evidence import Evidence
from tests.campaign.chaos.oracle.facts import CAMPAIGN_ID, Incident, OracleReport, Published
from tests.campaign.chaos.oracle.judge import judge
from tests.campaign.chaos.plan import FaultKind
from tests.campaign.chaos.report import percentile
from tests.campaign.chaos.topics import Record
from tests.campaign.chaos.uploads import Case
from tests.unit.campaign.chaos import sound_state as sound
from tests.unit.campaign.chaos.damages import DAMAGES, READY, of_others, row_with
from tests.unit.campaign.chaos.sound_state import BEGAN, GONE, GOOD, OLD, UPLOADS, a_sound_state


def found(oracle_report: OracleReport) -> set[str]:
    return {finding.kind for finding in oracle_report.findings}


def test_a_sound_state_is_passed_and_its_retry_is_measured() -> None:
    oracle_report = judge(UPLOADS, a_sound_state())
    assert oracle_report.findings == []
    assert oracle_report.lateness_s == [0.25]
    assert set(oracle_report.duplicates.values()) == {0}
    assert oracle_report.counts["objects whose picture was compared"] == 12


@pytest.mark.parametrize("name", sorted(DAMAGES))
def test_each_kind_of_damage_is_found(name: str) -> None:
    damage, kind = DAMAGES[name]
    state = a_sound_state()
    damage(state)
    assert kind in found(judge(UPLOADS, state))


def incident(kind: FaultKind, *, began_s: float, lasts_s: float = 5.0) -> Incident:
    began = BEGAN + timedelta(seconds=began_s)
    return Incident(kind, began, began + timedelta(seconds=lasts_s))


def test_a_result_that_is_announced_twice_needs_a_fault() -> None:
    state = a_sound_state()
    state.records[READY].append(state.records[READY][0])
    assert found(judge(UPLOADS, state)) == {"duplicates"}
    oracle_report = judge(UPLOADS, state, [incident(FaultKind.KILL_WORKER, began_s=1)])
    assert oracle_report.findings == []
    assert oracle_report.duplicates[READY] == 1


def test_a_fallback_needs_an_outage_of_that_storage_at_that_time() -> None:
    state = a_sound_state()
    record = next(record for record in state.records[READY] if record.key == GOOD.planned.record_key.encode())
    storage = {"provider": "local_disk", "connection_id": None, "fallback": "storage.unavailable"}
    state.records[READY].remove(record)
    state.records[READY].append(replace(record, value=json.dumps(record.event | {"storage": storage}).encode()))
    for item in record.event["renditions"]:
        state.objects["fallback", item["key"]] = state.objects.pop(("globex", item["key"]))
    assert judge(UPLOADS, state, [incident(FaultKind.S3_DOWN, began_s=10)]).findings == []
    for outage in (incident(FaultKind.S3_DOWN, began_s=100), incident(FaultKind.CUT_DATABASE, began_s=10)):
        assert found(judge(UPLOADS, state, [outage])) == {"fallback without reason"}


def test_lateness_that_a_fault_explains_is_none() -> None:
    state = a_sound_state()
    records = state.records["thumbnail.due"]
    records[0] = replace(records[0], timestamp_ms=records[0].timestamp_ms + 40_000)
    # Of one record, half are late: the median has nothing to compare with.
    explained = judge(UPLOADS, state, [incident(FaultKind.STOP_RETRY, began_s=4, lasts_s=20)])
    assert all("explain" not in finding.what for finding in explained.findings)
    assert any("explain" in finding.what for finding in judge(UPLOADS, state).findings)


@pytest.mark.parametrize("upload", [OLD, GONE], ids=["overtaken", "deleted"])
def test_an_upload_may_end_without_a_result_only_when_it_waited_and_nobody_wants_it_any_more(upload: Published) -> None:
    state = a_sound_state()
    state.records[READY] = of_others(state.records[READY], upload)
    assert found(judge(UPLOADS, state)) == {"lost"}
    original = next(r for r in state.records["media.uploaded"] if r.header(CAMPAIGN_ID) == upload.planned.event_id)
    waiting: dict[str, Any] = {"retry_attempt": "1", "error_code": "source.missing"}
    due = sound.DUE.isoformat()
    state.records["thumbnail.retry.2"] = [sound.hop("thumbnail.retry.2", original, BEGAN, retry_due_at=due, **waiting)]
    state.records["thumbnail.due"].append(sound.hop("thumbnail.due", original, sound.DUE, 5, **waiting))
    assert judge(UPLOADS, state).findings == []


def test_a_tombstone_excuses_a_row_without_result_and_not_one_that_comes_later() -> None:
    state = a_sound_state()
    state.rows[GOOD.planned.record_key] = dict.fromkeys(state.rows[GOOD.planned.record_key])
    for upload in (GOOD,):
        for item in sound.a_ready(upload)["renditions"]:
            del state.objects["globex", item["key"]]
    key = GOOD.planned.record_key.encode()
    before, after = (sound.ms(BEGAN + timedelta(seconds=shift)) for shift in (-10, 10))
    tombstone = Record("media.uploaded", 1, 99, after, key, None)
    state.records["media.uploaded"].append(tombstone)
    row_with(GOOD, thumbnail_occurred_at=BEGAN + timedelta(seconds=10), thumbnail_event_id="tombstone")(state)
    state.records["thumbnail.state"].append(sound.state_record(GOOD.planned.record_key, 99, None))
    assert judge(UPLOADS, state).findings == []
    state.records["media.uploaded"][-1] = replace(tombstone, timestamp_ms=before)
    assert found(judge(UPLOADS, state)) == {"lost"}


def test_a_tombstone_that_its_row_does_not_know_of_is_found() -> None:
    state = a_sound_state()
    for shift, expected in ((-10, set()), (10, {"tombstone"})):
        at = sound.ms(BEGAN + timedelta(seconds=shift))
        tombstone = Record("media.uploaded", 1, 99, at, GOOD.planned.record_key.encode(), None)
        state.records["media.uploaded"].append(tombstone)
        assert found(judge(UPLOADS, state)) == expected


def test_a_row_that_a_tombstone_has_marked_shows_nothing() -> None:
    state, at = a_sound_state(), BEGAN + timedelta(seconds=10)
    state.records["media.uploaded"].append(
        Record("media.uploaded", 1, 99, sound.ms(at), GOOD.planned.record_key.encode(), None)
    )
    nothing = dict.fromkeys(f"thumbnail_{name}" for name in ("url", "status", "error", "placeholder"))
    row_with(GOOD, thumbnail_occurred_at=at, thumbnail_event_id="tombstone", thumbnails=None, **nothing)(state)
    assert found(judge(UPLOADS, state)) == {"orphan", "wrong state"}  # it still says that there are pictures
    state.records["thumbnail.state"].append(sound.state_record(GOOD.planned.record_key, 99, None))
    assert found(judge(UPLOADS, state)) == {"orphan"}  # its pictures are still there
    row_with(GOOD, thumbnail_status="ready")(state)
    assert "wrong row" in found(judge(UPLOADS, state))
    row_with(GOOD, thumbnail_url="http://elsewhere")(state)
    assert "wrong row" in found(judge(UPLOADS, state))


def test_tombstones_that_stop_nothing_are_found() -> None:
    deleted = [sound.an_upload(number, Case.TOMBSTONE) for number in range(30, 36)]
    state = Evidence(records={"media.uploaded": [sound.sent(upload, n) for n, upload in enumerate(deleted)]})
    waiting: dict[str, Any] = {"retry_attempt": "1", "retry_due_at": sound.DUE.isoformat()}
    for topic in ("thumbnail.retry.1", "thumbnail.due"):
        state.records[topic] = [
            sound.hop(topic, record, sound.DUE, n, **waiting)
            for n, record in enumerate(state.records["media.uploaded"])
        ]
    state.records[READY] = [sound.announced(READY, u, sound.a_ready(u), n) for n, u in enumerate(deleted)]
    assert "tombstone" in found(judge(deleted, state))
    state.records[READY].pop()
    assert "tombstone" not in found(judge(deleted, state))


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([], 0.5) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([1.0, 5.0], 1.0) == 5.0


@pytest.mark.parametrize(("late_s", "outage_s", "finds"), [(12.0, 5.0, False), (8.0, 5.0, True), (12.0, 100.0, True)])
def test_an_upload_may_be_given_up_in_an_outage_only_when_its_source_came_late(
    late_s: float, outage_s: float, finds: bool
) -> None:
    state = a_sound_state()
    DAMAGES["a good one given up"][0](state)
    late = [replace(upload, source_late_s=[late_s]) if upload is UPLOADS[0] else upload for upload in UPLOADS]
    outage = incident(FaultKind.S3_DOWN, began_s=outage_s)
    assert ("wrong outcome" in found(judge(late, state, [outage]))) is finds
