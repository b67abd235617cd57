"""What can be wrong with the end of a campaign, and the kind of finding that must say so."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.campaign.chaos.evidence import Evidence
from tests.campaign.chaos.oracle.facts import REJECTED, Published
from tests.campaign.chaos.topics import Record
from tests.unit.campaign.chaos import sound_state as sound
from tests.unit.campaign.chaos.sound_state import BEGAN, BROKEN, GOOD, NEW, OF_HOOLI, OLD

Damage = Callable[[Evidence], None]
READY, FAILED, DEAD = "thumbnail.ready", "thumbnail.failed", "thumbnail.dlq"


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


def _no_answer(state: Evidence) -> None:
    state.records[FAILED] = [record for record in state.records[FAILED] if record.header("ce_type") != REJECTED]


def _an_answer_with(**fields: Any) -> Damage:
    def damage(state: Evidence) -> None:
        answer = state.records[FAILED][-1]
        state.records[FAILED][-1] = replace(answer, value=json.dumps(answer.event | fields).encode())

    return damage


def _an_answer_with_another_key(state: Evidence) -> None:
    state.records[FAILED][-1] = replace(state.records[FAILED][-1], key=None)


STATE = "thumbnail.state"


def _one_more_state(key: str, said: dict[str, Any] | None) -> Damage:
    def damage(state: Evidence) -> None:
        state.records[STATE].append(sound.state_record(key, 99, said))

    return damage


def _state_with(**fields: Any) -> Damage:
    """The last one of a media that is shown."""
    return _one_more_state(GOOD.planned.record_key, sound.a_state(sound.a_row(GOOD), **fields))


def _an_older_state_last(state: Evidence) -> None:
    state.records[STATE].append(replace(state.records[STATE][0], offset=99))


def _no_state(state: Evidence) -> None:
    state.records[STATE] = [one for one in state.records[STATE] if one.key_text != BROKEN.planned.record_key]


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
    "no answer to a poison record": (_no_answer, "wrong outcome"),
    "an answer without faults": (_an_answer_with(faults=[]), "wrong event"),
    "an answer with another code": (
        _an_answer_with(error=sound.a_failed(BROKEN, "media.corrupt")["error"]),
        "wrong outcome",
    ),
    "an answer to nothing": (
        _an_answer_with(record={"topic": "media.uploaded", "partition": 1, "offset": 99}),
        "wrong event",
    ),
    "an answer with another key": (_an_answer_with_another_key, "wrong event"),
    "a good one given up": (_good_given_up, "wrong outcome"),
    "an older one shown": (_older_shown, "stale row"),
    "the pictures of an older one": (_older_pictures_shown, "wrong row"),
    "a row without result": (row_with(GOOD, thumbnail_status=None), "lost"),
    "a row of nothing": (row_with(GOOD, thumbnail_url="http://elsewhere"), "wrong row"),
    "a row with other settings": (row_with(GOOD, thumbnail_settings="1-b"), "wrong row"),
    "a row with pictures that were given up": (row_with(GOOD, thumbnail_given_up="x v"), "wrong row"),
    "a row with an error": (row_with(GOOD, thumbnail_error="media.corrupt: no"), "wrong row"),
    "a failed row with another error": (row_with(BROKEN, thumbnail_error="internal.error: no"), "wrong row"),
    "a row with another placeholder": (row_with(GOOD, thumbnail_placeholder="garbage"), "wrong row"),
    "a row with another time": (row_with(GOOD, thumbnail_occurred_at=BEGAN - timedelta(days=1)), "wrong row"),
    "a row changed before its result": (row_with(GOOD, thumbnail_updated_at=BEGAN - timedelta(days=1)), "wrong row"),
    "a row changed tomorrow": (row_with(GOOD, thumbnail_updated_at=BEGAN + timedelta(days=1)), "wrong row"),
    "no state": (_no_state, "no state"),
    "an older state last": (_an_older_state_last, "wrong state"),
    "a state with another URL": (_state_with(thumbnail_url="http://elsewhere"), "wrong state"),
    "a state without renditions": (_state_with(renditions=[]), "wrong state"),
    "a state with another time": (_state_with(occurred_at=sound.READ.isoformat()), "wrong state"),
    "a state with an error": (_state_with(error={"code": "a.b", "message": "c", "next_action": None}), "wrong state"),
    "a state that its contract does not know": (_state_with(revision="3"), "wrong state"),
    "null for a media that is shown": (_one_more_state(GOOD.planned.record_key, None), "wrong state"),
    "a state of a media that is gone": (
        _one_more_state(sound.GONE.planned.record_key, sound.a_state(sound.a_row(sound.GONE))),
        "wrong state",
    ),
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
