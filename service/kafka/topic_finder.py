"""Asks the cluster again and again which topics it has, and whether it takes records for ours."""

import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._metadata import TopicMetadata
from confluent_kafka.admin._resource import ResourceType

from schemas.topics import ALL_TOPICS
from service.kafka.clients import client_config
from service.settings import KafkaSettings

ANSWER_S: Final = 1.5
"""For one try of two: a client asks one broker of several, which may be the one that is away."""
LIMITS_HOLD_S: Final = 30.0
"""A person may lower `min.insync.replicas` meanwhile."""
_NAMED: Final = 3


class TopicFinder:
    """Finds the topics by one quiet connection. `problem` says why the cluster takes no records for some of ours.

    It was seen twice in a row then: a partition has no leader for a moment whenever its broker ends.
    """

    def __init__(self, settings: KafkaSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.problem: str | None = None
        self._ours: Final = frozenset(settings.topics.names_of(ALL_TOPICS))
        self._admin: Final = AdminClient(client_config(settings) | {"log_level": 0, "error_cb": lambda _error: None})
        self._clock: Final = clock
        self._was_unwell = False
        self._limits: dict[str, int] = {}
        self._limits_read_at = float("-inf")

    def find(self) -> frozenset[str] | None:
        """Return the names of all topics; None when no broker answers within twice ANSWER_S."""
        found = self._ask()
        if found is None:
            found = self._ask()
        if found is None:
            return None
        problem = unwritable({name: found[name] for name in self._ours & found.keys()}, self._min_insync)
        self.problem = problem if self._was_unwell else None
        self._was_unwell = problem is not None
        return frozenset(found)

    def _ask(self) -> dict[str, TopicMetadata] | None:
        try:
            return self._admin.list_topics(timeout=ANSWER_S).topics
        except KafkaException:
            return None
        finally:
            self._admin.poll(0)

    def _min_insync(self, names: Collection[str]) -> Mapping[str, int]:
        """Return how many replicas must be in sync; without those that we may not know."""
        if self._clock() - self._limits_read_at > LIMITS_HOLD_S or not self._limits.keys() >= set(names):
            asked = self._admin.describe_configs(
                [ConfigResource(ResourceType.TOPIC, name) for name in names], request_timeout=ANSWER_S
            )
            self._limits_read_at = self._clock()
            for resource, future in asked.items():
                try:
                    self._limits[resource.name] = int(future.result()["min.insync.replicas"].value)
                except (KafkaException, KeyError, TypeError, ValueError):
                    self._limits.setdefault(resource.name, 1)
        return self._limits


def unwritable(
    topics: Mapping[str, TopicMetadata], min_insync: Callable[[Collection[str]], Mapping[str, int]]
) -> str | None:
    """Return which of `topics` take no records, and what to do, as a sentence; None when all do.

    `min_insync` is asked only for topics some of whose replicas are not in sync.
    """
    leaderless = [name for name, topic in topics.items() if any(one.leader < 0 for one in topic.partitions.values())]
    if leaderless:
        return f"Partitions of {_list(leaderless)} have no leader: bring the brokers back that hold their replicas."
    behind = {
        name: [one for one in topic.partitions.values() if len(one.isrs) < len(one.replicas)]
        for name, topic in topics.items()
    }
    suspects = [name for name, partitions in behind.items() if partitions]
    limits = min_insync(suspects) if suspects else {}
    short = [
        name
        for name in suspects
        if any(len(one.isrs) < min(limits.get(name, 1), len(one.replicas)) for one in behind[name])
    ]
    if short:
        return (
            f"Fewer replicas are in sync than min.insync.replicas asks for, of {_list(short)}:"
            " bring the other brokers back."
        )
    return None


def _list(names: Collection[str]) -> str:
    """Return the first few names, and how many more there are."""
    first = sorted(names)
    more = f" and {len(first) - _NAMED} more topics" if len(first) > _NAMED else ""
    return f"{', '.join(first[:_NAMED])}{more}"
