"""The persist loop on the in-memory Kafka and SQLite: rows, then what follows from them, then offsets; nothing is lost."""

import json
from collections.abc import Callable
from functools import partial

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas import headers as h
from schemas.cloudevents import read_event
from schemas.contracts.examples import MEDIA_REJECTED
from schemas.errors import ErrorCode
from schemas.events import THUMBNAIL_CLEANUP_TYPE, ThumbnailCleanup, ThumbnailReady, upload_version
from schemas.rejected import MEDIA_REJECTED_TYPE
from streams.persist.role import BATCH
from streams.thumbnails.grace import Grace
from tests.doubles.memory_loops import POISON, Guest, PersistLoop, lost_membership
from tests.doubles.pipeline import NOW
from tests.doubles.results import a_media, failed, ready

READY = "thumbnail.ready"
FAILED = "thumbnail.failed"


@pytest.fixture
def loop(persist_loop: PersistLoop) -> PersistLoop:
    return persist_loop


def good(*media_ids: int) -> list[ThumbnailReady]:
    return [ready(1, a_media(media_id)) for media_id in media_ids]


def poison(media_id: int) -> ThumbnailReady:
    return ready(1, a_media(media_id), placeholder=POISON)


def put_broken(loop: PersistLoop) -> None:
    loop.broker.put((READY, 0), b"not JSON", key=b"broken")


def counted(loop: PersistLoop, status: str = "success") -> float:
    return float(loop.metrics.task_execution_total.labels("persist", status)._value.get())


def test_rows_are_written_then_states_dead_letters_and_cleanups_sent_then_offsets_committed(loop: PersistLoop) -> None:
    loop.put(*good(40), poison(41), failed(1, a_media(42)))
    loop.run(5)
    assert loop.rows.statuses() == {40: "ready", 42: "failed"}
    states = loop.broker.journal.index("sent thumbnail.state")
    sent, committed = loop.broker.journal[states:-2], sorted(loop.broker.journal[-2:])
    assert loop.broker.journal[:states] == ["rows"] * states
    lock_given_back = "rows"
    assert sent == ["sent thumbnail.state"] * 2 + [
        lock_given_back,
        "sent thumbnail.ready.dlq",
        "sent thumbnail.cleanup",
    ]
    assert committed == [f"committed {FAILED}[0]@1", f"committed {READY}[0]@2"]
    assert (counted(loop), counted(loop, "failed")) == (2, 1)


def test_the_age_of_a_backfilled_upload_is_no_latency(loop: PersistLoop) -> None:
    loop.put(ready(1, a_media(40)), ready(1, a_media(41)).model_copy(update={"upload_event_id": "backfill-1"}))
    loop.run(5)
    assert loop.rows.statuses() == {40: "ready", 41: "ready"}
    assert loop.metrics.registry.get_sample_value("thumbnail_upload_to_visible_seconds_count") == 1


def test_results_of_another_company_are_dead_letters_and_have_their_objects_cleaned_up(loop: PersistLoop) -> None:
    """Also those of failures, which may have left some; not where the company is unknown, or nothing can have been stored."""
    codes = (ErrorCode.STORAGE_FULL, ErrorCode.TENANT_UNKNOWN, ErrorCode.EVENT_IN_FUTURE)
    loop.put(
        ready(1, a_media(40), company_id=2),
        *(failed(2, a_media(41 + number), code=code, company_id=2) for number, code in enumerate(codes)),
    )
    loop.run(5)
    assert loop.rows.statuses() == {}
    (dead_letter,) = loop.broker.records("thumbnail.ready.dlq")
    assert h.get_header(dead_letter.headers, h.ERROR_CODE) == "tenant.not_owner"
    asked = [
        read_event(ThumbnailCleanup, THUMBNAIL_CLEANUP_TYPE, record.value, record.headers)
        for record in loop.broker.records("thumbnail.cleanup")
    ]
    assert sorted((one.company_id, one.media.id) for one in asked) == [(2, 40), (2, 41)]


def test_batches_are_committed_in_the_order_in_which_they_were_read(loop: PersistLoop) -> None:
    loop.put(*good(40, 41))
    for number in range(42, 48):
        loop.consumer.before("consume", partial(loop.put, *good(number)), skip=1)
    loop.run(5)
    committed = [entry for entry in loop.broker.journal if entry.startswith("committed")]
    assert len(committed) > 1
    assert committed == sorted(committed)
    assert loop.committed(READY) == 8
    assert len(loop.rows.statuses()) == 8
    assert loop.broker.journal.count("rows") >= len(committed)


def test_more_than_a_batch_is_written_and_each_record_counted_once(loop: PersistLoop) -> None:
    loop.put(*(ready(number, a_media(40)) for number in range(BATCH + 50)))
    loop.run(5)
    assert loop.committed(READY) == BATCH + 50
    assert counted(loop) == BATCH + 50


@pytest.mark.parametrize("position", range(5))
def test_a_poison_record_becomes_a_dead_letter_and_its_neighbours_are_written(loop: PersistLoop, position: int) -> None:
    results = good(40, 41, 42, 43, 44)
    results[position] = poison(40 + position)
    loop.put(*results)
    loop.run(5)
    assert loop.rows.statuses() == {number: "ready" for number in range(40, 45) if number != 40 + position}
    assert loop.dead_letters() == [b"video:%d" % (40 + position)]
    assert loop.committed(READY) == 5


def test_several_poison_records_of_each_kind_leave_the_others_as_they_are(loop: PersistLoop) -> None:
    loop.put(poison(40), *good(41))
    put_broken(loop)
    loop.put(poison(42), ready(1, a_media(43), company_id=2), *good(44))
    loop.broker.put((READY, 0), None)
    loop.run(5)
    assert loop.rows.statuses() == {41: "ready", 44: "ready"}
    assert sorted(loop.dead_letters(), key=str) == [None, b"broken", b"video:40", b"video:42", b"video:43"]
    assert loop.committed(READY) == 7


def test_a_batch_of_poison_alone_is_committed_too(loop: PersistLoop) -> None:
    put_broken(loop)
    loop.put(poison(40))
    loop.run(5)
    assert loop.rows.statuses() == {}
    assert sorted(loop.dead_letters(), key=str) == [b"broken", b"video:40"]
    assert loop.committed(READY) == 2


def take_the_database_away(loop: PersistLoop, seconds: float) -> None:
    def bring_back() -> None:
        loop.rows.is_down = False

    loop.rows.is_down = True
    loop.clock.after(seconds, bring_back)


def test_results_wait_for_the_database_as_long_as_it_takes_and_nothing_is_committed_before(loop: PersistLoop) -> None:
    """Longer than a member may go without polling: it stays in the group."""
    take_the_database_away(loop, 400)
    loop.put(*good(40))
    loop.clock.after(10, lambda: loop.put(*good(41)))
    loop.clock.after(20, lambda: loop.put(*good(42), partition=1))
    seen: list[object] = []
    loop.clock.after(399, lambda: seen.append((loop.broker.journal[:], loop.rows.statuses())))
    loop.run(500)
    assert seen == [([], {})]
    assert loop.rows.statuses() == {40: "ready", 41: "ready", 42: "ready"}
    assert (loop.committed(READY, 0), loop.committed(READY, 1)) == (2, 1)
    assert (counted(loop), loop.cleanups()) == (3, 0)  # a repeated result would ask for a cleanup


def test_the_role_says_why_results_wait_while_they_do(loop: PersistLoop) -> None:
    take_the_database_away(loop, 10)
    loop.put(*good(40))
    role = loop.role()
    seen: list[str | None] = []
    loop.clock.after(5, lambda: seen.append(role.database_problem))
    loop.clock.after(30, role.stop)
    role.run()
    assert [problem and problem.endswith("DATABASE_URL is right (database is locked).") for problem in seen] == [True]
    assert role.database_problem is None


def test_a_batch_in_hand_is_written_after_the_one_that_waits_for_the_database(loop: PersistLoop) -> None:
    loop.put(*good(40))
    loop.consumer.before("consume", lambda: loop.put(poison(41), *good(42)), skip=2)
    take_the_database_away(loop, 10)
    loop.run(30)
    assert loop.rows.statuses() == {40: "ready", 42: "ready"}
    assert loop.dead_letters() == [b"video:41"]
    assert loop.committed(READY) == 3


def test_a_partition_that_was_paused_for_the_database_and_comes_back_later_is_read(loop: PersistLoop) -> None:
    """librdkafka remembers the pause of a partition that went to another member."""
    take_the_database_away(loop, 20)
    loop.put(*good(40))
    guest = Guest(loop, [READY, FAILED])
    loop.clock.after(5, guest.join)
    loop.clock.after(40, guest.leave)
    loop.clock.after(50, lambda: loop.put(*good(41), partition=0))
    loop.clock.after(50, lambda: loop.put(*good(42), partition=1))
    loop.run(100)
    assert loop.rows.statuses() == {40: "ready", 41: "ready", 42: "ready"}
    assert (loop.committed(READY, 0), loop.committed(READY, 1)) == (2, 1)


def test_a_rebalance_while_results_wait_for_the_database_commits_nothing_before_they_are_written(
    loop: PersistLoop,
) -> None:
    take_the_database_away(loop, 20)
    loop.put(*good(40), partition=0)
    loop.put(*good(41), partition=1)
    guest = Guest(loop, [READY, FAILED])
    loop.clock.after(5, guest.join)
    seen: list[list[str]] = []
    loop.clock.after(19, lambda: seen.append(loop.broker.journal[:]))
    loop.clock.after(40, guest.leave)
    loop.run(100)
    assert seen == [[]]
    assert guest.found == [((READY, 1), 0)]
    assert loop.rows.statuses() == {40: "ready", 41: "ready"}
    assert (loop.committed(READY, 0), loop.committed(READY, 1)) == (1, 1)


def test_records_of_a_partition_that_comes_during_a_database_outage_are_written_after_it(loop: PersistLoop) -> None:
    """A record that comes with its partition, before the pause takes hold, is put back."""
    guest = Guest(loop, [READY, FAILED])
    guest.join()  # as the first member it gets the first partition
    loop.clock.after(5, lambda: take_the_database_away(loop, 60))
    loop.clock.after(6, lambda: loop.put(*good(40), partition=1))
    loop.clock.after(7, lambda: loop.put(*good(41, 42), partition=0))
    loop.clock.after(20, guest.leave)
    loop.run(100)
    assert guest.found == [((READY, 0), 0), ((READY, 0), 1)]
    assert loop.rows.statuses() == {40: "ready", 41: "ready", 42: "ready"}
    assert (loop.committed(READY, 0), loop.committed(READY, 1)) == (2, 1)


def test_a_rebalance_while_rows_are_written_waits_for_them_and_hands_over_a_committed_batch(loop: PersistLoop) -> None:
    loop.put(*good(40), poison(41))
    guest = Guest(loop, [READY, FAILED])
    loop.rows.may_write.clear()
    loop.consumer.before("consume", guest.join, skip=2)
    in_progress: list[bool] = []

    def write_on() -> None:
        in_progress.append(loop.committed(READY) is None and loop.rows.statuses() == {})
        loop.rows.may_write.set()

    loop.consumer.before("revoke", write_on)
    loop.run(5)
    assert in_progress == [True]
    assert guest.found == []
    assert loop.rows.statuses() == {40: "ready"}
    assert loop.dead_letters() == [b"video:41"]
    assert loop.committed(READY) == 2


def test_a_rebalance_in_the_middle_of_a_read_loses_nothing(loop: PersistLoop) -> None:
    loop.put(*good(40, 41))
    guest = Guest(loop, [FAILED])
    loop.consumer.before("consume", guest.join, skip=1)
    loop.run(5)
    assert loop.rows.statuses() == {40: "ready", 41: "ready"}
    assert loop.committed(READY) == 2


@pytest.mark.parametrize("code", lost_membership())
def test_a_commit_that_the_group_refuses_counts_nothing_and_the_role_goes_on(loop: PersistLoop, code: int) -> None:
    loop.put(*good(40))
    loop.consumer.fail("commit", KafkaError(code))
    loop.clock.after(2, lambda: loop.put(*good(41)))
    loop.run(5)
    assert loop.rows.statuses() == {40: "ready", 41: "ready"}
    assert loop.committed(READY) == 2
    assert counted(loop) == 1


def test_a_process_that_slept_for_too_long_repeats_what_it_could_not_commit(loop: PersistLoop) -> None:
    loop.put(*good(40))
    loop.consumer.before("commit", lambda: loop.clock.wait(400))
    loop.run(500)
    assert loop.rows.statuses() == {40: "ready"}
    assert loop.committed(READY) == 1
    assert loop.cleanups() == 1  # as every repeated result asks for


def test_another_failure_of_a_commit_ends_the_role(loop: PersistLoop) -> None:
    loop.put(*good(40))
    loop.consumer.fail("commit", KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
    with pytest.raises(KafkaException):
        loop.run(5)
    assert loop.committed(READY) is None


def test_a_group_that_takes_no_offsets_for_now_is_waited_for(loop: PersistLoop) -> None:
    loop.put(*good(40))
    for _ in range(3):
        loop.consumer.fail("commit", KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE))
    loop.run(30)
    assert loop.committed(READY) == 1


def test_a_dead_letter_waits_until_enough_replicas_are_in_sync(loop: PersistLoop) -> None:
    loop.put(poison(40), *good(41))
    for _ in range(3):
        loop.producer.fail("deliver", KafkaError(KafkaError.NOT_ENOUGH_REPLICAS))
    loop.run(30)
    assert loop.dead_letters() == [b"video:40"]
    assert loop.committed(READY) == 2


def refuse_delivery(loop: PersistLoop) -> None:
    loop.producer.fail("deliver", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))


def refuse_record(loop: PersistLoop) -> None:
    loop.producer.fail("produce", KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))


def never_answer(loop: PersistLoop) -> None:
    loop.producer.is_cut_off = True


@pytest.mark.parametrize("fail", [refuse_delivery, refuse_record, never_answer])
@pytest.mark.parametrize("has_next", [False, True], ids=["last batch", "with the next in hand"])
def test_a_dead_letter_that_cannot_be_sent_is_never_passed_by_a_commit(
    loop: PersistLoop, fail: Callable[[PersistLoop], None], *, has_next: bool
) -> None:
    """Not by one that closing the consumer calls for, either: the batch in hand stands after it."""
    loop.put(poison(40), *good(41))
    if has_next:
        loop.consumer.before("consume", lambda: loop.put(*good(42)), skip=2)
    fail(loop)
    with pytest.raises(KafkaException):
        loop.run(100)
    assert loop.committed(READY) is None
    loop.restart()
    loop.run(5)
    assert loop.dead_letters() == [b"video:40"]
    assert loop.rows.statuses() == {41: "ready"} | ({42: "ready"} if has_next else {})
    assert loop.committed(READY) == 2 + has_next


@pytest.mark.parametrize("code", [KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._AUTHENTICATION])
def test_a_broker_out_of_reach_is_waited_for_and_another_error_ends_the_role(loop: PersistLoop, code: int) -> None:
    loop.put(*good(40))
    loop.consumer.fail("consume", KafkaError(code))
    loop.run(5)
    assert loop.committed(READY) == 1
    loop.restart()
    loop.consumer.fail("consume", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(KafkaException):
        loop.run(5)


def die_before_rows(loop: PersistLoop) -> None:
    loop.rows.before_commit = loop.die


KILLS: list[tuple[str, Callable[[PersistLoop], None]]] = [
    ("before the transaction ends", die_before_rows),
    ("between the transaction and the sends", lambda loop: loop.producer.before("produce", loop.die)),
    ("before the first send is acknowledged", lambda loop: loop.producer.before("flush", loop.die)),
    ("between two sends", lambda loop: loop.producer.before("deliver", loop.die, skip=1)),
    ("between the sends and the commit", lambda loop: loop.consumer.before("commit", loop.die)),
    ("after the commit", lambda loop: loop.consumer.before("consume", loop.die, skip=3)),
]


@pytest.mark.parametrize("arm", [step[1] for step in KILLS], ids=[step[0] for step in KILLS])
def test_a_kill_between_two_side_effects_loses_nothing(loop: PersistLoop, arm: Callable[[PersistLoop], None]) -> None:
    loop.put(*good(40), poison(41), failed(1, a_media(42)))
    arm(loop)
    loop.run_until_killed()
    loop.restart()
    loop.run(5)
    assert loop.rows.statuses() == {40: "ready", 42: "failed"}
    assert set(loop.dead_letters()) == {b"video:41"}
    assert b"video:42" in {record.key for record in loop.broker.records("thumbnail.cleanup")}
    assert (loop.committed(READY), loop.committed(FAILED)) == (2, 1)


def test_a_stop_while_nothing_is_there_ends_within_a_poll_and_leaves_the_group(loop: PersistLoop) -> None:
    loop.run(5)
    assert loop.clock.monotonic() <= 5.2
    assert loop.broker.group(loop.group).members == []


def test_a_stop_while_rows_are_written_finishes_and_commits_them(loop: PersistLoop) -> None:
    loop.put(*good(40))
    role = loop.role()
    loop.rows.may_write.clear()

    def stop() -> None:
        role.stop()
        loop.rows.may_write.set()

    loop.consumer.before("consume", stop, skip=2)
    role.run()
    assert loop.rows.statuses() == {40: "ready"}
    assert loop.committed(READY) == 1


def test_a_stop_while_results_wait_for_the_database_commits_nothing_and_leaves_all_to_the_next(
    loop: PersistLoop,
) -> None:
    take_the_database_away(loop, 1000)
    loop.put(*good(40))
    loop.consumer.before("consume", lambda: loop.put(*good(41)), skip=2)
    loop.run(60)
    assert loop.clock.monotonic() <= 70
    assert loop.broker.journal == []
    assert loop.broker.group(loop.group).members == []
    loop.rows.is_down = False
    loop.restart()
    loop.run(5)
    assert loop.rows.statuses() == {40: "ready", 41: "ready"}
    assert loop.committed(READY) == 2


def test_two_replays_of_one_upload_in_a_batch_have_a_cleanup_each(loop: PersistLoop) -> None:
    first = failed(1)
    replays = [upload_version(first.occurred_at, first.upload_event_id, f"thumbnail.dlq/0/{n}") for n in range(2)]
    loop.put(first, *(first.model_copy(update={"version": version}) for version in (*replays, replays[1], "odd")))
    loop.run(5)
    found = [json.loads(value or b"")["version"] for value in loop.values("thumbnail.cleanup")]
    base = upload_version(first.occurred_at, first.upload_event_id)
    assert sorted(found) == sorted([base, base, *replays])  # the first is «applied», the others are «repeated»


def test_an_upload_that_is_stale_at_its_first_attempt_is_counted(loop: PersistLoop) -> None:
    """Clocks differ, or it was long under way; a retry that is overtaken is nothing to look at."""
    retried = ready(1, a_media(41), attempt=2)
    loop.put(ready(2, a_media(40)), ready(2, a_media(41)), ready(1, a_media(40)), retried)
    loop.run(5)
    value = loop.metrics.registry.get_sample_value
    assert value("thumbnail_stale_results_total") == 2
    assert value("thumbnail_stale_first_attempts_total") == 1


def test_a_rejection_is_passed_over_and_what_stands_beside_it_is_written(loop: PersistLoop) -> None:
    value = json.dumps(MEDIA_REJECTED[0]).encode()
    for key in (None, b"video:42"):
        loop.broker.put((FAILED, 0), value, key=key, headers=[(h.CE_TYPE, MEDIA_REJECTED_TYPE.encode())])
    loop.put(failed(1, a_media(42)))
    loop.run(5)
    assert loop.rows.statuses() == {42: "failed"}
    assert loop.dead_letters() == []
    assert loop.committed(FAILED) == 3


def test_a_cleanup_waits_in_its_topic_for_the_grace_time(loop: PersistLoop) -> None:
    loop.grace = Grace(3600)
    loop.put(ready(1, a_media(40)), ready(2, a_media(40)))
    loop.run(5)
    assert loop.cleanups() == 0
    (waiting,) = loop.broker.records("thumbnail.cleanup.waiting")
    due_at = h.parse_time(h.get_header(waiting.headers, h.RETRY_DUE_AT))
    assert due_at is not None
    assert 3600 <= (due_at - NOW).total_seconds() <= 3605
    request = read_event(ThumbnailCleanup, THUMBNAIL_CLEANUP_TYPE, waiting.value, waiting.headers)
    assert request.reason == "superseded"
    journal = loop.broker.journal
    assert journal.index("sent thumbnail.state") < journal.index("sent thumbnail.cleanup.waiting")
