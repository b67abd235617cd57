"""How full our topics are, and how far our consumer groups have come: by a handful of requests, joining no group."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from schemas.topics import (
    ALL_TOPICS,
    MEDIA_NOTIFICATIONS,
    MEDIA_UPLOADED,
    THUMBNAIL_CLEANUP,
    THUMBNAIL_CLEANUP_WAITING,
    THUMBNAIL_DELETED,
    THUMBNAIL_DUE,
    THUMBNAIL_FAILED,
    THUMBNAIL_READY,
    THUMBNAIL_RETRIES,
    Topic,
)
from service.kafka.clients import consumers_of
from service.kafka.connection import KafkaUnreachableError, connect
from service.observability.removed_records import removed
from service.settings import Settings
from streams.kafka.lag import GroupLag, PartitionLag
from streams.kafka.ports import TopicPartition
from streams.kafka.reader import COMMITTED_ONLY, Extent, PartitionReader, TopicReadError
from streams.kafka.records import InboundRecord

GROUP_SUFFIXES: Final[Mapping[str, tuple[Topic, ...]]] = {
    "": (MEDIA_UPLOADED, THUMBNAIL_DUE, THUMBNAIL_CLEANUP),
    "-persist": (THUMBNAIL_READY, THUMBNAIL_FAILED, THUMBNAIL_DELETED),
    "-retry": (*THUMBNAIL_RETRIES, THUMBNAIL_CLEANUP_WAITING),
}
"""What each role's consumer group reads; a group is called WORKER_GROUP and this suffix."""
INGEST_SUFFIX: Final = "-ingest"
"""Of the group that reads notifications, where their topic is named."""


@dataclass(frozen=True)
class GroupBacklog:
    """How far one of our groups is behind in a topic; see PartitionLag.

    `oldest_unprocessed_at` is the timestamp of the oldest record that the group has not committed; None without any.
    `removed_unread` counts the records, at most, that were removed behind the group's offsets: it will never read them.
    """

    group: str
    lag_records: int
    oldest_unprocessed_at: datetime | None
    removed_unread: int = 0


@dataclass(frozen=True)
class TopicBacklog:
    """One topic as it is now. `partitions` is 0 when it does not exist; `groups` are the pipeline's groups that read it."""

    name: str
    partitions: int
    records: int
    groups: tuple[GroupBacklog, ...]


@dataclass(frozen=True)
class TopicBacklogs:
    """Every topic and, for each partition with lag of a pipeline group, the first record that is not committed."""

    states: tuple[TopicBacklog, ...]
    heads: Mapping[TopicPartition, InboundRecord]


def read_topics(settings: Settings) -> TopicBacklogs:
    """Return every topic of ours, in the order of schemas.topics.ALL_TOPICS; then that of notifications, where it is named.

    Takes some 50 ms, 3 s where nothing listens, and 10 to 30 s at most when brokers are silent.
    Raises KafkaUnreachableError with a sentence.
    """
    topics = (*ALL_TOPICS, MEDIA_NOTIFICATIONS) if settings.kafka.kafka_notifications_topic is not None else ALL_TOPICS
    names = {topic: settings.kafka.topics.name_of(topic) for topic in topics}
    _, cluster = connect(settings.kafka, waits_for_start=False)
    found = {topic: cluster.topics.get(name) for topic, name in names.items()}
    partitions = {
        topic: [] if state is None else [(names[topic], number) for number in sorted(state.partitions)]
        for topic, state in found.items()
    }
    try:
        return _read(settings, names, partitions)
    except TopicReadError as exc:
        raise KafkaUnreachableError(f"Kafka does not say how full its topics are. {exc}") from exc


def _read(
    settings: Settings, names: Mapping[Topic, str], partitions: Mapping[Topic, list[TopicPartition]]
) -> TopicBacklogs:
    make_consumer = consumers_of(settings.kafka, f"{settings.worker.worker_group}-status")
    with closing(PartitionReader(make_consumer(COMMITTED_ONLY))) as reader:
        extents = reader.extents([where for found in partitions.values() for where in found])
    lags = {
        group: _lag(settings, group, [where for topic in topics for where in partitions[topic]])
        for group, topics in _groups(settings).items()
    }
    states = tuple(
        TopicBacklog(
            name,
            len(partitions[topic]),
            sum(extents[where].count for where in partitions[topic]),
            tuple(
                _group_backlog(group, topic, [(lags[group][where], extents[where]) for where in partitions[topic]])
                for group, topics in _groups(settings).items()
                if topic in topics and partitions[topic]
            ),
        )
        for topic, name in names.items()
    )
    heads = {where: lag.head for found in lags.values() for where, lag in found.items() if lag.head is not None}
    return TopicBacklogs(states, heads)


def retry_group(settings: Settings) -> str:
    """Return the consumer group of the retry role."""
    return f"{settings.worker.worker_group}-retry"


def _groups(settings: Settings) -> dict[str, tuple[Topic, ...]]:
    suffixes = dict(GROUP_SUFFIXES)
    if settings.kafka.kafka_notifications_topic is not None:
        suffixes[INGEST_SUFFIX] = (MEDIA_NOTIFICATIONS,)
    return {f"{settings.worker.worker_group}{suffix}": topics for suffix, topics in suffixes.items()}


def _lag(settings: Settings, group: str, partitions: list[TopicPartition]) -> dict[TopicPartition, PartitionLag]:
    """Return the group's lag. Raises TopicReadError, also when the age of a lag cannot be read."""
    with closing(GroupLag(consumers_of(settings.kafka, group))) as reader:
        lags = reader.read(partitions)
    silent = sorted({topic for (topic, _), lag in lags.items() if lag.records and lag.head is None})
    if silent:
        raise TopicReadError(f"No record of {', '.join(silent)} comes: are the brokers up?")
    return lags


def _group_backlog(group: str, topic: Topic, found: list[tuple[PartitionLag, Extent]]) -> GroupBacklog:
    oldest_at = min((lag.head.timestamp for lag, _ in found if lag.head is not None), default=None)
    unread = sum(
        removed(lag.committed, extent.low, is_uploads=topic is MEDIA_UPLOADED)
        for lag, extent in found
        if lag.committed is not None
    )
    return GroupBacklog(group, sum(lag.records for lag, _ in found), oldest_at, unread)
