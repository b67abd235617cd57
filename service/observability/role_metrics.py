"""The metrics that a role cannot count as it works: how far behind it is, and what waits."""

import time
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import version
from typing import Final

from prometheus_client import Gauge, ProcessCollector

from schemas.metrics import Metrics, Role
from schemas.topics import ALL_TOPICS, Topics
from service.kafka.clients import client_config, consumer_config
from service.observability.observations import Observation
from service.settings import KafkaSettings
from streams.kafka.client import Place
from streams.kafka.lag import LagReader, PartitionLag
from streams.kafka.waiting_letters import LetterWatch

KAFKA_EVERY_S: Final = 5.0
LETTERS_EVERY_S: Final = 15.0

OwnedPlaces = Callable[[], Collection[Place]]


class RoleMetrics:
    """Starts and stops the observations of one role."""

    def __init__(self, metrics: Metrics, role: Role) -> None:
        self._metrics: Final = metrics
        self._observations: Final[list[Observation]] = []
        metrics.role_info.labels(role, version("thumbnail-pipeline")).set(1)
        metrics.last_progress_timestamp_seconds.set_to_current_time()
        # Its own names, process_*: memory, processor time, open files, and when it was started.
        ProcessCollector(registry=metrics.registry)

    def observe_lag(self, kafka: KafkaSettings, group: str, owned: OwnedPlaces) -> None:
        """For a role whose unprocessed records are late."""
        gauges = _LagGauges(self._metrics, kafka.topics)
        reader = LagReader(client_config(kafka), group)
        self._observe("consumer lag", lambda: gauges.show(reader.read(owned())), KAFKA_EVERY_S)

    def observe_retries(self, kafka: KafkaSettings, group: str, owned: OwnedPlaces) -> None:
        """For the retry role, whose unprocessed records wait, as they should; and the dead letters of all roles."""
        tiers = {name: tier for tier, name in enumerate(kafka.topics.retries, 1)}
        reader, waiting = LagReader(client_config(kafka), group), self._metrics.retries_waiting

        def look() -> None:
            found = reader.read(owned())
            for topic, tier in tiers.items():
                waiting.labels(tier).set(sum(lag.records for place, lag in found.items() if place[0] == topic))

        self._observe("waiting retries", look, KAFKA_EVERY_S)
        self._observe_letters(kafka, group)

    def start(self) -> None:
        """Begin to look."""
        for observation in self._observations:
            observation.start()

    def stop(self) -> None:
        """Look no more."""
        for observation in self._observations:
            observation.stop()

    def _observe(self, name: str, look: Callable[[], object], every_s: float) -> None:
        self._observations.append(Observation(name, look, every_s=every_s))

    def _observe_letters(self, kafka: KafkaSettings, group: str) -> None:
        topics = kafka.topics
        watch = LetterWatch(consumer_config(kafka, group), (topics.dlq, topics.ready_dlq), topics.replays)
        age = _Age(self._metrics.oldest_dead_letter_age_seconds)

        def look() -> None:
            found = watch.look()
            self._metrics.dead_letters_waiting.set(found.count)
            age.since_s = found.oldest_at.timestamp() if found.oldest_at else None

        self._observe("dead letters", look, LETTERS_EVERY_S)


class _Age:
    """A gauge that grows by itself until it is told of something younger."""

    def __init__(self, gauge: Gauge) -> None:
        self.since_s: float | None = None
        gauge.set_function(lambda: 0.0 if self.since_s is None else max(0.0, time.time() - self.since_s))


class _LagGauges:
    """The lag by topic, under the name that it has without KAFKA_TOPIC_PREFIX."""

    def __init__(self, metrics: Metrics, topics: Topics) -> None:
        self._metrics: Final = metrics
        self._names: Final = {topics.name_of(topic): topic.name for topic in ALL_TOPICS}
        self._ages: Final[dict[str, _Age]] = {}

    def show(self, found: Mapping[Place, PartitionLag]) -> None:
        """What was read; a topic whose last partition was taken away has no lag here."""
        for name in {place[0] for place in found} | set(self._ages):
            lags = [lag for place, lag in found.items() if place[0] == name]
            heads_ms = [lag.head.timestamp_ms for lag in lags if lag.head is not None]
            label = self._names.get(name, "other")
            if name not in self._ages:
                self._ages[name] = _Age(self._metrics.consumer_lag_seconds.labels(label))
            self._metrics.consumer_lag_records.labels(label).set(sum(lag.records for lag in lags))
            self._ages[name].since_s = min(heads_ms) / 1000 if heads_ms else None
