"""One suite over the in-memory Kafka and Apache Kafka: each promise that the persist and retry loops rely on is a test.

A test drives all consumers of a group from one thread, in turns. Where the two differ, Apache Kafka is right.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from streams.kafka.ports import KafkaConsumer
from tests.contracts.kafka_clusters import MAX_POLL_INTERVAL_S, Cluster, MemoryCluster, RealCluster

FOREVER_S = 60.0
QUIET_S = 1.0
"""So long nothing must come; what comes wrongly comes within a fetch, some 10 ms."""

Seen = tuple[int, int]
"""Partition and offset."""


@pytest.fixture(params=["memory", "kafka"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if request.param == "memory":
        yield MemoryCluster()
        return
    real = RealCluster(request.getfixturevalue("kafka"))
    yield real
    real.close()


@pytest.fixture
def group() -> str:
    return uuid.uuid4().hex


def put(cluster: Cluster, topic: str, *values: bytes, partition: int = 0) -> None:
    producer = cluster.producer()
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(30) == 0


def seen(message: Message) -> Seen:
    assert message.error() is None, message.error()
    return cast(int, message.partition()), cast(int, message.offset())


def read(cluster: Cluster, consumer: KafkaConsumer, count: int) -> list[Seen]:
    """The next so many records, in order within each partition."""
    found: list[Seen] = []
    deadline = cluster.monotonic() + FOREVER_S
    while len(found) < count:
        assert cluster.monotonic() < deadline, f"only {found} came"
        found += map(seen, consumer.consume(count - len(found), 0.1))
    return sorted(found)


def poll_until(cluster: Cluster, consumers: Sequence[KafkaConsumer], what: Callable[[], bool]) -> list[list[Seen]]:
    """Poll them in turns; the records that each was given on the way."""
    found: list[list[Seen]] = [[] for _ in consumers]
    deadline = cluster.monotonic() + FOREVER_S
    while not what():
        assert cluster.monotonic() < deadline, "it did not happen in time"
        for consumer, records in zip(consumers, found, strict=True):
            records += map(seen, consumer.consume(100, 0.1))
    return found


def stays_silent(cluster: Cluster, consumer: KafkaConsumer) -> bool:
    until = cluster.monotonic() + QUIET_S
    while (left_s := until - cluster.monotonic()) > 0:
        if consumer.consume(1, left_s):
            return False
    return True


def places(topic: str, *numbers: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in numbers]


def numbers(partitions: Sequence[TopicPartition]) -> list[int]:
    return sorted(partition.partition for partition in partitions)


def commit(consumer: KafkaConsumer, topic: str, partition: int, offset: int) -> None:
    consumer.commit(offsets=[TopicPartition(topic, partition, offset)], asynchronous=False)


def committed(cluster: Cluster, group: str, topic: str, partition: int = 0) -> int:
    consumer = cluster.consumer(group)
    try:
        return consumer.committed(places(topic, partition), 30)[0].offset
    finally:
        consumer.close()


class Member:
    """A consumer of a group, with a diary of its callbacks."""

    def __init__(self, cluster: Cluster, group: str, topic: str, on_revoke: Callable[[], None] | None = None) -> None:
        self.diary: list[tuple[str, list[int]]] = []
        self.consumer = cluster.consumer(group)

        def revoke(_consumer: object, partitions: list[TopicPartition]) -> None:
            self.diary.append(("revoke", numbers(partitions)))
            if on_revoke is not None:
                on_revoke()

        def assign(_consumer: object, partitions: list[TopicPartition]) -> None:
            self.diary.append(("assign", numbers(partitions)))

        self.consumer.subscribe([topic], on_assign=assign, on_revoke=revoke)

    def has(self, *partitions: int) -> bool:
        return numbers(self.consumer.assignment()) == [*partitions]


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
    assert cluster.monotonic() - started < 0.5
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
    for _ in range(20):
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


def test_a_paused_partition_gives_nothing_and_its_neighbour_goes_on(cluster: Cluster, group: str) -> None:
    topic = cluster.topic(2)
    put(cluster, topic, *(b"%d" % number for number in range(50)))
    member = Member(cluster, group, topic)
    assert read(cluster, member.consumer, 3) == [(0, 0), (0, 1), (0, 2)]
    member.consumer.pause(places(topic, 0))
    put(cluster, topic, b"0", partition=1)
    assert read(cluster, member.consumer, 1) == [(1, 0)]
    assert stays_silent(cluster, member.consumer)
    assert member.has(0, 1)
    member.consumer.close()


def test_a_resumed_partition_goes_on_after_the_last_record_that_was_returned(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0", b"1", b"2", b"3")
    consumer = Member(cluster, group, topic).consumer
    assert read(cluster, consumer, 2) == [(0, 0), (0, 1)]
    consumer.pause(places(topic, 0))
    assert stays_silent(cluster, consumer)
    consumer.resume(places(topic, 0))
    assert read(cluster, consumer, 2) == [(0, 2), (0, 3)]
    consumer.close()


@pytest.mark.parametrize("seek_first", [True, False])
def test_a_partition_goes_on_from_where_it_is_sent_to(cluster: Cluster, group: str, *, seek_first: bool) -> None:
    topic = cluster.topic()
    put(cluster, topic, *(b"%d" % number for number in range(6)))
    consumer = Member(cluster, group, topic).consumer
    read(cluster, consumer, 4)
    consumer.pause(places(topic, 0))
    for step in (consumer.seek, lambda place: consumer.resume([place]))[:: 1 if seek_first else -1]:
        step(TopicPartition(topic, 0, 1))
    assert read(cluster, consumer, 5) == [(0, number) for number in range(1, 6)]
    consumer.close()


def test_a_record_that_was_returned_comes_again_after_a_seek_to_it(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0", b"1")
    consumer = Member(cluster, group, topic).consumer
    assert read(cluster, consumer, 1) == [(0, 0)]
    consumer.seek(TopicPartition(topic, 0, 0))
    assert read(cluster, consumer, 2) == [(0, 0), (0, 1)]
    consumer.close()


def test_no_one_may_seek_in_a_partition_of_others(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    consumer = cluster.consumer(group)
    with pytest.raises(KafkaException) as caught:
        consumer.seek(TopicPartition(topic, 0, 0))
    assert caught.value.args[0].code() in (KafkaError._STATE, KafkaError._UNKNOWN_PARTITION)
    consumer.pause(places(topic, 0))  # these two do nothing
    consumer.resume(places(topic, 0))
    consumer.close()


def share(cluster: Cluster, group: str, topic: str) -> tuple[Member, Member]:
    """A member that has paused both partitions, and then one that took one of them."""
    staying = Member(cluster, group, topic)
    poll_until(cluster, [staying.consumer], lambda: staying.has(0, 1))
    staying.consumer.pause(places(topic, 0, 1))
    guest = Member(cluster, group, topic)
    both = [staying.consumer, guest.consumer]
    poll_until(cluster, both, lambda: len(both[0].assignment()) == len(both[1].assignment()) == 1)
    return staying, guest


def test_a_pause_lasts_when_its_partition_goes_away_and_comes_back(cluster: Cluster, group: str) -> None:
    """Also when all that the member had meanwhile was resumed."""
    topic = cluster.topic(2)
    staying, guest = share(cluster, group, topic)
    (away,) = numbers(guest.consumer.assignment())
    staying.consumer.resume(staying.consumer.assignment())
    guest.consumer.close()
    poll_until(cluster, [staying.consumer], lambda: staying.has(0, 1))
    put(cluster, topic, b"0", partition=0)
    put(cluster, topic, b"0", partition=1)
    assert read(cluster, staying.consumer, 1) == [(1 - away, 0)]
    assert stays_silent(cluster, staying.consumer)
    staying.consumer.resume(staying.consumer.assignment())
    assert read(cluster, staying.consumer, 1) == [(away, 0)]
    staying.consumer.close()


def test_on_assign_may_assign_and_resume(cluster: Cluster, group: str) -> None:
    def start(consumer: KafkaConsumer, partitions: list[TopicPartition]) -> None:
        consumer.assign(partitions)
        consumer.resume(partitions)

    topic = cluster.topic(2)
    consumer = cluster.consumer(group)
    consumer.subscribe([topic], on_assign=start)
    poll_until(cluster, [consumer], lambda: numbers(consumer.assignment()) == [0, 1])
    consumer.pause(places(topic, 0, 1))
    guest = Member(cluster, group, topic)
    poll_until(cluster, [consumer, guest.consumer], lambda: len(guest.consumer.assignment()) == 1)
    guest.consumer.close()
    put(cluster, topic, b"0", partition=0)
    put(cluster, topic, b"0", partition=1)
    assert read(cluster, consumer, 2) == [(0, 0), (1, 0)]
    consumer.close()


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


ODD: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
    (None, None, []),
    (b"", b"", [("null", None), ("empty", b""), ("twice", b"1"), ("twice", b"2")]),
    (b"\xff\x00", b"\x00\xff", [("not UTF-8", b"\xff\xfe"), ("", b"no name")]),
]


def test_keys_values_and_headers_come_as_they_were_sent_nulls_included(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    producer = cluster.producer()
    for key, value, headers in ODD:
        producer.produce(topic, value, key, headers=headers)
        producer.produce(topic, value, key, headers=headers, partition=0, timestamp=1234)
    assert producer.flush(30) == 0
    consumer = Member(cluster, group, topic).consumer
    messages: list[Message] = []
    deadline = cluster.monotonic() + FOREVER_S
    while len(messages) < 6 and cluster.monotonic() < deadline:
        messages += consumer.consume(6, 0.1)
    consumer.close()
    found = [(message.key(), message.value(), message.headers() or []) for message in messages]
    assert found == [record for record in ODD for _ in range(2)]
    assert {message.timestamp()[0] for message in messages} == {1}
    times = [message.timestamp()[1] for message in messages]
    assert times[1::2] == [1234] * 3
    assert min(times[::2]) > 1_000_000_000_000


def test_equal_keys_share_a_partition_and_keep_their_order(cluster: Cluster, group: str) -> None:
    topic = cluster.topic(5)
    producer = cluster.producer()
    for number in range(60):
        producer.produce(topic, b"%d" % number, b"key %d" % (number % 6))
    producer.flush(30)
    consumer = Member(cluster, group, topic).consumer
    messages: list[Message] = []
    while len(messages) < 60:
        messages += consumer.consume(60, 0.1)
    consumer.close()
    for key in {message.key() for message in messages}:
        of_key = [message for message in messages if message.key() == key]
        assert len({message.partition() for message in of_key}) == 1
        values = [int(message.value() or b"") for message in of_key]
        assert values == sorted(values)


def test_flush_returns_when_each_record_has_had_its_report_and_its_offset(cluster: Cluster) -> None:
    topic = cluster.topic()
    producer = cluster.producer()
    reports: list[tuple[KafkaError | None, Any]] = []
    for value in (b"0", b"1"):
        producer.produce(topic, value, on_delivery=lambda error, message: reports.append((error, message.offset())))
    assert reports == []
    assert producer.flush(30) == 0
    assert reports == [(None, 0), (None, 1)]


def test_a_full_queue_refuses_a_record_until_a_poll_has_made_room(cluster: Cluster) -> None:
    topic = cluster.topic()
    producer = cluster.producer(queue_size=2)
    producer.produce(topic, b"0")
    producer.produce(topic, b"1")
    with pytest.raises(BufferError):
        producer.produce(topic, b"2")
    deadline = cluster.monotonic() + FOREVER_S
    while cluster.monotonic() < deadline:
        producer.poll(0.1)
        try:
            producer.produce(topic, b"2")
        except BufferError:
            continue
        break
    assert producer.flush(30) == 0


def test_a_record_for_no_partition_and_one_that_is_too_large_are_refused_at_once(cluster: Cluster) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0")
    producer = cluster.producer()
    producer.produce(topic, b"0")
    producer.flush(30)  # it knows the topic now
    for value, partition, code in (
        (b"x", 7, KafkaError._UNKNOWN_PARTITION),
        (b"x" * (16 * 1024**2 + 1), 0, KafkaError.MSG_SIZE_TOO_LARGE),
    ):
        with pytest.raises(KafkaException) as caught:
            producer.produce(topic, value, partition=partition)
        assert caught.value.args[0].code() == code


def with_transactions(cluster: Cluster) -> str:
    """0 committed, 1 its marker, 2 aborted, 3 its marker, 4 committed, 5 its marker, 6 open."""
    topic = cluster.topic()
    producer = cluster.transactional_producer()
    producer.init_transactions()
    for end in (producer.commit_transaction, producer.abort_transaction, producer.commit_transaction, None):
        producer.begin_transaction()
        producer.produce(topic, b"x")
        assert producer.flush(30) == 0
        if end is not None:
            end()
    return topic


@pytest.mark.parametrize(
    ("isolation", "offsets", "end"), [("read_committed", [0, 4], 6), ("read_uncommitted", [0, 2, 4, 6], 7)]
)
def test_markers_are_gaps_and_only_what_is_committed_shows(
    cluster: Cluster, group: str, isolation: str, offsets: list[int], end: int
) -> None:
    """A consumer with «enable.partition.eof» is given the end, once, as an error with the offset to go on from."""
    topic = with_transactions(cluster)
    consumer = cluster.consumer(group, **{"isolation.level": isolation, "enable.partition.eof": True})
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), 30) == (0, end)
    asked = [TopicPartition(topic, 0, moment) for moment in (-2, 0, -1)]
    assert [consumer.offsets_for_times([one], 30)[0].offset for one in asked] == [0, 0, end]
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[Message] = []
    deadline = cluster.monotonic() + FOREVER_S
    while not any(message.error() for message in found):
        assert cluster.monotonic() < deadline
        found += consumer.consume(10, 0.1)
    *records, last = found
    assert [message.offset() for message in records] == offsets
    error = last.error()
    assert error is not None
    assert (error.code(), last.offset()) == (KafkaError._PARTITION_EOF, end)
    assert consumer.poll(QUIET_S) is None
    consumer.unassign()
    assert consumer.assignment() == []
    consumer.close()


def test_a_group_sees_only_what_is_committed_unless_it_asks_for_more(cluster: Cluster, group: str) -> None:
    topic = with_transactions(cluster)
    consumer = Member(cluster, group, topic).consumer
    assert read(cluster, consumer, 2) == [(0, 0), (0, 4)]
    assert stays_silent(cluster, consumer)
    consumer.close()


def test_the_offset_for_a_time_is_that_of_the_first_record_as_young(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    producer = cluster.producer()
    for moment in (1000, 2000, 3000):
        producer.produce(topic, b"x", timestamp=moment)
    producer.flush(30)
    consumer = cluster.consumer(group)
    answers = [
        consumer.offsets_for_times([TopicPartition(topic, 0, moment)], 30)[0].offset for moment in (1, 2000, 2001, 3001)
    ]
    assert answers[:3] == [0, 1, 2]
    assert answers[3] < 0
    consumer.close()


def test_an_assigned_partition_without_an_offset_goes_on_from_the_groups_own(cluster: Cluster, group: str) -> None:
    topic = cluster.topic()
    put(cluster, topic, b"0", b"1")
    consumer = cluster.consumer(group)
    commit(consumer, topic, 0, 1)
    consumer.assign(places(topic, 0))
    assert read(cluster, consumer, 1) == [(0, 1)]
    consumer.close()


def test_a_topic_is_listed_with_its_partitions_and_a_missing_one_with_an_error(cluster: Cluster, group: str) -> None:
    topic = cluster.topic(partitions=3)
    consumer = cluster.consumer(group)

    def numbers_of(name: str) -> list[int]:
        return sorted(consumer.list_topics(name, timeout=30).topics[name].partitions)

    cluster.wait_until(lambda: numbers_of(topic) == [0, 1, 2], FOREVER_S)
    missing = f"{topic}-missing"
    error = consumer.list_topics(missing, timeout=30).topics[missing].error
    assert error is not None
    assert error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
    assert topic in consumer.list_topics(timeout=30).topics
    consumer.close()
