"""The plan of a fault campaign: the same for the same seed, and all that it promises is in it."""

from itertools import pairwise

import pytest

from tests.campaign.chaos.faults import INJECTORS
from tests.campaign.chaos.plan import REST_S, Fault, FaultKind, Plan, plan_faults
from tests.campaign.chaos.poison import ODD_HEADERS, POISONS
from tests.campaign.chaos.uploads import ACME, CODECS, GLOBEX, HOOLI, Case, plan_uploads

SIX_S = 6.0


def a_plan(seed: int) -> Plan:
    return Plan(seed, plan_faults(seed, 60), plan_uploads(seed, 2000))


def test_a_seed_gives_the_same_plan_again_and_another_seed_another_one() -> None:
    assert a_plan(7) == a_plan(7)
    assert a_plan(7).digest == a_plan(7).digest
    assert a_plan(7).digest != a_plan(8).digest


def test_sixty_faults_are_of_every_kind_and_last_less_than_six_minutes() -> None:
    plan = a_plan(1)
    assert len(plan.faults) == 60
    assert {fault.kind for fault in plan.faults} == set(FaultKind)
    assert len(FaultKind) >= 12
    assert plan.lasts_s < 360


def test_every_kind_of_fault_can_be_made() -> None:
    assert set(INJECTORS) == set(FaultKind)


@pytest.mark.parametrize("seed", range(5))
def test_a_part_is_whole_for_a_while_between_two_of_its_faults(seed: int) -> None:
    for kinds in (
        {FaultKind.KILL_BROKER, FaultKind.STOP_BROKER, FaultKind.ROLLING_RESTART, FaultKind.ADD_PARTITIONS},
        {FaultKind.RESTART_DATABASE, FaultKind.STOP_DATABASE, FaultKind.READ_ONLY_DATABASE, FaultKind.KILL_POOLER},
        {FaultKind.S3_DOWN, FaultKind.S3_SLOW, FaultKind.S3_RESET},
    ):
        faults = [fault for fault in plan_faults(seed, 60) if fault.kind in kinds]
        for before, after in pairwise(faults):
            assert after.at_s - (before.at_s + before.hold_s) >= REST_S - 0.02


def test_a_stopped_role_is_silent_for_longer_than_its_session() -> None:
    roles = {FaultKind.STOP_WORKER, FaultKind.STOP_PERSIST, FaultKind.STOP_RETRY}
    stopped = [fault for fault in plan_faults(3, 60) if fault.kind in roles]
    assert stopped
    assert all(fault.hold_s > SIX_S for fault in stopped)


def test_faults_are_of_the_kinds_that_are_asked_for() -> None:
    asked = [FaultKind.KILL_RETRY, FaultKind.S3_DOWN]
    faults: tuple[Fault, ...] = plan_faults(1, 5, asked)
    assert len(faults) == 5
    assert {fault.kind for fault in faults} == set(asked)


def test_uploads_are_of_every_case_and_counted_exactly() -> None:
    uploads = plan_uploads(1, 2000)
    assert len(uploads) == 2000
    assert len({upload.event_id for upload in uploads}) == 2000
    assert {upload.case for upload in uploads} == set(Case)
    assert {upload.company_id for upload in uploads} == {ACME, GLOBEX, HOOLI}
    assert {upload.codec for upload in uploads} == set(CODECS)
    assert {upload.oddity for upload in uploads} == {"", *POISONS, *ODD_HEADERS}
    assert len({upload.colours for upload in uploads}) == 2000
    assert all(0 <= before.at <= after.at <= 1.001 for before, after in pairwise(uploads))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_last_replay_has_sources_that_no_retry_could_find_also_in_a_short_run(seed: int) -> None:
    for count in (150, 2000):
        repaired = [upload for upload in plan_uploads(seed, count) if upload.case is Case.REPAIRED]
        assert any(upload.comes_last for upload in repaired)
    assert not all(upload.comes_last for upload in repaired)


def test_an_upload_out_of_order_is_published_after_the_newer_one_of_its_media() -> None:
    pairs: dict[str, list[float]] = {}
    for upload in plan_uploads(1, 400):
        if upload.case is Case.OUT_OF_ORDER:
            pairs.setdefault(upload.record_key, []).append(upload.age_s)
    whole = [ages for ages in pairs.values() if len(ages) == 2]
    assert whole
    assert all(first < second for first, second in whole)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bad_records_stay_far_below_what_stops_a_worker(seed: int) -> None:
    """DLQ_MAX_RATIO is half of a window of 100 uploads at least, and DLQ_MAX_CONSECUTIVE is 500 in a row."""
    bad = [upload.error_code is not None for upload in plan_uploads(seed, 2000)]
    assert 200 < sum(bad) < 400
    assert max(sum(bad[start : start + 100]) for start in range(len(bad) - 100)) < 35
