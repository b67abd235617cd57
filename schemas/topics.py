"""List every topic: name, size, retention, key, value, writers and readers."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
CARRIER_BYTES: Final = 16 * 1024**2
"""Record limit of the topics that carry records of other producers: their topic may allow more than Kafka's default."""
UPLOAD_BYTES: Final = 1_048_588
"""Largest batch of uploads: Kafka's own default, whatever the cluster's is. A broker compares whole batches, and librdkafka fills them
up to 1,000,000 bytes: with the limit of one event, a burst of small uploads of a client that nobody configured would be refused. An
event above MAX_EVENT_BYTES that still fits becomes a dead letter with event.too_large."""
UPLOAD_AHEAD_MS: Final = HOUR_MS
"""How far ahead of the broker's clock an upload's timestamp may be: Kafka 4's own default; before it there was no limit."""

RETRY_DELAYS_S: Final = (60.0, 120.0, 240.0)
"""Seconds that a record waits in each retry topic, unless RETRY_DELAYS_S is set: one retry topic for each."""
SEGMENT_MS: Final = DAY_MS
"""When the broker closes a segment of any of our topics. It deletes whole segments, as their newest record is old enough: with
Kafka's own 7 days a record of a topic that is kept for 7 days could live for 14. It compacts closed segments alone, too. A day
makes at most 91 segments a partition (`thumbnail.dlq.parked`)."""
SAFE_REPLICAS: Final = 3
"""With three replicas one broker may be down although an acknowledged record must be on two."""
MIN_INSYNC_REPLICAS: Final = 2

KEY: Final = "media key, UTF-8: video:42 or ar_content:9"


@dataclass(frozen=True)
class Topic:
    """One topic as it must be in the cluster.

    `retention_ms` counts from the record's timestamp; a compacted topic keeps the last record of each key, with -1.
    """

    name: str
    partitions: int
    retention_ms: int
    value: str
    written_by: str
    read_by: str
    purpose: str
    key: str = KEY
    max_message_bytes: int | None = None
    cleanup_policy: str = "delete"
    advised: tuple[tuple[str, str], ...] = ()

    @property
    def config(self) -> dict[str, str]:
        """Return the topic's settings in the cluster, without which a role does not start."""
        limit = {} if self.max_message_bytes is None else {"max.message.bytes": str(self.max_message_bytes)}
        return {"cleanup.policy": self.cleanup_policy, "retention.ms": str(self.retention_ms)} | limit

    def advised_config(self, replicas: int) -> dict[str, str]:
        """Return the settings that it should also have; roles start without them.

        With fewer than SAFE_REPLICAS, `min.insync.replicas` is left to the cluster: 2 of 2 would stop everything with one broker.
        """
        in_sync = {"min.insync.replicas": str(MIN_INSYNC_REPLICAS)} if replicas >= SAFE_REPLICAS else {}
        return {"segment.ms": str(SEGMENT_MS)} | in_sync | dict(self.advised)


MEDIA_UPLOADED: Final = Topic(
    "media.uploaded",
    6,
    7 * DAY_MS,
    "MediaUploaded",
    "upstream services",
    "worker",
    "Uploads that want thumbnails. A null value says that the media of the key was deleted.",
    advised=(("max.message.bytes", str(UPLOAD_BYTES)), ("message.timestamp.after.max.ms", str(UPLOAD_AHEAD_MS))),
)
THUMBNAIL_DUE: Final = Topic(
    "thumbnail.due",
    6,
    7 * DAY_MS,
    "MediaUploaded, or ThumbnailCleanup",
    "retry",
    "worker",
    "Uploads and cleanups whose wait is over, and dead letters that were replayed.",
    max_message_bytes=CARRIER_BYTES,
)
THUMBNAIL_RETRIES: Final = tuple(
    Topic(
        f"thumbnail.retry.{tier}",
        3,
        7 * DAY_MS,
        "the failed record, unchanged",
        "worker, retry",
        "retry",
        f"Records that failed and wait for the delay {tier} of RETRY_DELAYS_S. That records wait here is no lag.",
        max_message_bytes=CARRIER_BYTES,
    )
    for tier in range(1, len(RETRY_DELAYS_S) + 1)
)
THUMBNAIL_READY: Final = Topic(
    "thumbnail.ready",
    6,
    7 * DAY_MS,
    "ThumbnailReady",
    "worker",
    "persist, downstream services",
    "Thumbnails that are stored, and confirmed by the store.",
)
THUMBNAIL_FAILED: Final = Topic(
    "thumbnail.failed",
    3,
    7 * DAY_MS,
    "ThumbnailFailed, or MediaRejected",
    "worker",
    "persist, downstream services, producers",
    "Uploads that were given up: why, and what a person should do now. Records that could not be taken: all that is wrong with them.",
)
THUMBNAIL_STATE: Final = Topic(
    "thumbnail.state",
    MEDIA_UPLOADED.partitions,
    -1,
    "ThumbnailState",
    "persist, republish",
    "downstream services",
    "The present state of each media, as its row has it: the last record of a key. A null value says that the media is gone.",
    cleanup_policy="compact",
    advised=(("delete.retention.ms", str(7 * DAY_MS)), ("max.compaction.lag.ms", str(7 * DAY_MS))),
)
THUMBNAIL_DELETED: Final = Topic(
    "thumbnail.deleted",
    3,
    7 * DAY_MS,
    "ThumbnailDeleted",
    "worker",
    "persist",
    "Media that were deleted upstream, and whose rows say so. Between our own roles only.",
)
THUMBNAIL_CLEANUP: Final = Topic(
    "thumbnail.cleanup",
    3,
    7 * DAY_MS,
    "ThumbnailCleanup",
    "retry, persist, worker",
    "worker",
    "Thumbnails that no row shows any more, to be deleted. Between our own roles only.",
)
MAX_REPLACED_KEEP_S: Final = 5 * DAY_MS // 1000
"""The longest that a cleanup may wait: two days less than its topic keeps it."""
THUMBNAIL_CLEANUP_WAITING: Final = Topic(
    "thumbnail.cleanup.waiting",
    3,
    7 * DAY_MS,
    "ThumbnailCleanup",
    "persist, worker",
    "retry",
    "Cleanups that wait until REPLACED_KEEP_S is over, so that replaced and deleted thumbnails stay readable so long. That records"
    " wait here is no lag. Between our own roles only.",
)
THUMBNAIL_DLQ: Final = Topic(
    "thumbnail.dlq",
    3,
    30 * DAY_MS,
    "the original bytes of the record that failed",
    "worker",
    "people, dlq replay",
    "Records that were given up, as they came, with headers that explain them: `thumbnails dlq`.",
    max_message_bytes=CARRIER_BYTES,
)
THUMBNAIL_READY_DLQ: Final = Topic(
    "thumbnail.ready.dlq",
    1,
    30 * DAY_MS,
    "the original bytes of a result that could not be written",
    "persist",
    "people, dlq replay",
    "Results that could not be written to the database, as they came.",
    max_message_bytes=CARRIER_BYTES,
)
THUMBNAIL_PARKED: Final = Topic(
    "thumbnail.dlq.parked",
    1,
    90 * DAY_MS,
    "a dead letter that failed again after every replay, unchanged",
    "dlq replay, worker",
    "people, dlq replay",
    "Dead letters that failed again after every replay, and retries that somebody cancelled.",
    max_message_bytes=CARRIER_BYTES,
)
THUMBNAIL_REPLAYS: Final = Topic(
    "thumbnail.dlq.replays",
    1,
    -1,
    "what became of one dead letter or one waiting retry, JSON",
    "dlq replay, ack, discard, purge; retries cancel",
    "dlq list, stats, replay; status; retry",
    "Which dead letters were replayed, so that each is replayed once; which were acknowledged or discarded, and which retries"
    " cancelled, by whom and why.",
    key="position of the record, UTF-8: thumbnail.dlq/0/17",
    cleanup_policy="compact",
)

MEDIA_NOTIFICATIONS: Final = Topic(
    "media.notifications",
    3,
    7 * DAY_MS,
    "notifications of buckets, as S3, MinIO and others write them",
    "the storage's server",
    "ingest",
    "Objects that were stored and removed: `thumbnails ingest s3` makes uploads and deletions of them. Only where it is used.",
    key="the server's own",
    max_message_bytes=UPLOAD_BYTES,
)
"""Not one of ALL_TOPICS: it is there only where KAFKA_NOTIFICATIONS_TOPIC names it."""

ALL_TOPICS: Final = (
    MEDIA_UPLOADED,
    THUMBNAIL_DUE,
    *THUMBNAIL_RETRIES,
    THUMBNAIL_READY,
    THUMBNAIL_FAILED,
    THUMBNAIL_STATE,
    THUMBNAIL_DELETED,
    THUMBNAIL_CLEANUP,
    THUMBNAIL_CLEANUP_WAITING,
    THUMBNAIL_DLQ,
    THUMBNAIL_READY_DLQ,
    THUMBNAIL_PARKED,
    THUMBNAIL_REPLAYS,
)


@dataclass(frozen=True)
class Topics:
    """The names of one installation's topics in a cluster that several share: KAFKA_TOPIC_PREFIX, then the topic's name.

    The topic of notifications has the name that its server was given.
    """

    prefix: str = ""
    notifications: str = MEDIA_NOTIFICATIONS.name

    def name_of(self, topic: Topic) -> str:
        """Return the name of any topic."""
        return self.notifications if topic is MEDIA_NOTIFICATIONS else f"{self.prefix}{topic.name}"

    def names_of(self, topics: Iterable[Topic]) -> tuple[str, ...]:
        """Return the names of topics, in their order."""
        return tuple(map(self.name_of, topics))

    @cached_property
    def uploads(self) -> str:
        """Return the name of media.uploaded."""
        return self.name_of(MEDIA_UPLOADED)

    @cached_property
    def due(self) -> str:
        """Return the name of thumbnail.due."""
        return self.name_of(THUMBNAIL_DUE)

    @cached_property
    def retries(self) -> tuple[str, ...]:
        """Return the names of the retry topics, the first tier first."""
        return self.names_of(THUMBNAIL_RETRIES)

    @cached_property
    def ready(self) -> str:
        """Return the name of thumbnail.ready."""
        return self.name_of(THUMBNAIL_READY)

    @cached_property
    def failed(self) -> str:
        """Return the name of thumbnail.failed."""
        return self.name_of(THUMBNAIL_FAILED)

    @cached_property
    def state(self) -> str:
        """Return the name of thumbnail.state."""
        return self.name_of(THUMBNAIL_STATE)

    @cached_property
    def deleted(self) -> str:
        """Return the name of thumbnail.deleted."""
        return self.name_of(THUMBNAIL_DELETED)

    @cached_property
    def cleanup(self) -> str:
        """Return the name of thumbnail.cleanup."""
        return self.name_of(THUMBNAIL_CLEANUP)

    @cached_property
    def cleanup_waiting(self) -> str:
        """Return the name of thumbnail.cleanup.waiting."""
        return self.name_of(THUMBNAIL_CLEANUP_WAITING)

    @cached_property
    def dlq(self) -> str:
        """Return the name of thumbnail.dlq."""
        return self.name_of(THUMBNAIL_DLQ)

    @cached_property
    def ready_dlq(self) -> str:
        """Return the name of thumbnail.ready.dlq."""
        return self.name_of(THUMBNAIL_READY_DLQ)

    @cached_property
    def parked(self) -> str:
        """Return the name of thumbnail.dlq.parked."""
        return self.name_of(THUMBNAIL_PARKED)

    @cached_property
    def replays(self) -> str:
        """Return the name of thumbnail.dlq.replays."""
        return self.name_of(THUMBNAIL_REPLAYS)


UNPREFIXED: Final = Topics()
"""The names where the installation has the cluster to itself."""
