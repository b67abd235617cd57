"""The oracle over made-up states: a sound one is passed, and each kind of damage is found."""

import json
from collections.abc import Callable
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
from tests.unit.campaign.chaos.sound_state import BEGAN, BROKEN, GONE, GOOD, NEW, OF_HOOLI, OLD, UPLOADS, a_sound_state

Damage = Callable[[Evidence], None]
READY, FAILED, DEAD = "thumbnail.ready", "thumbnail.failed", "thumbnail.dlq"


def found(oracle_report: OracleReport) -> set[str]:
    return {finding.kind for finding in oracle_report.findings}


def test_a_sound_state_is_passed_and_its_retry_is_measured() -> None:
    oracle_report = judge(UPLOADS, a_sound_state())
    assert oracle_report.findings == []
    assert oracle_report.lateness_s == [0.25]
    assert set(oracle_report.duplicates.values()) == {0}
    assert oracle_report.counts["objects whose picture was compared"] == 12


def of_others(records: list[Record], upload: Published) -> list[Record]:
    mine = f'"{upload.planned.event_id}"'.encode()
    return [record for record in records if mine not in (record.value or b"")]


def without(topic: str, upload: Published) -> Damage:
    def damage(state: Evidence) -> None:
        state.records[topic] = of_others(state.records[topic], upload)

    return damage


def records_with(topic: str, **changes: Any) -> Damage:
    """Every record of a topic has these."""

    def damage(state: Evidence) -> None:
        state.records[topic] = [replace(record, **changes) for record in state.records[topic]]

    return damage


def events_with(topic: str, **fields: Any) -> Damage:
    """Every event of a topic says this."""

    def damage(state: Evidence) -> None:
        state.records[topic] = [
            replace(record, value=json.dumps(record.event | fields).encode()) for record in state.records[topic]
        ]

    return damage


def header_of_dead_letters(name: str, value: bytes | None) -> Damage:
    """Replaced, or with None left out."""

    def damage(state: Evidence) -> None:
        for number, record in enumerate(state.records[DEAD]):
            headers = [(known, old if known != name else value) for known, old in record.headers]
            kept = tuple((known, new) for known, new in headers if known != name or new is not None)
            state.records[DEAD][number] = replace(record, headers=kept)

    return damage


def row_with(upload: Published, **fields: Any) -> Damage:
    def damage(state: Evidence) -> None:
        state.rows[upload.planned.record_key] |= fields

    return damage


def objects_with(**changes: Any) -> Damage:
    def damage(state: Evidence) -> None:
        state.objects = {place: replace(found, **changes) for place, found in state.objects.items()}

    return damage


def _one_picture_everywhere(state: Evidence) -> None:
    pictures = [file.picture for file in state.objects.values() if file.picture is not None]
    colours = pictures[0].colours
    for place, file in state.objects.items():
        assert file.picture is not None
        state.objects[place] = replace(file, picture=replace(file.picture, colours=colours))


def _two_tenants_mixed_up(state: Evidence) -> None:
    mine = [place for place in state.objects if place[0] == "globex"][:3]
    theirs = [place for place in state.objects if place[0] == "hooli"][:3]
    for one, other in zip(mine, theirs, strict=True):
        first, second = state.objects[one], state.objects[other]
        state.objects[one] = replace(first, picture=second.picture)
        state.objects[other] = replace(second, picture=first.picture)


def _in_the_other_tenants_folder(state: Evidence) -> None:
    for place in [place for place in state.objects if place[0] == "hooli"]:
        state.objects["globex", place[1]] = state.objects.pop(place)


def _all_in_fallback_storage(state: Evidence) -> None:
    for number, record in enumerate(state.records[READY]):
        storage = record.event["storage"] | {"fallback": "storage.unavailable", "provider": "local_disk"}
        state.records[READY][number] = replace(record, value=json.dumps(record.event | {"storage": storage}).encode())
    state.objects = {("fallback", key): file for (_, key), file in state.objects.items()}


def _good_given_up(state: Evidence) -> None:
    original = state.records["media.uploaded"][0]
    state.records[DEAD].append(sound.hop(DEAD, original, sound.MADE, 9, error_code="storage.unavailable"))


def _no_producers_headers(state: Evidence) -> None:
    for number, record in enumerate(state.records[DEAD]):
        kept = [item for item in record.headers if not item[0].startswith("x-twice")]
        state.records[DEAD][number] = replace(record, headers=tuple(kept))


def _repeated_header_once(state: Evidence) -> None:
    for number, record in enumerate(state.records[DEAD]):
        names = dict(record.headers)
        state.records[DEAD][number] = replace(record, headers=tuple(names.items()))


def _older_shown(state: Evidence) -> None:
    state.rows[NEW.planned.record_key] = sound.a_row(OLD)


def _older_pictures_shown(state: Evidence) -> None:
    old = sound.a_row(OLD)
    names = ("thumbnail_url", "thumbnails", "thumbnail_placeholder")
    state.rows[NEW.planned.record_key] |= {name: old[name] for name in names}


def _object_gone(state: Evidence) -> None:
    del state.objects[next(iter(state.objects))]


def _object_elsewhere(state: Evidence) -> None:
    place = next(iter(state.objects))
    state.objects["fallback", place[1]] = state.objects.pop(place)


def _same_event_id_of_two_uploads(state: Evidence) -> None:
    events_with(READY, event_id="one for all")(state)


def _every_outcome_often(state: Evidence) -> None:
    for topic in (READY, FAILED, DEAD):
        state.records[topic] = state.records[topic] * 500


def _an_hour_late(state: Evidence) -> None:
    records = state.records["thumbnail.due"]
    state.records["thumbnail.due"] = [replace(r, timestamp_ms=r.timestamp_ms + 3_600_000) for r in records]


def _early(state: Evidence) -> None:
    record = state.records["thumbnail.due"][0]
    state.records["thumbnail.due"][0] = replace(record, timestamp_ms=sound.ms(sound.DUE) - 1)


def _never_handed_on(state: Evidence) -> None:
    state.records["thumbnail.due"] = state.records["thumbnail.due"][1:]


def _behind(state: Evidence) -> None:
    state.lags["thumbnails", "media.uploaded", 3] = 2


def _temporary_file(state: Evidence) -> None:
    state.leftovers.append("temporary file x.part")


def _refused(state: Evidence) -> None:
    state.records["thumbnail.ready.dlq"] = [replace(state.records[READY][0], topic="thumbnail.ready.dlq")]


def _a_row_that_nobody_uploaded_to(state: Evidence) -> None:
    state.rows["video:77"] = sound.a_row(GOOD)


def _given_up_with_another_code(state: Evidence) -> None:
    header_of_dead_letters("error-code", b"internal.error")(state)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "no result": (without(READY, GOOD), "lost"),
    "no result of a replay": (without(READY, sound.REPAIRED), "lost"),
    "no dead letter of a poison record": (records_with(DEAD, headers=()), "lost"),
    "another code": (_given_up_with_another_code, "wrong outcome"),
    "no failed event": (without(FAILED, BROKEN), "wrong outcome"),
    "a good one given up": (_good_given_up, "wrong outcome"),
    "an older one shown": (_older_shown, "stale row"),
    "the pictures of an older one": (_older_pictures_shown, "wrong row"),
    "a row without result": (row_with(GOOD, thumbnail_status=None), "lost"),
    "a row of nothing": (row_with(GOOD, thumbnail_url="http://elsewhere"), "wrong row"),
    "a row with an error": (row_with(GOOD, thumbnail_error="media.corrupt: no"), "wrong row"),
    "a failed row with another error": (row_with(BROKEN, thumbnail_error="internal.error: no"), "wrong row"),
    "a row with another placeholder": (row_with(GOOD, thumbnail_placeholder="garbage"), "wrong row"),
    "a row with another time": (row_with(GOOD, thumbnail_occurred_at=BEGAN - timedelta(days=1)), "wrong row"),
    "a row changed before its result": (row_with(GOOD, thumbnail_updated_at=BEGAN - timedelta(days=1)), "wrong row"),
    "a row changed tomorrow": (row_with(GOOD, thumbnail_updated_at=BEGAN + timedelta(days=1)), "wrong row"),
    "a row that nobody uploaded to": (_a_row_that_nobody_uploaded_to, "wrong row"),
    "an object gone": (_object_gone, "missing object"),
    "an object elsewhere": (_object_elsewhere, "orphan"),
    "objects with the other tenant": (_in_the_other_tenants_folder, "missing object"),
    "other bytes": (objects_with(sha256="another"), "wrong object"),
    "one picture everywhere": (_one_picture_everywhere, "wrong picture"),
    "two tenants' pictures mixed up": (_two_tenants_mixed_up, "wrong picture"),
    "no pictures": (objects_with(picture=None), "wrong picture"),
    "a placeholder of another": (events_with(READY, placeholder=sound.a_placeholder(OF_HOOLI)), "wrong picture"),
    "all in fallback storage": (_all_in_fallback_storage, "fallback without reason"),
    "another company": (events_with(READY, company_id=77), "wrong event"),
    "another media": (events_with(READY, media=GOOD.event["media"]), "wrong event"),
    "another time": (events_with(READY, occurred_at=sound.READ.isoformat()), "wrong event"),
    "made before it was uploaded": (events_with(READY, produced_at="2020-01-01T00:00:00Z"), "wrong event"),
    "one id for two uploads": (_same_event_id_of_two_uploads, "wrong event"),
    "a field that is missing": (events_with(FAILED, error={}), "wrong event"),
    "another key": (records_with(READY, key=b"video:1"), "wrong event"),
    "no CloudEvents headers": (records_with(FAILED, headers=()), "wrong event"),
    "dead letters without their bytes": (records_with(DEAD, value=b"{}"), "wrong dead letter"),
    "dead letters with another key": (records_with(DEAD, key=None), "wrong dead letter"),
    "dead letters without the producer's headers": (_no_producers_headers, "wrong dead letter"),
    "dead letters with a repeated header once": (_repeated_header_once, "wrong dead letter"),
    "dead letters of nothing": (header_of_dead_letters("x-original-offset", b"999"), "wrong dead letter"),
    "dead letters without what to do": (header_of_dead_letters("next-action", None), "wrong dead letter"),
    "dead letters with another time": (
        header_of_dead_letters("x-original-timestamp", b"2020-01-01T00:00:00Z"),
        "wrong dead letter",
    ),
    "every outcome 500 times": (_every_outcome_often, "duplicates"),
    "retries an hour late": (_an_hour_late, "late"),
    "early": (_early, "early"),
    "never handed on": (_never_handed_on, "lost"),
    "behind": (_behind, "not committed"),
    "a temporary file": (_temporary_file, "leftover"),
    "a refused result": (_refused, "refused result"),
}


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
    assert judge(UPLOADS, state).findings == []
    state.records["media.uploaded"][-1] = replace(tombstone, timestamp_ms=before)
    assert found(judge(UPLOADS, state)) == {"lost"}


def test_a_tombstone_may_mark_a_row_whose_pictures_stay() -> None:
    state, at = a_sound_state(), BEGAN + timedelta(seconds=10)
    state.records["media.uploaded"].append(
        Record("media.uploaded", 1, 99, sound.ms(at), GOOD.planned.record_key.encode(), None)
    )
    row_with(GOOD, thumbnail_occurred_at=at, thumbnail_event_id="tombstone")(state)
    assert judge(UPLOADS, state).findings == []
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
