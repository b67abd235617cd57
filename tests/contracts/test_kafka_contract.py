"""The in-memory Kafka and Apache Kafka keep the same promises: groups, rebalances, and commits.

These suites, with `test_kafka_positions_contract.py` and `test_kafka_records_contract.py`, state what the persist and
retry loops rely on. Where the two differ, Apache Kafka is right.
"""

from contextlib import suppress

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.contracts.kafka_clusters import MAX_POLL_INTERVAL_S, Cluster
from tests.contracts.kafka_members import Member, commit, committed, numbers, poll_until, put, read, share


def test_a_group_begins_at_the_beginning_and_goes_on_from_its_committed_offset(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0", b"1", b"2")
    first = Member(cluster, group, topic).consumer
    assert read(cluster, first, 3) == [(0, 0), (0, 1), (0, 2)]
    commit(first, topic, 0, 2)
    first.close()
    assert committed(cluster, group, topic) == 2
    second = Member(cluster, group, topic).consumer
    assert read(cluster, second, 1) == [(0, 2)]
    second.close()


def test_a_group_that_has_committed_nothing_has_a_negative_offset(cluster: Cluster, group: str) -> None:
    assert committed(cluster, group, cluster.topic()) < 0


def test_a_consumer_that_ends_without_a_commit_leaves_its_records_to_the_next(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0", b"1")
    for _ in range(2):
        consumer = Member(cluster, group, topic).consumer
        assert read(cluster, consumer, 2) == [(0, 0), (0, 1)]
        consumer.close()


def test_partitions_are_given_inside_consume_and_the_callback_need_not_assign_them(
    cluster: Cluster, group: str
) -> None:
    topic = cluster.topic(2)
    member = Member(cluster, group, topic)
    assert member.consumer.assignment() == []
    assert member.diary == []
    poll_until(cluster, [member.consumer], lambda: member.has(0, 1))
    assert member.diary == [("assign", [0, 1])]
    member.consumer.close()


def test_consume_without_a_timeout_returns_at_once(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    member = Member(cluster, group, topic)
    poll_until(cluster, [member.consumer], lambda: member.has(0))
    started = cluster.monotonic()
    assert member.consumer.consume(100, 0.0) == []
    assert cluster.monotonic() - started < 5
    member.consumer.close()


def test_consume_of_several_waits_until_they_are_all_there_or_the_time_is_over(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0", b"1")
    consumer = cluster.consumer(group)
    consumer.assign([TopicPartition(topic, 0, 0)])
    started = cluster.monotonic()
    assert len(consumer.consume(3, 2.0)) == 2
    assert cluster.monotonic() - started >= 1.9
    consumer.close()


def test_a_new_member_takes_all_partitions_from_the_old_one_before_both_have_theirs(
    cluster: Cluster, group: str
) -> None:
    topic = cluster.topic(2)
    old = Member(cluster, group, topic)
    poll_until(cluster, [old.consumer], lambda: old.has(0, 1))
    new = Member(cluster, group, topic)
    poll_until(cluster, [old.consumer, new.consumer], lambda: len(old.diary) == 3 and len(new.diary) == 1)
    assert old.diary == [("assign", [0, 1]), ("revoke", [0, 1]), *old.diary[2:]]
    assert sorted(old.diary[2][1] + new.diary[0][1]) == [0, 1]
    assert (len(old.consumer.assignment()), len(new.consumer.assignment())) == (1, 1)
    new.consumer.close()
    old.consumer.close()


def test_a_member_that_leaves_gives_its_partitions_up_and_the_other_is_given_all(cluster: Cluster, group: str) -> None:
    topic = cluster.topic(2)
    staying = Member(cluster, group, topic)
    leaving = Member(cluster, group, topic)
    poll_until(
        cluster,
        [staying.consumer, leaving.consumer],
        lambda: len(staying.consumer.assignment()) == len(leaving.consumer.assignment()) == 1,
    )
    (given_up,) = numbers(leaving.consumer.assignment())
    leaving.consumer.close()
    assert leaving.diary[-1] == ("revoke", [given_up])
    poll_until(cluster, [staying.consumer], lambda: staying.has(0, 1))
    staying.consumer.close()


def test_a_commit_inside_on_revoke_counts_for_the_next_owner(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0", b"1", b"2")
    old = Member(cluster, group, topic, on_revoke=lambda: commit(old.consumer, topic, 0, 2))
    read(cluster, old.consumer, 3)
    new = Member(cluster, group, topic)
    records = poll_until(cluster, [old.consumer, new.consumer], lambda: len(new.diary) + len(old.diary) == 4)
    owner = old if old.has(0) else new
    records[1 if owner is new else 0] += read(cluster, owner.consumer, 1) if not any(records) else []
    assert sorted(records) == [[], [(0, 2)]]
    new.consumer.close()
    old.consumer.close()


def test_a_commit_inside_on_revoke_counts_when_it_is_called_by_close(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0", b"1", b"2")
    member = Member(cluster, group, topic, on_revoke=lambda: commit(member.consumer, topic, 0, 2))
    read(cluster, member.consumer, 3)
    member.consumer.close()
    assert committed(cluster, group, topic) == 2


def test_an_exception_of_a_callback_comes_out_of_consume(cluster: Cluster, group: str) -> None:
    class OwnError(Exception):
        pass

    def refuse() -> None:
        raise OwnError

    topic = cluster.topic()
    old = Member(cluster, group, topic, on_revoke=refuse)
    poll_until(cluster, [old.consumer], lambda: old.has(0))
    new = Member(cluster, group, topic)
    with pytest.raises(OwnError):
        poll_until(cluster, [old.consumer, new.consumer], lambda: False)
    new.consumer.close()
    with suppress(OwnError):  # it may have been given the partition again
        old.consumer.close()


def test_a_member_may_commit_while_a_rebalance_waits_for_it(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0")
    old = Member(cluster, group, topic)
    read(cluster, old.consumer, 1)
    new = Member(cluster, group, topic)
    for _ in range(10):
        assert new.consumer.consume(1, 0.1) == []
    commit(old.consumer, topic, 0, 1)
    assert committed(cluster, group, topic) == 1
    poll_until(cluster, [old.consumer, new.consumer], lambda: len(old.diary) + len(new.diary) == 4)
    new.consumer.close()
    old.consumer.close()


def test_records_of_a_partition_that_goes_away_are_not_returned_after_its_revocation(
    cluster: Cluster, group: str
) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0", b"1")
    old = Member(cluster, group, topic)
    read(cluster, old.consumer, 2)
    new = Member(cluster, group, topic)
    put(cluster, topic, b"2")
    for _ in range(10):
        assert new.consumer.consume(1, 0.1) == []
    old_records, new_records = poll_until(
        cluster, [old.consumer, new.consumer], lambda: len(old.diary) + len(new.diary) == 4
    )
    if old.has(0):
        old_records = old_records or read(cluster, old.consumer, 3)
        assert (old_records, new_records) == ([(0, 0), (0, 1), (0, 2)], [])
    else:
        new_records = new_records or read(cluster, new.consumer, 3)
        assert (old_records, new_records) == ([], [(0, 0), (0, 1), (0, 2)])
    new.consumer.close()
    old.consumer.close()


def test_a_member_that_does_not_poll_is_evicted_and_may_not_commit(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0")
    member = Member(cluster, group, topic)
    read(cluster, member.consumer, 1)
    refused: list[int] = []

    def is_refused() -> bool:
        try:
            commit(member.consumer, topic, 0, 1)
        except KafkaException as exc:
            refused.append(exc.args[0].code())
        return bool(refused)

    cluster.wait_until(is_refused, MAX_POLL_INTERVAL_S + 10)
    assert refused == [KafkaError.UNKNOWN_MEMBER_ID]
    member.consumer.seek(TopicPartition(topic, 0, 0))  # the partition is still assigned, as far as the consumer knows
    errors: list[KafkaError | None] = []
    while not errors:
        errors = [message.error() for message in member.consumer.consume(1, 0.1)]
    assert [error and error.code() for error in errors] == [KafkaError._MAX_POLL_EXCEEDED]
    poll_until(cluster, [member.consumer], lambda: len(member.diary) == 3)
    assert member.diary == [("assign", [0]), ("revoke", [0]), ("assign", [0])]
    commit(member.consumer, topic, 0, 1)
    member.consumer.close()


def test_a_commit_of_a_partition_that_does_not_exist_is_refused(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    consumer = cluster.consumer(group)
    with pytest.raises(KafkaException) as caught:
        commit(consumer, topic, 7, 1)
    assert caught.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    consumer.close()


def test_a_group_accepts_a_lower_offset_and_one_of_a_partition_of_another_member(cluster: Cluster, group: str) -> None:
    """So the loops must not rely on the group to refuse what is late."""
    topic = cluster.topic(2)
    members = share(cluster, group, topic)
    for member in members:
        for offset in (5, 3):
            commit(member.consumer, topic, 0, offset)
            assert committed(cluster, group, topic) == offset
    for member in members:
        member.consumer.close()


def test_a_closed_consumer_refuses_to_work_and_may_be_closed_again(cluster: Cluster, group: str) -> None:
    consumer = Member(cluster, group, cluster.topic()).consumer
    consumer.close()
    consumer.close()
    for call in (lambda: consumer.consume(1, 0), consumer.assignment, lambda: commit(consumer, "topic", 0, 1)):
        with pytest.raises(RuntimeError, match="closed"):
            call()
