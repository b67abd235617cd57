"""How full our topics are, and how far our consumer groups have come: by a handful of requests, joining no group."""

from collections.abc import Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any, Final, TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from confluent_kafka.admin._metadata import ClusterMetadata

from schemas.topics import (
    ALL_TOPICS,
    MEDIA_UPLOADED,
    THUMBNAIL_CLEANUP,
    THUMBNAIL_DUE,
    THUMBNAIL_FAILED,
    THUMBNAIL_READY,
    THUMBNAIL_RETRIES,
    Topic,
    prefixed,
)
from service.kafka_clients import consumer_config
from service.kafka_connection import KafkaUnreachableError, connect
from service.settings import Settings
from service.status.oldest_records import read_oldest
from streams.kafka_io import Place

ASK_TIMEOUT_S: Final = 10.0
SETTLE_S: Final = 5.0
"""Topics that were just made, and partitions that move, have no leader for a moment."""
GROUP_SUFFIXES: Final[Mapping[str, tuple[Topic, ...]]] = {
    "": (MEDIA_UPLOADED, THUMBNAIL_DUE, THUMBNAIL_CLEANUP),
    "-persist": (THUMBNAIL_READY, THUMBNAIL_FAILED),
    "-retry": THUMBNAIL_RETRIES,
}
"""What each role's consumer group reads; a group is called WORKER_GROUP and this suffix."""
T = TypeVar("T")
_PASSING: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)


@dataclass(frozen=True)
class GroupState:
    """How far one of our groups is behind in a topic.

    `lag_records` may count a few places without a record, such as the ends of transactions.
    `oldest_unprocessed_at` is the timestamp of the oldest record that the group has not committed; None without any.
    """

    group: str
    lag_records: int
    oldest_unprocessed_at: datetime | None


@dataclass(frozen=True)
class TopicState:
    """One topic as it is now. `partitions` is 0 when it does not exist; `groups` are those of ours that read it."""

    name: str
    partitions: int
    records: int
    groups: tuple[GroupState, ...]


class _RefusedError(Exception):
    """What Kafka says instead of an answer."""

    def __init__(self, error: KafkaError) -> None:
        super().__init__(error.str())
        self.code: Final = error.code()


def read_topic_states(settings: Settings) -> tuple[TopicState, ...]:
    """Every topic of ours, in the order of schemas.topics.ALL_TOPICS.

    Takes some 50 ms, and 10 to 25 s at most when brokers are silent. Raises KafkaUnreachableError with a sentence.
    """
    admin, cluster = connect(settings.kafka)
    give_up_at = monotonic() + SETTLE_S
    while True:
        try:
            return _read(settings, admin, cluster)
        except _RefusedError as exc:
            if exc.code not in _PASSING or monotonic() > give_up_at:
                raise KafkaUnreachableError(f"Kafka does not tell how full its topics are: {exc}.") from exc
        sleep(0.1)


def _read(settings: Settings, admin: AdminClient, cluster: ClusterMetadata) -> tuple[TopicState, ...]:
    names = {topic: prefixed(topic, settings.kafka.kafka_topic_prefix) for topic in ALL_TOPICS}
    places = {topic: _places(cluster, name) for topic, name in names.items()}
    lows, highs = _offsets(admin, [place for found in places.values() for place in found])
    starts = {
        group: _starts(admin, group, [place for topic in topics for place in places[topic]], lows)
        for group, topics in _groups(settings).items()
    }
    behind = {
        place: offset for found in starts.values() for place, offset in found.items() if offset < highs.get(place, 0)
    }
    oldest = read_oldest(consumer_config(settings.kafka, f"{settings.worker.worker_group}-status"), behind)
    return tuple(
        TopicState(
            name,
            len(places[topic]),
            sum(highs[place] - lows[place] for place in places[topic]),
            tuple(
                _group_state(group, {place: starts[group][place] for place in places[topic]}, highs, oldest)
                for group, topics in _groups(settings).items()
                if topic in topics and places[topic]
            ),
        )
        for topic, name in names.items()
    )


def _groups(settings: Settings) -> dict[str, tuple[Topic, ...]]:
    return {f"{settings.worker.worker_group}{suffix}": topics for suffix, topics in GROUP_SUFFIXES.items()}


def _places(cluster: ClusterMetadata, name: str) -> list[Place]:
    found = cluster.topics.get(name)
    return [] if found is None else [(name, number) for number in sorted(found.partitions)]


def _offsets(admin: AdminClient, places: list[Place]) -> tuple[dict[Place, int], dict[Place, int]]:
    """Where each partition begins, and where what is committed of it ends: two requests a broker. _RefusedError."""
    if not places:
        return {}, {}
    asked = [
        admin.list_offsets(
            {TopicPartition(*place): spec for place in places},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=ASK_TIMEOUT_S,
        )
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
    ]
    first, end = (
        {(place.topic, place.partition): found.offset for place, found in _answers(futures).items()}
        for futures in asked
    )
    return first, end


def _starts(admin: AdminClient, group: str, places: list[Place], lows: Mapping[Place, int]) -> dict[Place, int]:
    """The offset from which the group has still to work, in each partition. _RefusedError."""
    if not places:
        return {}
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in places])
    answer = _answers(admin.list_consumer_group_offsets([wanted], request_timeout=ASK_TIMEOUT_S))[group]
    committed = {(found.topic, found.partition): found.offset for found in answer.topic_partitions}
    # Nothing committed is a negative number: the roles begin at the first record. What was deleted is nobody's work.
    return {place: max(committed.get(place, 0), lows[place]) for place in places}


def _answers(futures: Mapping[T, Future[Any]]) -> dict[T, Any]:
    """Every answer. Raises _RefusedError for the first that is none, when all have come.

    The futures' own exceptions are not raised: each would hold on to the frames here, and through them to the client,
    and a client that Python's collector ends in one of the client's own threads waits for itself for ever.
    """
    wait(futures.values())
    for future in futures.values():
        refusal = future.exception()
        if refusal is not None:
            raise _RefusedError(refusal.args[0])
    return {key: future.result() for key, future in futures.items()}


def _group_state(
    group: str, starts: Mapping[Place, int], highs: Mapping[Place, int], oldest: Mapping[Place, int]
) -> GroupState:
    # Where there is a distance and yet no record, only the end of a transaction is left.
    lag = sum(highs[place] - start for place, start in starts.items() if place in oldest)
    first_ms = min((oldest[place] for place in starts if place in oldest), default=None)
    return GroupState(group, lag, None if first_ms is None else datetime.fromtimestamp(first_ms / 1000, UTC))
