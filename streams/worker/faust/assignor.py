"""Faust's partition assignor with a division of our own, which also tracks what it had to leave out."""

from collections import defaultdict

from aiokafka.cluster import ClusterMetadata  # type: ignore[import-untyped] # it has no stubs
from aiokafka.coordinator.protocol import (  # type: ignore[import-untyped] # it has no stubs
    ConsumerProtocolMemberMetadata,
)
from faust.assignor.client_assignment import ClientAssignment
from faust.assignor.partition_assignor import MemberAssignmentMapping, MemberMetadataMapping, PartitionAssignor

from streams.worker.faust.balance import Copartitioned, divide


class EvenAssignor(PartitionAssignor):
    """Only the leader of a group is asked to assign.

    A broker that has just started may not know all topics yet. None of their partitions are assigned to anybody then,
    and the group may sit idle for good: aiokafka asks for a new assignment only when its view of the topics changes.

    Faust's own division fills members up to the rounded-up mean, one after another: of 12 partitions and 8 workers one
    could get none. Its name, version and messages stay: Kafka refuses a member of another name than the group's, and
    during an upgrade the leader may be a worker of an older release, or this one.
    """

    left_out: frozenset[str] = frozenset()
    """Topics without partitions in the broker's answer, if the group's present assignment is ours."""
    _has_just_assigned = False

    def assign(self, cluster: ClusterMetadata, member_metadata: MemberMetadataMapping) -> MemberAssignmentMapping:
        """Return the share of each member, and track the topics of which no partition is known."""
        topics = {topic for member in member_metadata.values() for topic in member.subscription}
        self.left_out = frozenset(topic for topic in topics if not cluster.partitions_for_topic(topic))
        self._has_just_assigned = True
        return super().assign(cluster, member_metadata)

    def on_assignment(self, assignment: ConsumerProtocolMemberMetadata) -> None:
        """Take the share, as Faust does; every member gets its own, the leader after it has assigned."""
        if not self._has_just_assigned:
            self.left_out = frozenset()
        self._has_just_assigned = False
        super().on_assignment(assignment)

    def _perform_assignment(
        self, cluster: ClusterMetadata, member_metadata: MemberMetadataMapping
    ) -> MemberAssignmentMapping:
        """Divide without standbys: they are for tables, and we have none."""
        clients = {member: self._get_client_metadata(metadata) for member, metadata in member_metadata.items()}
        self._update_member_urls(clients)
        groups = _copartitioned(cluster, member_metadata)
        held = {member: client.assignment.actives for member, client in clients.items()}
        shares = divide(groups, held)
        assignments = {
            member: ClientAssignment(actives=shares.get(member, {}), standbys={}) for member in member_metadata
        }
        group_ids = {topic: number for number, group in enumerate(groups) for topic in group.topics}
        return self._protocol_assignments(
            assignments, {}, self._get_external_topic_distribution(assignments), group_ids
        )


def _copartitioned(cluster: ClusterMetadata, member_metadata: MemberMetadataMapping) -> list[Copartitioned]:
    """Return the topics of which partitions are known, by their number and subscribers."""
    subscribers: defaultdict[str, set[str]] = defaultdict(set)
    for member, metadata in member_metadata.items():
        for topic in metadata.subscription:
            subscribers[topic].add(member)
    alike: defaultdict[tuple[int, frozenset[str]], set[str]] = defaultdict(set)
    for topic, members in subscribers.items():
        partitions = cluster.partitions_for_topic(topic)
        if partitions:
            alike[len(partitions), frozenset(members)].add(topic)
    groups = [Copartitioned(frozenset(topics), *key) for key, topics in alike.items()]
    return sorted(groups, key=lambda group: sorted(group.topics))
