"""What a group's leader could not assign is reported until the group's next assignment."""

from typing import Any

from aiokafka.coordinator.protocol import (  # type: ignore[import-untyped] # it has no stubs
    ConsumerProtocolMemberAssignment,
)

from streams.worker.faust.app import build_app
from streams.worker.faust.assignor import TrackingAssignor
from streams.worker.options import WorkerOptions

TOPICS = ("media.uploaded", "thumbnail.due")


class Cluster:
    """A broker's answer: the partitions of the topics that it knows."""

    def __init__(self, **known: int) -> None:
        self._known = {name.replace("_", "."): count for name, count in known.items()}

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self._known[topic])) if topic in self._known else None


def an_assignor() -> tuple[TrackingAssignor, dict[str, Any]]:
    app = build_app(WorkerOptions("127.0.0.1:9", "group", concurrency=2))
    assignor = app.assignor
    assert isinstance(assignor, TrackingAssignor)
    return assignor, {"me": assignor.metadata(set(TOPICS))}


def take(assignor: TrackingAssignor, share: Any) -> None:
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
