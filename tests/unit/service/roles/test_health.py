"""What is up and what makes progress, with a clock that stands where it is put."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from schemas.migrations import upgrade
from service.roles.health.dependencies import ANSWER_WITHIN_S, PROOF_HOLDS_S, Dependency
from service.roles.health.liveness import LOOP_BOUND_S, Liveness, LivenessInputs
from service.roles.health.probes import database_probe, local_storage_probe, with_kafka_health

EVENT_BOUND_S = 180.0


class Case:
    """A role with one dependency; its signs are set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.signs = LivenessInputs(0.0)
        self.database = Dependency("database", "Bring it back.", clock=lambda: self.now)
        self.liveness = Liveness(
            EVENT_BOUND_S, lambda: self.signs, lambda: self.database.state().up_for_s, clock=lambda: self.now
        )

    def prove(self, problem: str | None = None, *, takes_s: float = 0.0) -> None:
        self.database.begin()
        self.now += takes_s
        self.database.end(problem)

    def pass_time(self, seconds: float) -> None:
        """As it passes in a role: everything is proven every two seconds, and somebody asks."""
        until = self.now + seconds
        while self.now < until:
            self.now += 2.0
            self.prove()
            self.liveness.details()

    def is_live(self) -> bool:
        return bool(self.liveness.details()["ok"])


@pytest.fixture
def case() -> Case:
    return Case()


def test_a_dependency_is_down_from_its_first_failed_proof_to_the_next_good_one(case: Case) -> None:
    assert case.database.state().is_up
    case.prove("the server is starting up")
    state = case.database.state()
    assert (state.is_up, state.problem, state.next_action) == (False, "the server is starting up", "Bring it back.")
    since = state.since
    case.now += 5
    case.prove("the server is starting up")
    assert (
        abs((case.database.state().since - since).total_seconds() + 5) < 1
    )  # the clock jumped, the wall clock did not
    case.prove()
    assert case.database.state().is_up
    assert case.database.state().up_for_s == 0.0


def test_one_that_neither_answers_nor_refuses_is_down_until_it_answers(case: Case) -> None:
    case.database.begin()
    case.now += ANSWER_WITHIN_S
    assert case.database.state().is_up
    case.now += 2
    assert case.database.state().problem == "It has not answered for 6 s."
    case.database.end(None)
    case.now += 1
    assert (case.database.state().is_up, case.database.state().up_for_s) == (True, 1.0)


def test_one_that_nobody_proves_any_more_is_not_up(case: Case) -> None:
    case.now += PROOF_HOLDS_S + 1
    assert case.database.state().problem == "It was not proven for 31 s."


def test_an_idle_role_is_live_for_ever(case: Case) -> None:
    case.pass_time(10_000)
    assert case.is_live()


def test_a_loop_that_does_not_come_round_is_not_live(case: Case) -> None:
    case.pass_time(100)
    case.signs = LivenessInputs(LOOP_BOUND_S + 1)
    details = case.liveness.details()
    assert details["ok"] is False
    assert details["problem"] == "Its main loop has not come round for 61 s."
    assert details["next_action"]


def test_an_event_that_takes_too_long_is_not_live(case: Case) -> None:
    case.pass_time(1000)
    case.signs = LivenessInputs(0.0, in_flight=1, oldest_in_flight_s=EVENT_BOUND_S - 1)
    assert case.is_live()
    case.signs = LivenessInputs(0.0, in_flight=1, oldest_in_flight_s=EVENT_BOUND_S)
    assert not case.is_live()


def test_records_that_wait_while_none_is_finished_are_not_live_after_two_bounds(case: Case) -> None:
    case.pass_time(10_000)
    case.signs = LivenessInputs(0.0, unprocessed=7)
    case.pass_time(2 * EVENT_BOUND_S - 4)
    assert case.is_live()
    case.pass_time(6)
    assert not case.is_live()
    case.signs = LivenessInputs(0.0, unprocessed=6, progress=1.0)
    assert case.is_live()


def test_a_backlog_that_moves_is_live(case: Case) -> None:
    for finished in range(1000):
        case.signs = LivenessInputs(0.0, unprocessed=100_000 - finished, progress=float(finished))
        case.pass_time(20)
    assert case.is_live()


def test_an_outage_is_not_the_roles_fault_and_neither_is_the_time_until_it_has_recovered(case: Case) -> None:
    case.pass_time(1000)
    case.database.begin()  # frozen: the event in work waits for it, and so does the loop
    case.now += 5000
    case.signs = LivenessInputs(5000.0, in_flight=1, oldest_in_flight_s=5000.0, unprocessed=1)
    assert case.is_live()
    case.database.end(None)
    assert case.is_live()
    case.pass_time(LOOP_BOUND_S - 2)
    assert case.is_live()
    case.pass_time(4)
    assert not case.is_live()


def test_what_watches_the_topics_proves_kafka(case: Case) -> None:
    answers: list[frozenset[str] | None] = [frozenset({"a"}), None, frozenset({"a"})]
    find = with_kafka_health(lambda: answers.pop(0), case.database)
    ups = []
    for _ in range(3):
        find()
        ups.append(case.database.state().is_up)
    assert ups == [True, False, True]


def test_brokers_that_answer_and_take_no_records_are_not_up(case: Case) -> None:
    problems = ["Fewer replicas are in sync.", None]
    find = with_kafka_health(lambda: frozenset({"a"}), case.database, lambda: problems.pop(0))
    find()
    assert case.database.state().problem == "Fewer replicas are in sync."
    find()
    assert case.database.state().is_up


def test_a_database_without_our_columns_or_that_the_role_waits_for_is_not_up(sqlite_url: str) -> None:
    engine = sa.create_engine(sqlite_url)
    assert "no such table" in (database_probe(engine)() or "")
    upgrade(sqlite_url)
    assert database_probe(engine)() is None
    assert database_probe(engine, lambda: "a table is locked")() == "a table is locked"
    engine.dispose()


def test_a_folder_that_is_gone_or_a_file_is_no_storage(tmp_path: Path) -> None:
    assert local_storage_probe(tmp_path)() is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "gone", tmp_path / "file"):
        assert str(path) in (local_storage_probe(path)() or "")
