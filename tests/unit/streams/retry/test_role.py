"""The retry loop on the in-memory Kafka: never early, never lost, whatever happens between two of its side effects."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas import headers as h
from schemas.topics import UNPREFIXED
from streams.failures.marks import Mark, MarkState, mark_record
from streams.kafka.ports import TopicPartition
from streams.retry.cancellations import Cancellations
from streams.retry.role import BATCH, RetryOptions
from tests.doubles.memory_kafka.consumer import MemoryConsumer
from tests.doubles.memory_loops import DUE, TIERS, WAITING_CLEANUPS, Guest, RetryLoop, lost_membership
from tests.doubles.pipeline import NOW

TIER: TopicPartition = (TIERS[0], 0)
NEIGHBOUR: TopicPartition = (TIERS[0], 1)


@pytest.fixture
def loop(retry_loop: RetryLoop) -> RetryLoop:
    return retry_loop


def handed_on_total(loop: RetryLoop) -> float:
    return float(loop.metrics.task_execution_total.labels("retry", "success")._value.get())


def test_a_record_is_handed_on_at_its_due_time_and_then_committed(loop: RetryLoop) -> None:
    loop.put(b"a", due_in_s=60)
    loop.run(50)
    assert (loop.handed_on, loop.broker.journal) == ([], [])
    loop.restart()
    loop.run(20)
    assert loop.seconds() == {b"a": 60.0}
    assert loop.broker.journal == [f"sent {DUE}", f"committed {TIER[0]}[0]@1"]
    assert handed_on_total(loop) == 1


def test_a_cleanup_waits_for_its_own_time_and_survives_a_restart(loop: RetryLoop) -> None:
    """For longer than any tier: the wait stands in the topic, and in no process."""
    loop.put(b"cleanup", due_in_s=3600, place=(WAITING_CLEANUPS, 0))
    loop.put(b"retry", due_in_s=60)
    loop.run(1000)
    assert (loop.values(DUE), loop.values("thumbnail.cleanup")) == ([b"retry"], [])
    loop.restart()
    loop.run(2599)
    assert loop.values("thumbnail.cleanup") == []
    loop.restart()
    loop.run(10)
    (record,) = loop.broker.records("thumbnail.cleanup")
    assert (record.key, record.value, record.headers) == (b"video:1", b"cleanup", (("own", None),))
    assert (record.timestamp - NOW).total_seconds() == 3600
    assert loop.committed(WAITING_CLEANUPS) == 1


def test_key_value_and_headers_are_handed_on_unchanged_nulls_included(loop: RetryLoop) -> None:
    due = (h.RETRY_DUE_AT, h.header_text(h.format_time(loop.clock.now())))
    loop.broker.put(TIER, None, headers=[("a", None), due, ("a", b"")])
    loop.broker.put(TIER, b"", key=b"", headers=[(h.RETRY_DUE_AT, b"soon")])  # no readable time: it may go at once
    loop.run(1)
    found = [(record.key, record.value, record.headers) for record in loop.handed_on]
    assert found == [(None, None, (("a", None), ("a", b""))), (b"", b"", ())]


def test_a_record_that_is_not_due_holds_back_those_behind_it_and_hastens_none(loop: RetryLoop) -> None:
    for value, due_in_s in ((b"now", 0), (b"first", 30), (b"behind", 10), (b"last", 40)):
        loop.put(value, due_in_s)
    loop.run(100)
    assert loop.seconds() == {b"now": 0.0, b"first": 30.0, b"behind": 30.0, b"last": 40.0}
    assert loop.committed(*TIER) == 4


def test_a_partition_that_waits_holds_back_no_other(loop: RetryLoop) -> None:
    loop.put(b"waits", 60)
    loop.clock.after(5, lambda: loop.put(b"neighbour", 2, NEIGHBOUR))
    loop.clock.after(6, lambda: loop.put(b"other tier", 0, (TIERS[2], 0)))
    loop.run(20)
    assert loop.seconds() == {b"other tier": pytest.approx(6, abs=0.01), b"neighbour": pytest.approx(7, abs=0.01)}
    assert loop.committed(*TIER) is None


def test_after_a_wait_the_partition_goes_on_from_the_record_after_the_held_ones(loop: RetryLoop) -> None:
    """More than a batch, and more that comes while the partition is paused: each once, and in order."""
    count = BATCH + 50
    loop.put(b"0", 30)
    for number in range(1, count):
        loop.put(b"%d" % number, 0)
    loop.clock.after(10, lambda: loop.put(b"%d" % count, 5))
    loop.run(60)
    assert loop.values(DUE) == [b"%d" % number for number in range(count + 1)]
    assert loop.committed(*TIER) == count + 1
    assert handed_on_total(loop) == count + 1


def test_a_partition_may_wait_again_and_again(loop: RetryLoop) -> None:
    for number in range(5):
        loop.clock.after(number * 7, partial(loop.put, b"%d" % number, 10))
    loop.run(60)
    assert loop.seconds() == {b"%d" % number: pytest.approx(number * 7 + 10, abs=0.01) for number in range(5)}


def test_a_wait_longer_than_the_last_tiers_goes_through_it_again_and_uses_up_no_attempt(loop: RetryLoop) -> None:
    own = ((h.RETRY_ATTEMPT, b"1"), (h.FIRST_FAILED_AT, h.header_text(h.format_time(loop.clock.now()))))
    not_before = h.header_text(h.format_time(loop.clock.now() + timedelta(seconds=1000)))
    loop.broker.put(TIER, b"long", headers=[*own, (h.RETRY_NOT_BEFORE, not_before), (h.RETRY_DUE_AT, not_before)])
    loop.run(2000)
    assert 1000 <= loop.seconds()[b"long"] < 1066
    assert [h.without_headers(record.headers, (h.RETRY_HOPS,)) for record in loop.handed_on] == [own]
    assert len(loop.values(TIERS[2])) > 1


def test_held_records_of_a_partition_that_goes_away_are_left_to_its_next_owner(loop: RetryLoop) -> None:
    loop.put(b"stays", 30, TIER)
    loop.put(b"goes", 30, NEIGHBOUR)
    guest = Guest(loop, TIERS)
    loop.clock.after(10, guest.join)
    loop.run(60)
    assert guest.found == [(NEIGHBOUR, 0)]
    assert loop.seconds() == {b"stays": 30.0}
    assert (loop.committed(*TIER), loop.committed(*NEIGHBOUR)) == (1, None)


@pytest.mark.parametrize("leaves_at_s", [20, 50], ids=["before it is due", "after it is due"])
def test_a_paused_partition_that_goes_away_and_comes_back_is_read_again(loop: RetryLoop, leaves_at_s: float) -> None:
    """librdkafka remembers the pause; what was held of it was forgotten, and the role must resume it."""
    loop.put(b"stays", 30, TIER)
    loop.put(b"comes back", 30, NEIGHBOUR)
    guest = Guest(loop, TIERS)
    loop.clock.after(10, guest.join)
    loop.clock.after(leaves_at_s, guest.leave)
    loop.run(100)
    assert loop.seconds() == {b"stays": 30.0, b"comes back": pytest.approx(max(30, leaves_at_s), abs=0.3)}
    assert len(loop.handed_on) == 2
    assert loop.committed(*NEIGHBOUR) == 1


def test_a_partition_that_goes_away_with_nothing_held_comes_back_where_it_was_committed(loop: RetryLoop) -> None:
    loop.put(b"0", 0, NEIGHBOUR)
    guest = Guest(loop, TIERS)
    loop.clock.after(5, guest.join)
    loop.clock.after(10, guest.leave)
    loop.clock.after(15, lambda: loop.put(b"1", 0, NEIGHBOUR))
    loop.run(20)
    assert loop.values(DUE) == [b"0", b"1"]


def test_a_rebalance_in_the_middle_of_a_read_repeats_and_loses_nothing(loop: RetryLoop) -> None:
    """The role has read a first record, and asks for the rest of the batch."""
    for number in range(3):
        loop.put(b"%d" % number, 0)
    guest = Guest(loop, [TIERS[1]])
    loop.consumer.before("consume", guest.join, skip=1)
    loop.run(10)
    assert loop.values(DUE) == [b"0", b"1", b"2"]
    assert loop.committed(*TIER) == 3


@pytest.mark.parametrize("code", lost_membership())
def test_a_commit_that_the_group_refuses_counts_nothing_and_the_role_goes_on(loop: RetryLoop, code: int) -> None:
    loop.put(b"0", 0)
    loop.consumer.fail("commit", KafkaError(code))
    loop.clock.after(5, lambda: loop.put(b"1", 0))
    loop.run(10)
    assert loop.values(DUE) == [b"0", b"1"]
    assert loop.committed(*TIER) == 2
    assert handed_on_total(loop) == 1


def test_a_process_that_slept_for_too_long_hands_on_again_what_it_could_not_commit(loop: RetryLoop) -> None:
    """As a machine that is suspended: the group has evicted the member, and gives it its partitions again."""
    loop.options = RetryOptions(delays_s=(1000.0,))  # no record waits for longer than its tier
    loop.put(b"0", 0)
    loop.put(b"waits", 1000)
    loop.consumer.before("commit", lambda: loop.clock.wait(400))
    loop.run(1100)
    assert loop.values(DUE) == [b"0", b"0", b"waits"]
    assert loop.seconds()[b"waits"] == 1000
    assert loop.committed(*TIER) == 2


def test_another_failure_of_a_commit_ends_the_role(loop: RetryLoop) -> None:
    loop.put(b"0", 0)
    loop.consumer.fail("commit", KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
    with pytest.raises(KafkaException):
        loop.run(10)
    assert loop.committed(*TIER) is None


def refuse_delivery(loop: RetryLoop) -> None:
    loop.producer.fail("deliver", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))


def refuse_record(loop: RetryLoop) -> None:
    loop.producer.fail("produce", KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))


def never_answer(loop: RetryLoop) -> None:
    loop.producer.is_cut_off = True


@pytest.mark.parametrize("fail", [refuse_delivery, refuse_record, never_answer])
def test_when_one_record_cannot_be_sent_nothing_is_committed_and_the_next_process_sends_all(
    loop: RetryLoop, fail: Callable[[RetryLoop], None]
) -> None:
    loop.put(b"0", 0)
    loop.put(b"1", 0)
    fail(loop)
    with pytest.raises(KafkaException):
        loop.run(100)
    assert loop.committed(*TIER) is None
    loop.restart()
    loop.run(10)
    assert {b"0", b"1"} == set(loop.values(DUE))
    assert loop.committed(*TIER) == 2


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("deliver", KafkaError.NOT_ENOUGH_REPLICAS),
        ("deliver", KafkaError._MSG_TIMED_OUT),
        ("commit", KafkaError.COORDINATOR_NOT_AVAILABLE),
    ],
)
def test_a_cluster_that_takes_nothing_for_now_is_waited_for(loop: RetryLoop, operation: str, code: int) -> None:
    loop.put(b"0", 0)
    client = loop.producer if operation == "deliver" else loop.consumer
    for _ in range(3):
        client.fail(operation, KafkaError(code))
    loop.run(30)
    assert loop.values(DUE) == [b"0"]
    assert loop.committed(*TIER) == 1


def test_a_full_queue_is_waited_for(loop: RetryLoop) -> None:
    for number in range(3):
        loop.put(b"%d" % number, 0)
    loop.producer.fail("produce", BufferError("Local: Queue full"))
    loop.run(10)
    assert loop.values(DUE) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("code", [KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._AUTHENTICATION])
def test_a_broker_out_of_reach_is_waited_for_and_another_error_ends_the_role(loop: RetryLoop, code: int) -> None:
    loop.put(b"0", 0)
    loop.consumer.fail("consume", KafkaError(code))
    loop.run(10)
    assert loop.values(DUE) == [b"0"]
    loop.restart()
    loop.consumer.fail("consume", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(KafkaException):
        loop.run(10)


KILLS: list[tuple[str, Callable[[RetryLoop], None], int]] = [
    ("before the first record is sent", lambda loop: loop.producer.before("flush", loop.die), 0),
    ("between two records", lambda loop: loop.producer.before("deliver", loop.die, skip=1), 1),
    ("between sending and committing", lambda loop: loop.consumer.before("commit", loop.die), 2),
    ("after the commit", lambda loop: loop.consumer.before("consume", loop.die, skip=2), 0),
]


@pytest.mark.parametrize(("arm", "repeated"), [step[1:] for step in KILLS], ids=[step[0] for step in KILLS])
def test_a_kill_between_two_side_effects_loses_nothing_and_repeats_only_what_was_sent(
    loop: RetryLoop, arm: Callable[[RetryLoop], None], repeated: int
) -> None:
    loop.put(b"0", 0)
    loop.put(b"1", 0)
    loop.put(b"waits", 30)
    arm(loop)
    loop.run_until_killed()
    loop.restart()
    loop.run(60)
    found = loop.values(DUE)
    assert sorted(set(found), key=str) == [b"0", b"1", b"waits"]
    assert len(found) == 3 + repeated
    assert loop.seconds()[b"waits"] == 30
    assert loop.committed(*TIER) == 3


def test_a_kill_while_records_wait_leaves_them_where_they_are(loop: RetryLoop) -> None:
    loop.put(b"waits", 30)
    loop.clock.after(10, loop.die)
    loop.run_until_killed()
    assert loop.handed_on == []
    loop.restart()
    loop.run(60)
    assert loop.seconds() == {b"waits": 30.0}


@pytest.mark.parametrize("due_in_s", [None, 3600], ids=["nothing is there", "a partition waits"])
def test_a_stop_ends_each_wait_within_a_poll_and_leaves_the_group(loop: RetryLoop, due_in_s: float | None) -> None:
    if due_in_s is not None:
        loop.put(b"waits", due_in_s)
    loop.run(5)
    assert loop.clock.monotonic() <= 5.25
    assert loop.broker.group(loop.group).members == []
    assert (loop.handed_on, loop.broker.journal) == ([], [])


def test_a_stop_while_a_record_is_sent_waits_for_it_and_commits(loop: RetryLoop) -> None:
    def answer() -> None:
        loop.producer.is_cut_off = False

    loop.put(b"0", 0)
    loop.producer.is_cut_off = True
    loop.clock.after(10, answer)
    loop.run(5)
    assert loop.values(DUE) == [b"0"]
    assert loop.committed(*TIER) == 1


HOUR = timedelta(hours=1)


def set_clock_at(loop: RetryLoop, second: float, wrong_by: timedelta) -> None:
    """Let the system's clock of the role jump."""
    loop.clock.after(second, lambda: setattr(loop, "wrong_by", wrong_by))


@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["on", "back"])
def test_a_wait_takes_its_time_when_the_system_clock_jumps(loop: RetryLoop, jump: timedelta) -> None:
    loop.put(b"waits", 60)
    loop.put(b"behind", 62)
    set_clock_at(loop, 10, jump)
    loop.clock.after(30, lambda: overdue.append(loop.role.overdue))
    overdue: list[int] = []
    loop.run(100)
    assert loop.seconds() == {b"waits": pytest.approx(60, abs=0.01), b"behind": pytest.approx(62, abs=0.01)}
    assert overdue == [0]
    late = loop.metrics.registry.get_sample_value
    assert late("thumbnail_retry_lateness_seconds_sum") == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(("jump", "first_s", "last_s"), [(HOUR, 20, 20.5), (-HOUR, 80, 86.5)], ids=["on", "back"])
def test_a_retry_that_is_read_after_a_jump_comes_at_most_a_tenth_of_its_delay_late(
    loop: RetryLoop, jump: timedelta, first_s: float, last_s: float
) -> None:
    set_clock_at(loop, 10, jump)
    loop.clock.after(20, lambda: loop.put(b"read later", 60))
    loop.run(200)
    assert first_s <= loop.seconds()[b"read later"] <= last_s
    assert len(loop.handed_on) == 1


@pytest.mark.parametrize("jump_at_s", [0, 10, 300])
@pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["on", "back"])
def test_a_longer_wait_than_a_tiers_circles_no_longer_when_the_clock_jumps(
    loop: RetryLoop, jump: timedelta, jump_at_s: float
) -> None:
    own = ((h.RETRY_ATTEMPT, b"1"), (h.FIRST_FAILED_AT, h.header_text(h.format_time(loop.clock.now()))))
    not_before = h.header_text(h.format_time(loop.clock.now() + timedelta(seconds=1000)))
    loop.broker.put(TIER, b"long", headers=[*own, (h.RETRY_NOT_BEFORE, not_before), (h.RETRY_DUE_AT, not_before)])
    set_clock_at(loop, jump_at_s, jump)
    loop.run(6000)
    assert loop.seconds()[b"long"] < 1000 + 240 * 1.1
    assert jump > timedelta(0) or loop.seconds()[b"long"] >= 1000
    assert len(loop.handed_on) == 1
    assert sum(len(loop.values(tier)) for tier in TIERS) <= 7


class Cancelling:
    """The ledger beside the retry topics, and a role that follows it."""

    def __init__(self, loop: RetryLoop) -> None:
        self.loop = loop
        loop.broker.create_topic(UNPREFIXED.replays)
        self.made: list[MemoryConsumer] = []
        loop.options = RetryOptions(cancellations=Cancellations(self.make_consumer, UNPREFIXED))

    def make_consumer(self, config: Mapping[str, Any]) -> MemoryConsumer:
        self.made.append(MemoryConsumer(self.loop.broker, "marks", config))
        return self.made[-1]

    def mark(self, offset: int, state: MarkState = MarkState.CANCELLED, *, topic: str = TIERS[0]) -> None:
        (record,) = [one for one in self.loop.broker.records(TIERS[0]) if (one.partition, one.offset) == (0, offset)]
        # By the real clock, by which old marks are forgotten.
        written = mark_record(
            "x", replace(record, topic=topic), Mark(state, datetime.now(UTC), "", "ana", "comes again")
        )
        self.loop.broker.put((UNPREFIXED.replays, 0), written.value, key=written.key)


def test_a_record_that_somebody_cancelled_goes_to_the_worker_as_such_when_it_is_due(loop: RetryLoop) -> None:
    cancelling = Cancelling(loop)
    loop.put(b"a", due_in_s=60)
    loop.put(b"b", due_in_s=60)
    loop.clock.after(30, lambda: cancelling.mark(0))
    loop.run(100)
    assert loop.seconds() == {b"a": 60.0, b"b": 60.0}
    first, second = loop.handed_on
    assert [h.get_header(first.headers, name) for name in (h.CANCELLED_BY, h.CANCELLED_NOTE)] == ["ana", "comes again"]
    assert h.parse_time(h.get_header(first.headers, h.CANCELLED_AT)) is not None
    assert (first.key, h.get_header(first.headers, h.RETRY_DUE_AT)) == (b"video:1", None)
    assert h.get_header(second.headers, h.CANCELLED_AT) is None
    assert loop.committed(*TIER) == 2


def test_a_cancelled_record_that_must_not_come_before_a_later_time_does_not_wait_for_it(loop: RetryLoop) -> None:
    cancelling, now = Cancelling(loop), loop.clock.now()
    facts = {
        h.RETRY_DUE_AT: h.format_time(now + timedelta(seconds=60)),
        h.RETRY_NOT_BEFORE: h.format_time(now + timedelta(seconds=900)),
        h.FIRST_FAILED_AT: h.format_time(now),
    }
    loop.broker.put(TIER, b"a", headers=[(name, h.header_text(text)) for name, text in facts.items()])
    cancelling.mark(0)
    loop.run(100)
    assert loop.seconds() == {b"a": 60.0}


@pytest.mark.parametrize(
    ("state", "topic"),
    [(MarkState.REPLAYED, TIERS[0]), (MarkState.CANCELLED, "thumbnail.dlq"), (MarkState.CANCELLED, TIERS[1])],
)
def test_other_marks_cancel_nothing(loop: RetryLoop, state: MarkState, topic: str) -> None:
    cancelling = Cancelling(loop)
    loop.put(b"a", due_in_s=60)
    cancelling.mark(0, state, topic=topic)
    loop.run(100)
    assert [h.get_header(record.headers, h.CANCELLED_AT) for record in loop.handed_on] == [None]


def test_a_mark_of_another_record_at_the_same_place_cancels_nothing(loop: RetryLoop) -> None:
    cancelling = Cancelling(loop)
    loop.put(b"a", due_in_s=60)
    cancelling.mark(0)
    loop.broker._logs.pop(TIER)
    loop.broker.create_topic(TIERS[0], 1)
    loop.clock.wait(1)
    loop.put(b"b", due_in_s=60)
    loop.run(100)
    assert [(one.value, h.get_header(one.headers, h.CANCELLED_AT)) for one in loop.handed_on] == [(b"b", None)]


def test_retries_go_on_while_the_marks_cannot_be_read(loop: RetryLoop) -> None:
    cancelling = Cancelling(loop)
    loop.put(b"a", due_in_s=10)
    loop.put(b"b", due_in_s=70)
    cancelling.mark(0)
    cancelling.mark(1)
    cancelling.made[0].fail("consume", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    loop.run(100)
    found = [(one.value, h.get_header(one.headers, h.CANCELLED_BY)) for one in loop.handed_on]
    assert found == [(b"a", None), (b"b", "ana")]
