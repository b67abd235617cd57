"""Compares the settings of topics with what they should be, and makes a topic with all of them that its cluster takes."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.topics import Topic

ADMIN_TIMEOUT_S: Final = 15.0

_REFUSALS: Final = frozenset({KafkaError.INVALID_CONFIG, KafkaError.POLICY_VIOLATION, KafkaError.INVALID_REQUEST})
"""Kafka 3.5 and older do not know `message.timestamp.after.max.ms`; managed clusters keep some settings to themselves."""
_AT_MOST: Final = frozenset({"segment.ms", "message.timestamp.after.max.ms", "max.compaction.lag.ms"})
"""Settings of which less is as good; of the other numbers more is."""


@dataclass(frozen=True)
class Difference:
    """A setting of a topic that is not as it should be."""

    setting: str
    actual: str
    wanted: str


def compare(config: Mapping[str, str | None], wanted: Mapping[str, str]) -> tuple[Difference, ...]:
    """Return the settings that are not enough in the cluster; what it does not report cannot be compared."""
    return tuple(
        Difference(setting, actual, value)
        for setting, value in wanted.items()
        if (actual := config.get(setting)) is not None and not _is_enough(setting, actual, value)
    )


def compare_exactly(config: Mapping[str, str | None], wanted: Mapping[str, str]) -> tuple[Difference, ...]:
    """Return the same, and a size limit that is too large: it lets in what is refused later."""
    limit = wanted.get("max.message.bytes")
    actual = config.get("max.message.bytes")
    too_large = limit is not None and actual is not None and int(actual) > int(limit)
    above = (Difference("max.message.bytes", str(actual), str(limit)),) if too_large else ()
    return compare(config, wanted) + above


def _is_enough(setting: str, actual: str, wanted: str) -> bool:
    if setting == "cleanup.policy":
        return actual == wanted
    if setting in _AT_MOST:
        return int(actual) <= int(wanted)
    return int(actual) == -1 or int(actual) >= int(wanted)


def is_refusal(exc: KafkaException) -> bool:
    """Return whether the cluster took offence at a setting: another attempt without it can succeed."""
    return exc.args[0].code() in _REFUSALS


def make_topics(
    admin: AdminClient, topics: Mapping[str, Topic], replication_factor: int, replicas: int
) -> dict[str, list[str]]:
    """Make topics that will have so many replicas; return the advised settings that some were made without, and which.

    A topic that is there already is left as it is. Raises KafkaException.
    """

    def attempt(name: str, left_out: tuple[str, ...]) -> NewTopic:
        advised = topics[name].advised_config(replicas).items()
        config = topics[name].config | {setting: value for setting, value in advised if setting not in left_out}
        return NewTopic(name, topics[name].partitions, replication_factor=replication_factor, config=config)

    without: dict[str, list[str]] = {}
    for name, future in _create(admin, [attempt(name, ()) for name in topics]).items():
        if (refusal := _refusal(future)) is not None:
            for left_out in _fewest_first(tuple(topics[name].advised_config(replicas))):
                if _refusal(_create(admin, [attempt(name, left_out)])[name]) is None:
                    break
            else:
                raise refusal  # also with the required settings alone
            for setting in left_out:
                without.setdefault(setting, []).append(name)
    return without


def _create(admin: AdminClient, new: list[NewTopic]) -> dict[str, Future[Any]]:
    return admin.create_topics(new, operation_timeout=ADMIN_TIMEOUT_S, request_timeout=ADMIN_TIMEOUT_S)


def _refusal(future: Future[Any]) -> KafkaException | None:
    """Return what the cluster has against the settings; None when the topic is there. Raises KafkaException."""
    try:
        future.result()
    except KafkaException as exc:
        if is_refusal(exc):
            return exc
        if exc.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody was faster
            raise
    return None


def _fewest_first(settings: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for count in range(1, len(settings) + 1):
        yield from combinations(settings, count)
