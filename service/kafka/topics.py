"""Makes our topics, and compares those of a cluster with the list."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._metadata import ClusterMetadata, TopicMetadata
from confluent_kafka.admin._resource import ResourceType

from schemas.topics import ALL_TOPICS, MEDIA_NOTIFICATIONS, Topic
from service.kafka.clients import client_config
from service.kafka.connection import KafkaUnreachableError, connect
from service.kafka.topic_settings import ADMIN_TIMEOUT_S, Difference, compare, compare_exactly, make_topics
from service.settings import KafkaSettings

LISTED_WITHIN_S: Final = 10.0
# librdkafka's public constants begin with an underscore.
_NO_ANSWER: Final = frozenset(
    {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION}  # noqa: SLF001
)


@dataclass(frozen=True)
class TopicState:
    """A topic of the list as it is in the cluster; `problems` are sentences, empty when roles can start with it.

    `faults` are the settings among the problems. `differences` are settings that keep no role from starting, but keep records less
    safe, or longer, than they should. `replicas`, and `in_sync` of them, are those of the partition that has the fewest, 0 when
    that is not known.
    """

    name: str
    topic: Topic
    partitions: int
    problems: tuple[str, ...]
    replicas: int = 0
    differences: tuple[Difference, ...] = ()
    faults: tuple[Difference, ...] = ()
    in_sync: int = 0


def create_topics(settings: KafkaSettings, say: Callable[[str], object] = lambda _sentence: None) -> tuple[str, ...]:
    """Make the topics that are missing; returns their names. Those that exist are left as they are.

    A setting that a role can do without, and that the cluster refuses, is left out: `say` gets one sentence for each.
    """
    admin, cluster = connect(settings)
    missing = [state for state in list_topics(settings) if state.partitions == 0]
    if not missing:
        return ()
    replicas = _replicas_to_be(admin, cluster, settings)
    try:
        refused = make_topics(
            admin, {state.name: state.topic for state in missing}, settings.kafka_replication_factor, replicas
        )
    except KafkaException as exc:
        raise KafkaUnreachableError(f"A topic could not be made: {explain(exc, settings)}") from exc
    for setting, topics in refused.items():
        say(f"The cluster refuses {setting} on {', '.join(topics)}: made without it.")
    names = tuple(state.name for state in missing)
    _wait_until_listed(admin, names)
    return names


def _wait_until_listed(admin: AdminClient, names: tuple[str, ...]) -> None:
    """Return when the broker lists the topics with a leader for each partition, or after LISTED_WITHIN_S.

    The controller acknowledges a new topic before the other brokers know it: a check straight afterwards would not find it.
    """
    give_up_at = time.monotonic() + LISTED_WITHIN_S
    while time.monotonic() < give_up_at:
        listed = admin.list_topics(timeout=ADMIN_TIMEOUT_S).topics
        if all(name in listed and _has_leaders(listed[name]) for name in names):
            return
        time.sleep(0.05)


def _has_leaders(topic: TopicMetadata) -> bool:
    return topic.error is None and all(partition.leader >= 0 for partition in topic.partitions.values())


def delete_topics(settings: KafkaSettings) -> None:
    """Remove the topics with this prefix, and with them every record. For the demo, whose prefix is its own."""
    states = list_topics(settings)
    names = [state.name for state in states if state.partitions > 0 and state.topic is not MEDIA_NOTIFICATIONS]
    admin, _ = connect(settings)  # its futures end with it
    for future in admin.delete_topics(names, operation_timeout=ADMIN_TIMEOUT_S).values() if names else ():
        try:
            future.result()
        except KafkaException as exc:
            raise KafkaUnreachableError(f"A topic could not be deleted: {explain(exc, settings)}") from exc


def delete_records(settings: KafkaSettings, topic: str, until: Mapping[int, int]) -> None:
    """Delete the records before each partition's offset. Raises KafkaUnreachableError."""
    admin = AdminClient(client_config(settings))
    wanted = [TopicPartition(topic, partition, offset) for partition, offset in until.items()]
    try:
        for future in admin.delete_records(wanted, request_timeout=ADMIN_TIMEOUT_S).values():
            future.result()
    except KafkaException as exc:
        raise KafkaUnreachableError(f"{topic} could not be purged: {exc.args[0].str()}.") from exc


def list_topics(settings: KafkaSettings, *, waits_for_start: bool = True) -> tuple[TopicState, ...]:
    """Return every topic of the list, with what is wrong with it in the cluster. Raises KafkaUnreachableError.

    The topic of notifications is among them where it is set; it may be somebody else's, so that only its absence is wrong.
    """
    admin, cluster = connect(settings, waits_for_start=waits_for_start)
    found = cluster.topics
    names = {settings.topics.name_of(topic): topic for topic in ALL_TOPICS}
    if settings.kafka_notifications_topic is not None:
        names[settings.kafka_notifications_topic] = MEDIA_NOTIFICATIONS
    configs = _configs(admin, [name for name in names if name in found])
    hidden = _hidden(admin, [name for name in names if name not in found])
    return tuple(
        TopicState(name, topic, 0, (f"{_whom(settings)} may not see it: let them DESCRIBE, READ and WRITE it",))
        if name in hidden
        else _state(name, topic, found.get(name), configs.get(name, {}))
        for name, topic in names.items()
    )


def _whom(settings: KafkaSettings) -> str:
    """Who we are to the cluster, as far as we know."""
    return f"the user {settings.kafka_sasl_username}" if settings.uses_sasl else "this client"


def _hidden(admin: AdminClient, names: list[str]) -> set[str]:
    """Return those of the unlisted topics that exist, but that the cluster's ACLs hide from us."""
    if not names:
        return set()
    asked = admin.describe_topics(TopicCollection(names), request_timeout=ADMIN_TIMEOUT_S)
    return {name for name, future in asked.items() if _error_code(future) == KafkaError.TOPIC_AUTHORIZATION_FAILED}


def _error_code(future: Future[Any]) -> int | None:
    try:
        future.result()
    except KafkaException as exc:
        return int(exc.args[0].code())
    return None


def explain(exc: KafkaException, settings: KafkaSettings) -> str:
    """Return the broker's reason as a sentence, and whom to ask where rights are missing."""
    error = exc.args[0]
    refused = error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
    way_out = f" Let {_whom(settings)} do it, or ask whoever may." if refused else ""
    return f"{error.str().rstrip('.')}.{way_out}"


def _replicas_to_be(admin: AdminClient, cluster: ClusterMetadata, settings: KafkaSettings) -> int:
    """Return how many replicas a new topic will have; 0 when the brokers decide, and keep to themselves what they would."""
    if settings.kafka_replication_factor > 0:
        return settings.kafka_replication_factor
    asked = admin.describe_configs(
        [ConfigResource(ResourceType.BROKER, str(min(cluster.brokers)))], request_timeout=ADMIN_TIMEOUT_S
    )
    (future,) = asked.values()
    try:
        found = future.result().get("default.replication.factor")
    except KafkaException:  # not every user may ask: `check` names what is not set then
        return 0
    return int(found.value) if found is not None and found.value else 0


def _state(name: str, topic: Topic, found: TopicMetadata | None, config: dict[str, str | None]) -> TopicState:
    if found is None or not found.partitions:
        return TopicState(name, topic, 0, ("it does not exist: run `thumbnails topics create`",))
    partitions = len(found.partitions)
    replicas = min(len(partition.replicas) for partition in found.partitions.values())
    in_sync = min(len(partition.isrs) for partition in found.partitions.values())
    if topic is MEDIA_NOTIFICATIONS:
        return TopicState(name, topic, partitions, (), replicas, in_sync=in_sync)
    problems = []
    if partitions < topic.partitions:
        problems.append(
            f"it has {partitions} partitions instead of {topic.partitions}: `thumbnails topics create --update --add-partitions`"
        )
    faults = compare(config, topic.config)
    problems += [f"its {one.setting} is {one.actual} instead of {one.wanted}" for one in faults]
    differences = compare_exactly(config, topic.advised_config(replicas))
    return TopicState(name, topic, partitions, tuple(problems), replicas, differences, faults, in_sync)


def _configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str | None]]:
    if not names:
        return {}
    asked = admin.describe_configs(
        [ConfigResource(ResourceType.TOPIC, name) for name in names], request_timeout=ADMIN_TIMEOUT_S
    )
    configs: dict[str, dict[str, str | None]] = {}
    for resource, future in asked.items():
        try:
            configs[resource.name] = {name: entry.value for name, entry in future.result().items()}
        except KafkaException as exc:
            if exc.args[0].code() in _NO_ANSWER:
                raise KafkaUnreachableError(
                    "Kafka gave its list of topics, but its brokers do not answer at the addresses that it advertises:"
                    " they must be right, also in the certificates, where this process runs."
                ) from exc
            # Not every Kafka-compatible broker, nor every ACL, lets settings be read; partitions were compared.
            configs[resource.name] = {}
    return configs
