"""A company or a deploy: guessed from whose the failures are and when they began, and only where that says something."""

import pytest

from service.status.role_endpoints import RoleState
from service.status.suspects import Start, SuspectKind, newest_starts, suspect

STARTED_S = 1_764_000_000.0
START = Start("worker", "0.3.0", STARTED_S)
SINCE = [STARTED_S + 60 + number for number in range(40)]
BEFORE = [STARTED_S - 86_400 + number for number in range(40)]


def kind_of(
    code: str, companies: dict[int | None, int], failed_s: list[float], start: Start | None = START, *healthy: int
) -> SuspectKind | None:
    found = suspect(code, companies, failed_s, start, healthy)
    return None if found is None else found.kind


def a_process(role: str, version: str, started_s: float) -> RoleState:
    return RoleState(f"http://{started_s}", None, role, version, {}, {("process_start_time_seconds", ()): started_s})


def test_one_companys_failures_beside_healthy_ones_are_the_companys() -> None:
    found = suspect("media.corrupt", {3: 40}, SINCE, START, {3, 4, 5})
    assert found is not None
    assert (found.kind, found.company_id) == (SuspectKind.COMPANY, 3)
    assert found.sentence == ("One company rather than the deploy: 2 other companies got thumbnails of late.")


def test_failures_of_several_companies_since_a_start_are_the_deploys() -> None:
    found = suspect("internal.error", {3: 4, 4: 3}, SINCE[:7], START, {5})
    assert found is not None
    assert (found.kind, found.start) == (SuspectKind.DEPLOY, START)
    assert found.sentence == (
        "The deploy rather than a company: all came after worker 0.3.0 was started at 16:00:00Z, of 2 companies."
    )
    assert found.to_json() == {
        "kind": "deploy",
        "sentence": found.sentence,
        "company_id": None,
        "role": "worker",
        "version": "0.3.0",
        "since": "2025-11-24T16:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("code", "companies", "failed_s", "healthy", "expected"),
    [
        ("media.corrupt", {3: 40}, SINCE, (), None),  # nobody else to compare with
        ("event.malformed", {None: 40}, SINCE, (1, 2), None),
        ("media.corrupt", {3: 19, 4: 1}, SINCE[:20], (5,), SuspectKind.COMPANY),
        ("internal.error", {3: 2, 4: 2}, SINCE[:4], (5,), None),  # too few
        ("internal.error", {3: 20, 4: 20}, BEFORE, (5,), SuspectKind.SHARED),
        ("internal.error", {3: 3, 4: 3}, BEFORE[:6], (5,), None),
        ("media.corrupt", {3: 4, 4: 3}, SINCE[:7], (5,), None),  # files differ from day to day
        ("source.missing", {3: 20, 4: 20}, SINCE, (5,), SuspectKind.DEPLOY),
        ("database.unavailable", {3: 20, 4: 20}, SINCE, (5,), None),
        ("storage.denied", {3: 20, 4: 20}, BEFORE, (5,), SuspectKind.SHARED),
        ("storage.denied", {3: 20, 4: 20}, BEFORE[:5] + SINCE, (5,), SuspectKind.SHARED),
        ("internal.error", {3: 20, 4: 20}, [at + 86_400 for at in SINCE], (5,), SuspectKind.SHARED),  # a day later
    ],
)
def test_what_says_little_is_not_guessed(
    code: str,
    companies: dict[int | None, int],
    failed_s: list[float],
    healthy: tuple[int, ...],
    expected: SuspectKind | None,
) -> None:
    assert kind_of(code, companies, failed_s, START, *healthy) is expected


@pytest.mark.parametrize(
    ("code", "companies", "is_suspected"),
    [
        ("media.crashed_decoder", {1: 10, 2: 10}, True),
        ("media.crashed_decoder", {1: 9, 2: 10}, False),
        ("media.crashed_decoder", {1: 40}, False),
        ("media.corrupt", {1: 20, 2: 20}, False),
        ("nobody.knows", {1: 20, 2: 20}, False),
    ],
)
def test_where_no_start_is_known_many_of_several_companies_suggest_a_deploy(
    code: str, companies: dict[int | None, int], is_suspected: bool
) -> None:
    assert kind_of(code, companies, SINCE, None) is (SuspectKind.DEPLOY if is_suspected else None)


def test_a_role_was_started_when_the_first_process_of_its_newest_version_was() -> None:
    starts = newest_starts(
        [
            a_process("worker", "1", 100.0),
            a_process("worker", "2", 300.0),
            a_process("worker", "2", 900.0),  # one that was started again is no deploy
            a_process("persist", "1", 50.0),
            RoleState("http://x", "it does not answer"),
        ]
    )
    assert starts == {"worker": Start("worker", "2", 300.0), "persist": Start("persist", "1", 50.0)}
