"""Which of our topics take no records, from what brokers say of their partitions."""

from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka.admin._metadata import TopicMetadata

from service.kafka.topic_finder import unwritable


def topic(*partitions: tuple[int, int, int]) -> TopicMetadata:
    """Each as leader, replicas, replicas in sync."""
    made = {
        number: SimpleNamespace(leader=leader, replicas=list(range(replicas)), isrs=list(range(in_sync)))
        for number, (leader, replicas, in_sync) in enumerate(partitions)
    }
    return cast(TopicMetadata, SimpleNamespace(partitions=made))


def limits(names: Collection[str]) -> Mapping[str, int]:
    return dict.fromkeys(names, 2)


@pytest.mark.parametrize(
    "partition", [(1, 3, 3), (1, 3, 2), (1, 1, 1)], ids=["all in sync", "as many as it takes", "one replica"]
)
def test_a_topic_that_takes_records_is_no_problem(partition: tuple[int, int, int]) -> None:
    assert unwritable({"a": topic((1, 3, 3), partition)}, limits) is None


def test_one_partition_without_a_leader_is_named_with_its_topic() -> None:
    problem = unwritable({"a": topic((1, 3, 3), (-1, 3, 1)), "b": topic((1, 3, 3))}, limits)
    assert problem == "Partitions of a have no leader: bring the brokers back that hold their replicas."


def test_too_few_replicas_in_sync_are_a_sentence_with_the_first_topics() -> None:
    problem = unwritable({name: topic((1, 3, 1)) for name in "abcde"}, limits)
    assert problem == (
        "Fewer replicas are in sync than min.insync.replicas asks for, of a, b, c and 2 more topics:"
        " bring the other brokers back."
    )


def test_limits_are_asked_for_only_where_a_replica_is_behind() -> None:
    asked: list[str] = []

    def ask(names: Collection[str]) -> Mapping[str, int]:
        asked.extend(names)
        return {}

    assert unwritable({"a": topic((1, 3, 3)), "b": topic((1, 3, 1))}, ask) is None, "a limit that is not known is 1"
    assert asked == ["b"]
