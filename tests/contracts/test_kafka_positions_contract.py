"""The in-memory Kafka and Apache Kafka keep the same promises: pauses, seeks, and where a partition goes on."""

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.kafka.ports import KafkaConsumer
from tests.contracts.kafka_clusters import Cluster
from tests.contracts.kafka_members import Member, numbers, places, poll_until, put, read, share, stays_silent


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
