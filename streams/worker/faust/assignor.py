"""Faust's partition assignor, which also tracks what it had to leave out."""

from aiokafka.cluster import ClusterMetadata  # type: ignore[import-untyped] # it has no stubs
from aiokafka.coordinator.protocol import (  # type: ignore[import-untyped] # it has no stubs
    ConsumerProtocolMemberMetadata,
)
from faust.assignor.partition_assignor import MemberAssignmentMapping, MemberMetadataMapping, PartitionAssignor


class TrackingAssignor(PartitionAssignor):
    """Only the leader of a group is asked to assign.

    A broker that has just started may not know all topics yet. Faust then assigns none of their partitions to anybody,
    and the group may sit idle for good: aiokafka asks for a new assignment only when its view of the topics changes.
    """

    left_out: frozenset[str] = frozenset()
    """Topics without partitions in the broker's answer, if the group's present assignment is ours."""
    _has_just_assigned = False

    def assign(self, cluster: ClusterMetadata, member_metadata: MemberMetadataMapping) -> MemberAssignmentMapping:
        """Assign as Faust does, and track the topics of which no partition is known."""
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
