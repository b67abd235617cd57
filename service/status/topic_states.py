"""How full our topics are, and how far our consumer groups have come: by a handful of requests, joining no group."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, sleep
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException
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
)
from service.kafka.clients import consumer_config
from service.kafka.connection import KafkaUnreachableError, connect
from service.settings import Settings
from service.status.oldest_records import read_oldest
from streams.kafka.client import Place
from streams.kafka.group_offsets import committed_of, ends_of, starts_of
from streams.kafka.records import InboundRecord

ASK_TIMEOUT_S: Final = 10.0
SETTLE_S: Final = 5.0
"""Topics that were just made, and partitions that move, have no leader for a moment."""
GROUP_SUFFIXES: Final[Mapping[str, tuple[Topic, ...]]] = {
    "": (MEDIA_UPLOADED, THUMBNAIL_DUE, THUMBNAIL_CLEANUP),
    "-persist": (THUMBNAIL_READY, THUMBNAIL_FAILED),
    "-retry": THUMBNAIL_RETRIES,
}
"""What each role's consumer group reads; a group is called WORKER_GROUP and this suffix."""
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


@dataclass(frozen=True)
class Topics:
    """Every topic, and of each partition that a group of ours is behind in, the first record that it has not committed."""

    states: tuple[TopicState, ...]
    heads: Mapping[Place, InboundRecord]


def read_topic_states(settings: Settings) -> tuple[TopicState, ...]:
    """Every topic of ours, in the order of schemas.topics.ALL_TOPICS.

    Takes some 50 ms, and 10 to 25 s at most when brokers are silent. Raises KafkaUnreachableError with a sentence.
    """
    return read_topics(settings).states


def read_topics(settings: Settings) -> Topics:
    """As read_topic_states, with the records themselves that are next."""
    _, cluster = connect(settings.kafka)
    give_up_at = monotonic() + SETTLE_S
    while True:
        try:
            return _read(settings, cluster)
        except KafkaException as exc:
            error: KafkaError = exc.args[0]
            if error.code() not in _PASSING or monotonic() > give_up_at:
                raise KafkaUnreachableError(f"Kafka does not tell how full its topics are: {error.str()}.") from exc
        sleep(0.1)


def _read(settings: Settings, cluster: ClusterMetadata) -> Topics:
    names = {topic: settings.kafka.topics.name_of(topic) for topic in ALL_TOPICS}
    places = {topic: _places(cluster, name) for topic, name in names.items()}
    lows, highs = _ends(settings, [place for found in places.values() for place in found])
    starts = {
        group: _starts(settings, group, [place for topic in topics for place in places[topic]], lows)
        for group, topics in _groups(settings).items()
    }
    behind = {
        place: offset for found in starts.values() for place, offset in found.items() if offset < highs.get(place, 0)
    }
    heads = read_oldest(consumer_config(settings.kafka, f"{settings.worker.worker_group}-status"), behind)
    states = tuple(
        TopicState(
            name,
            len(places[topic]),
            sum(highs[place] - lows[place] for place in places[topic]),
            tuple(
                _group_state(group, {place: starts[group][place] for place in places[topic]}, highs, heads)
                for group, topics in _groups(settings).items()
                if topic in topics and places[topic]
            ),
        )
        for topic, name in names.items()
    )
    return Topics(states, heads)


def _groups(settings: Settings) -> dict[str, tuple[Topic, ...]]:
    return {f"{settings.worker.worker_group}{suffix}": topics for suffix, topics in GROUP_SUFFIXES.items()}


def _places(cluster: ClusterMetadata, name: str) -> list[Place]:
    found = cluster.topics.get(name)
    return [] if found is None else [(name, number) for number in sorted(found.partitions)]


def _ends(settings: Settings, places: list[Place]) -> tuple[dict[Place, int], dict[Place, int]]:
    """Where each partition begins, and where what is committed of it ends: two requests a broker. KafkaException."""
    if not places:
        return {}, {}
    with _asking(settings, f"{settings.worker.worker_group}-status") as consumer:
        return starts_of(consumer, places, ASK_TIMEOUT_S), ends_of(consumer, places, ASK_TIMEOUT_S)


def _starts(settings: Settings, group: str, places: list[Place], lows: Mapping[Place, int]) -> dict[Place, int]:
    """The offset from which the group has still to work, in each partition. KafkaException."""
    if not places:
        return {}
    with _asking(settings, group) as consumer:
        committed = committed_of(consumer, places, ASK_TIMEOUT_S)
    # Without a commit the roles begin at the first record. What was deleted is nobody's work.
    return {place: max(committed.get(place, 0), lows[place]) for place in places}


@contextmanager
def _asking(settings: Settings, group: str) -> Iterator[Consumer]:
    """A consumer that asks for `group`, and joins none."""
    quiet = {"log_level": 0, "error_cb": lambda _error: None}
    consumer = Consumer(consumer_config(settings.kafka, group) | quiet)
    try:
        yield consumer
    finally:
        consumer.close()


def _group_state(
    group: str, starts: Mapping[Place, int], highs: Mapping[Place, int], heads: Mapping[Place, InboundRecord]
) -> GroupState:
    # Where there is a distance and yet no record, only the end of a transaction is left.
    lag = sum(highs[place] - start for place, start in starts.items() if place in heads)
    oldest_at = min((heads[place].timestamp for place in starts if place in heads), default=None)
    return GroupState(group, lag, oldest_at)
