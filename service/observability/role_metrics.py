"""The metrics that a role cannot count as it works: how far behind it is, and what waits."""

import time
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import version
from typing import Final

import structlog
from prometheus_client import Gauge, ProcessCollector

from schemas.metrics import Metrics, Role
from schemas.topics import Topics
from service.kafka.clients import consumers_of
from service.observability.removed_records import RemovedRecords, topic_label
from service.periodic import Periodic
from service.settings import KafkaSettings
from streams.dlq.backlog import DlqBacklog
from streams.kafka.lag import GroupLag, PartitionLag
from streams.kafka.ports import TopicPartition
from streams.kafka.positions import Positions
from streams.retry.role import RetryRole

log = structlog.get_logger(__name__)

KAFKA_EVERY_S: Final = 5.0
DEAD_LETTERS_EVERY_S: Final = 15.0

OwnedPartitions = Callable[[], Collection[TopicPartition]]


class RoleMetrics:
    """Starts and stops the observations of one role, and says whether work waits for it and whether it finishes any."""

    def __init__(self, metrics: Metrics, role: Role) -> None:
        self.metrics: Final = metrics
        self._observations: Final[list[Periodic]] = []
        self._lag_records = 0
        self._overdue: Callable[[], int] = int
        metrics.role_info.labels(role, version("thumbnail-pipeline")).set(1)
        metrics.last_progress_timestamp_seconds.set_to_current_time()
        # Its own names, process_*: memory, processor time, open files, and when it was started.
        ProcessCollector(registry=metrics.registry)

    @property
    def unprocessed(self) -> int:
        """Return how many records this process should be working on now: its lag, and the retries that are due."""
        return self._lag_records + self._overdue()

    @property
    def progress(self) -> float:
        """Return a number that changes whenever a record is finished."""
        (family,) = self.metrics.last_progress_timestamp_seconds.collect()
        return sum(sample.value for sample in family.samples)

    def observe_lag(self, kafka: KafkaSettings, group: str, owned: OwnedPartitions, positions: Positions) -> None:
        """Observe a role whose unprocessed records are late."""
        gauges = _LagGauges(self.metrics, kafka.topics)
        reader = GroupLag(consumers_of(kafka, group))
        watch = RemovedRecords(self.metrics, kafka.topics, group, positions)

        def look() -> None:
            found = reader.read(owned())
            watch.look(found, reader.offsets_at)
            gauges.show(found)
            self._lag_records = sum(lag.records for lag in found.values())

        self._observe("consumer lag", look, KAFKA_EVERY_S)

    def observe_retries(self, kafka: KafkaSettings, group: str, role: RetryRole) -> None:
        """Observe the retry role, whose unprocessed records wait, as they should; and the dead letters of all roles."""
        tiers = {name: tier for tier, name in enumerate(kafka.topics.retries, 1)}
        reader, waiting = GroupLag(consumers_of(kafka, group)), self.metrics.retries_waiting
        watch = RemovedRecords(self.metrics, kafka.topics, group, role.positions)
        self._overdue = lambda: role.overdue

        def look() -> None:
            found = reader.read(role.owned)
            watch.look(found, reader.offsets_at)
            for topic, tier in tiers.items():
                waiting.labels(tier).set(sum(lag.records for where, lag in found.items() if where[0] == topic))
            cleanups = (lag.records for where, lag in found.items() if where[0] == kafka.topics.cleanup_waiting)
            self.metrics.cleanups_waiting.set(sum(cleanups))

        self._observe("waiting retries", look, KAFKA_EVERY_S)
        self._observe_dead_letters(kafka, group)

    def start(self) -> None:
        """Begin to observe."""
        for observation in self._observations:
            observation.start()

    def stop(self) -> None:
        """Observe no more. An observation under way is not waited for: it may hang with the broker."""
        for observation in self._observations:
            observation.stop(wait=False)

    def _observe(self, name: str, look: Callable[[], object], every_s: float) -> None:
        act = LoggedOnce(name, look)
        self._observations.append(Periodic(f"observe-{name}", act, every_s, at_once=True))

    def _observe_dead_letters(self, kafka: KafkaSettings, group: str) -> None:
        topics = kafka.topics
        backlog = DlqBacklog(consumers_of(kafka, group), (topics.dlq, topics.ready_dlq), topics.replays)
        age = _Age(self.metrics.oldest_dead_letter_age_seconds)

        def look() -> None:
            found = backlog.poll()
            self.metrics.dead_letters_waiting.set(found.count)
            age.since_s = found.oldest_at.timestamp() if found.oldest_at else None

        self._observe("dead letters", look, DEAD_LETTERS_EVERY_S)


class LoggedOnce:
    """Calls `look`; logs the first failure and the first success after it, and raises nothing."""

    def __init__(self, name: str, look: Callable[[], object]) -> None:
        self._name: Final = name
        self._look: Final = look
        self._works = True

    def __call__(self) -> None:
        """Call it once."""
        problem: str | None = None
        try:
            self._look()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is logged, and the next call may succeed
            problem = f"{type(exc).__name__}: {exc}"[:300]
        if problem is not None and self._works:
            log.warning("observation_failed", observation=self._name, reason=problem)
        elif problem is None and not self._works:
            log.info("observation_works_again", observation=self._name)
        self._works = problem is None


class _Age:
    """A gauge that grows by itself until `since_s` is set."""

    def __init__(self, gauge: Gauge) -> None:
        self.since_s: float | None = None
        gauge.set_function(lambda: 0.0 if self.since_s is None else max(0.0, time.time() - self.since_s))


class _LagGauges:
    """The lag by topic, under the name that it has without KAFKA_TOPIC_PREFIX."""

    def __init__(self, metrics: Metrics, topics: Topics) -> None:
        self._metrics: Final = metrics
        self._topics: Final = topics
        self._ages: Final[dict[str, _Age]] = {}

    def show(self, found: Mapping[TopicPartition, PartitionLag]) -> None:
        """Show what was read; a topic whose last partition was taken away has no lag here."""
        for name in {where[0] for where in found} | set(self._ages):
            lags = [lag for where, lag in found.items() if where[0] == name]
            heads = [lag.head for lag in lags if lag.head is not None]
            label = topic_label(self._topics, name)
            if name not in self._ages:
                self._ages[name] = _Age(self._metrics.consumer_lag_seconds.labels(label))
            self._metrics.consumer_lag_records.labels(label).set(sum(lag.records for lag in lags))
            self._ages[name].since_s = min((head.timestamp_ms / 1000 for head in heads), default=None)
