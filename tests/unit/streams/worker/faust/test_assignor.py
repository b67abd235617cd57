"""The members of a group agree, and what its leader could not assign is reported until the next assignment."""

import uuid
from collections import Counter
from typing import Any, Final, cast

import pytest
from aiokafka.coordinator.protocol import (  # type: ignore[import-untyped] # it has no stubs
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from faust.assignor.partition_assignor import PartitionAssignor

from streams.worker.faust.app import build_app
from streams.worker.faust.assignor import EvenAssignor
from streams.worker.options import WorkerOptions

TOPICS = ("media.uploaded", "thumbnail.due")
APP: Final = build_app(WorkerOptions("127.0.0.1:9", "group", concurrency=2))


class Cluster:
    """A broker's answer: the partitions of the topics that it knows."""

    def __init__(self, **known: int) -> None:
        self._known = {name.replace("_", "."): count for name, count in known.items()}

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self._known[topic])) if topic in self._known else None


def an_assignor() -> tuple[EvenAssignor, dict[str, Any]]:
    app = build_app(WorkerOptions("127.0.0.1:9", "group", concurrency=2))
    assignor = app.assignor
    assert isinstance(assignor, EvenAssignor)
    return assignor, {"me": assignor.metadata(set(TOPICS))}


def take(assignor: PartitionAssignor, share: Any) -> None:
    assignor.on_assignment(ConsumerProtocolMemberAssignment.decode(share.encode()))


def test_topics_that_the_broker_did_not_know_are_told_until_the_next_assignment() -> None:
    assignor, members = an_assignor()
    shares = assignor.assign(Cluster(thumbnail_due=2), members)
    take(assignor, shares["me"])
    assert assignor.left_out == {"media.uploaded"}
    shares = assignor.assign(Cluster(media_uploaded=2, thumbnail_due=2), members)
    take(assignor, shares["me"])
    assert assignor.left_out == set()


def test_what_was_left_out_is_forgotten_once_another_member_leads() -> None:
    assignor, members = an_assignor()
    shares = assignor.assign(Cluster(), members)
    take(assignor, shares["me"])
    assert assignor.left_out == set(TOPICS)
    take(assignor, shares["me"])
    assert assignor.left_out == set()


class Members:
    """A group's members with real assignors, which exchange what Kafka would carry between them."""

    def __init__(self, *kinds: type[PartitionAssignor]) -> None:
        self.of: dict[str, PartitionAssignor] = {}
        for kind in kinds:
            self.join(kind)

    def join(self, kind: type[PartitionAssignor]) -> None:
        self.of[f"member-{uuid.uuid4()}"] = kind(APP, replicas=APP.conf.table_standby_replicas)

    def rebalance(self, leader: PartitionAssignor, cluster: Cluster) -> list[int]:
        """Return the numbers of uploads' partitions that the members have, in order."""
        members: dict[str, Any] = {}
        for member, assignor in self.of.items():
            sent = assignor.metadata(set(TOPICS)).encode()
            members[member] = ConsumerProtocolMemberMetadata.decode(sent)
        shares = leader.assign(cast(Any, cluster), members)
        for member, assignor in self.of.items():
            take(assignor, shares[member])
        owners = Counter(tp for assignor in self.of.values() for tp in assignor.assigned_actives())
        assert set(owners) == {(topic, n) for topic in TOPICS for n in cluster.partitions_for_topic(topic) or ()}
        assert set(owners.values()) == {1}
        return sorted(sum(tp.topic == TOPICS[0] for tp in one.assigned_actives()) for one in self.of.values())


def test_workers_of_an_older_release_and_these_agree_during_an_upgrade_and_the_last_one_to_lead_is_even() -> None:
    """Until 0.1, workers have Faust's own. Kafka wants one name in a group; whoever leads divides for all."""
    assert (EvenAssignor(APP).name, EvenAssignor(APP).version) == (PartitionAssignor(APP).name, 4)
    cluster = Cluster(media_uploaded=12, thumbnail_due=3)
    group = Members(*[PartitionAssignor] * 8)
    old = list(group.of)
    group.rebalance(group.of[old[0]], cluster)
    for member in old:
        del group.of[member]
        group.join(EvenAssignor)
        leader = next(iter(group.of.values()))
        counts = group.rebalance(leader, cluster)
        assert isinstance(leader, EvenAssignor) == (member == old[-1])
    assert counts == [1, 1, 1, 1, 2, 2, 2, 2]
    group.join(PartitionAssignor)  # a rollback begins
    assert group.rebalance(leader, cluster) == [1, 1, 1, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(("partitions", "members"), [(12, 8), (12, 5), (24, 7)])
def test_no_restart_leaves_a_worker_without_its_share(partitions: int, members: int) -> None:
    cluster = Cluster(media_uploaded=partitions, thumbnail_due=3)
    group = Members(*[EvenAssignor] * members)
    for _ in range(3 * members):
        counts = group.rebalance(next(iter(group.of.values())), cluster)
        assert counts[-1] - counts[0] <= 1
        del group.of[next(iter(group.of))]
        group.join(EvenAssignor)
