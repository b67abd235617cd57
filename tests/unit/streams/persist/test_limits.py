"""The persist role ends when the database refuses a row of results, or stays as no result can be written; else it goes on."""

from functools import partial

import pytest
from psycopg import errors

from schemas.errors import ErrorCode
from schemas.events import ThumbnailReady
from streams.failures.refused_results import refusal_code, refused_result
from streams.kafka.records import InboundRecord
from streams.persist.batch import DatabaseDownError, Item, Written
from streams.persist.limits import PersistGuard, PersistLimits, PersistStoppedError
from streams.rows.last_write_wins import RowOutcome
from streams.rows.upsert import Result
from tests.doubles.memory_loops import POISON, PersistLoop
from tests.doubles.results import a_media, failed, ready

READY = "thumbnail.ready"
RECORD = InboundRecord("t", 0, 0, 0, None, None, ())
REFUSED = "SQLITE_CONSTRAINT_TRIGGER"
"""What SQLite says of POISON."""


@pytest.fixture
def loop(persist_loop: PersistLoop) -> PersistLoop:
    persist_loop.limits = PersistLimits(max_refused=3)
    return persist_loop


def poison(*media_ids: int) -> list[ThumbnailReady]:
    return [ready(1, a_media(media_id), placeholder=POISON) for media_id in media_ids]


def put_each(loop: PersistLoop, results: list[ThumbnailReady]) -> None:
    """Each result in a batch of its own."""
    for number, result in enumerate(results):
        loop.clock.after(number + 0.5, partial(loop.put, result))


def test_a_batch_of_refusals_ends_the_role_before_the_first_of_them_is_a_dead_letter(loop: PersistLoop) -> None:
    loop.put(*poison(40, 41, 42, 43))
    with pytest.raises(
        PersistStoppedError, match=rf"with {REFUSED}: the test refuses it\. More than 3 results in a row"
    ):
        loop.run(5)
    assert (loop.dead_letters(), loop.committed(READY)) == ([], None)


def test_as_many_refusals_as_are_allowed_become_dead_letters_and_the_next_one_ends_the_role(loop: PersistLoop) -> None:
    put_each(loop, poison(40, 41, 42, 43))
    with pytest.raises(PersistStoppedError):
        loop.run(10)
    assert loop.dead_letters() == [b"video:40", b"video:41", b"video:42"]
    assert loop.committed(READY) == 3


@pytest.mark.parametrize("restarts", [1, 5])
def test_restarts_during_a_row_of_refusals_set_no_result_aside(loop: PersistLoop, restarts: int) -> None:
    loop.put(*poison(44, 45))
    loop.limits = PersistLimits(3, refused_before={REFUSED: {"video:41", "video:42", "video:43", "video:40"}})
    for _ in range(restarts):
        with pytest.raises(PersistStoppedError):
            loop.run(5)
        loop.restart()
    assert (loop.dead_letters(), loop.committed(READY)) == ([], None)


def test_a_restarted_role_sets_a_single_refused_result_aside(loop: PersistLoop) -> None:
    loop.limits = PersistLimits(3, refused_before={REFUSED: {"video:41", "video:42", "video:43"}})
    loop.put(*poison(40))
    loop.run(5)
    assert (loop.dead_letters(), loop.committed(READY)) == ([b"video:40"], 1)


def test_a_written_result_among_them_lets_all_refused_ones_become_dead_letters(loop: PersistLoop) -> None:
    loop.put(*poison(40, 41, 42, 43, 44), ready(1, a_media(45)))
    loop.run(5)
    assert len(loop.dead_letters()) == 5
    assert loop.rows.statuses() == {45: "ready"}


def test_without_a_limit_all_become_dead_letters(loop: PersistLoop) -> None:
    loop.limits = PersistLimits(max_refused=0)
    loop.put(*poison(40, 41, 42, 43, 44))
    loop.run(5)
    assert len(loop.dead_letters()) == 5


def written(*results: Result, refused: str | None = "23514", outcome: RowOutcome | None = None) -> Written:
    if outcome is not None:
        return Written(outcomes=[(Item(RECORD, result), outcome) for result in results])
    return Written(rejected=[(Item(RECORD, result), refused_result("no", refused)) for result in results])


def is_stopped(guard: PersistGuard, batch: Written) -> bool:
    try:
        guard.check_refusals(batch)
    except PersistStoppedError:
        return True
    return False


THREE = [ready(1, a_media(number)) for number in (1, 2, 3)]
FOURTH = ready(1, a_media(4))


@pytest.mark.parametrize(
    ("between", "stops"),
    [
        (written(), True),
        (written(ready(1, a_media(9)), outcome=RowOutcome.APPLIED), False),
        (written(ready(1, a_media(9)), outcome=RowOutcome.STALE), True),
        (written(failed(1, a_media(9)), outcome=RowOutcome.APPLIED), True),
    ],
    ids=["nothing", "a written row", "one that writes no row", "one that writes other columns"],
)
def test_only_a_written_row_of_the_same_kind_ends_the_row_of_refusals(between: Written, stops: bool) -> None:
    guard = PersistGuard(PersistLimits(3))
    assert [is_stopped(guard, batch) for batch in (written(*THREE), between, written(FOURTH))] == [False, False, stops]


@pytest.mark.parametrize(
    "last",
    [
        written(FOURTH, refused="22001"),
        written(FOURTH, refused=None),
        written(THREE[0]),
    ],
    ids=["another code", "known without the database", "the same media"],
)
def test_a_row_has_one_code_and_each_media_once(last: Written) -> None:
    guard = PersistGuard(PersistLimits(3))
    assert [is_stopped(guard, batch) for batch in (written(*THREE), last)] == [False, False]


def test_the_code_can_be_read_back_from_the_message() -> None:
    assert refused_result("value too long", "22001").code is ErrorCode.RESULT_REFUSED
    assert refusal_code(refused_result("value too long", "22001").message) == "22001"
    assert refusal_code(refused_result("it is said with 22001: no").message) is None
    assert refusal_code(None) is None


@pytest.mark.parametrize(("problem", "ends"), [("no such column: thumbnail_url", True), ("database is locked", False)])
def test_a_fault_of_the_schema_ends_the_role_after_its_limit_and_no_other_fault_does(
    loop: PersistLoop, problem: str, ends: bool
) -> None:
    loop.limits = PersistLimits(fault_s=60)
    loop.rows.is_down, loop.rows.problem = True, problem
    loop.put(ready(1, a_media(40)))
    if ends:
        with pytest.raises(
            PersistStoppedError, match=r"`thumbnails db upgrade` \(no such column: thumbnail_url\)\. It has"
        ):
            loop.run(1000)
        assert 60 <= loop.clock.monotonic() <= 75
    else:
        loop.run(1000)
    assert (loop.dead_letters(), loop.committed(READY)) == ([], None)


def test_a_migration_of_minutes_does_not_end_the_role(loop: PersistLoop) -> None:
    def finish() -> None:
        loop.rows.is_down = False

    loop.limits = PersistLimits()
    loop.rows.is_down, loop.rows.problem = True, "no such column: thumbnail_url"
    loop.put(ready(1, a_media(40)))
    loop.clock.after(570, finish)
    loop.run(700)
    assert loop.rows.statuses() == {40: "ready"}


def test_a_fault_that_went_and_came_back_is_measured_from_its_return() -> None:
    now = [0.0]
    guard = PersistGuard(PersistLimits(fault_s=60), lambda: now[0])
    fault = DatabaseDownError("The tables are not as they must be.")
    fault.__cause__ = errors.lookup("42P01")("gone")
    guard.check_fault(fault)
    now[0] = 59.0
    guard.check_fault(fault)
    guard.recovered()
    now[0] = 100.0
    guard.check_fault(fault)
    guard.check_fault(DatabaseDownError("Another one."))
    now[0] = 161.0
    guard.check_fault(fault)
    now[0] = 221.0
    with pytest.raises(PersistStoppedError, match="lasted for 60 s, longer than PERSIST_FAULT_LIMIT_S"):
        guard.check_fault(fault)


def test_the_role_measures_each_fault_of_the_schema_apart(loop: PersistLoop) -> None:
    def set_down(is_down: bool, *results: Result) -> None:
        loop.rows.is_down = is_down
        loop.put(*results)

    loop.limits = PersistLimits(fault_s=60)
    loop.rows.problem = "no such column: thumbnail_url"
    set_down(True, ready(1, a_media(40)))
    loop.clock.after(40, partial(set_down, False))
    loop.clock.after(60, partial(set_down, True, ready(1, a_media(41))))
    loop.clock.after(90, partial(set_down, False))
    loop.run(120)
    assert loop.rows.statuses() == {40: "ready", 41: "ready"}
