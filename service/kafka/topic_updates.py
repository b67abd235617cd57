"""Brings topics that exist to the settings of the list: says what it would change, and changes it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions

from schemas.topics import MIN_INSYNC_REPLICAS
from service.kafka.connection import KafkaUnreachableError, connect
from service.kafka.topic_settings import ADMIN_TIMEOUT_S, is_refusal
from service.kafka.topics import TopicState, explain
from service.settings import KafkaSettings

PARTITIONS: Final = "partitions"
_EFFECTS: Final = {
    "segment.ms": "Records that are older than their topic keeps them go soon after, read or not: look at the lag first.",
    "retention.ms": "Records are kept for longer, and take more of the brokers' disks.",
    "cleanup.policy": "What the other policy has deleted does not come back.",
    "max.message.bytes": "Brokers compare whole batches: a producer with larger ones is refused (MSG_SIZE_TOO_LARGE).",
    "message.timestamp.after.max.ms": "Producers whose clock is further ahead are refused: INVALID_TIMESTAMP.",
    PARTITIONS: "Keys move to other partitions: records of one media that are still waiting can be read out of their order."
    " Results stay right, for the newest occurred_at wins.",
}


@dataclass(frozen=True)
class TopicChange:
    """One value of one topic."""

    topic: str
    setting: str
    actual: str
    wanted: str

    @property
    def raises_the_limit(self) -> bool:
        """Return whether larger records are taken from then on, which does nothing to anybody."""
        return self.setting == "max.message.bytes" and int(self.wanted) > int(self.actual)

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} {self.actual} -> {self.wanted}"


@dataclass(frozen=True)
class UpdatePlan:
    """The possible changes, and one sentence for each change that is needed but impossible."""

    changes: tuple[TopicChange, ...]
    left: tuple[str, ...]

    @property
    def effects(self) -> tuple[str, ...]:
        """Return what else the changes do, each once."""
        settings = dict.fromkeys(change.setting for change in self.changes if not change.raises_the_limit)
        return tuple(_EFFECTS[setting] for setting in settings if setting in _EFFECTS)


def plan_updates(states: Iterable[TopicState], *, add_partitions: bool = False) -> UpdatePlan:
    """Return what brings the topics that exist to the list; partitions are added only when asked for, as keys move."""
    changes: list[TopicChange] = []
    left: list[str] = []
    for state in (one for one in states if one.partitions > 0):
        for one in (*state.faults, *state.differences):
            if one.setting == "min.insync.replicas" and state.in_sync < MIN_INSYNC_REPLICAS:
                left.append(
                    f"{state.name} has a partition with {state.in_sync} replica in sync: min.insync.replicas={one.wanted} would stop"
                    " its writers. Repeat this when the brokers are up again."
                )
            else:
                changes.append(TopicChange(state.name, one.setting, one.actual, one.wanted))
        if state.partitions < state.topic.partitions:
            if add_partitions:
                changes.append(TopicChange(state.name, PARTITIONS, str(state.partitions), str(state.topic.partitions)))
            else:
                left.append(
                    f"{state.name} has {state.partitions} partitions instead of {state.topic.partitions}: --add-partitions adds"
                    f" them. {_EFFECTS[PARTITIONS]}"
                )
    return UpdatePlan(tuple(changes), tuple(left))


def update_topics(settings: KafkaSettings, plan: UpdatePlan) -> UpdatePlan:
    """Make the changes, each by itself; return those that were made, with what the cluster refused among the left.

    It may be repeated: what was changed before it failed is no difference any more. Raises KafkaUnreachableError.
    """
    admin, _ = connect(settings)
    made: list[TopicChange] = []
    left = list(plan.left)
    for change in plan.changes:
        try:
            _apply(admin, change)
        except KafkaException as exc:
            if not is_refusal(exc):
                raise KafkaUnreachableError(
                    f"{change.topic} could not be changed ({len(made)} of {len(plan.changes)} changes were made):"
                    f" {explain(exc, settings)}"
                ) from exc
            left.append(f"The cluster refuses {change.setting} on {change.topic}: it stays {change.actual}.")
        else:
            made.append(change)
    return UpdatePlan(tuple(made), tuple(left))


def _apply(admin: AdminClient, change: TopicChange) -> None:
    if change.setting == PARTITIONS:
        new = NewPartitions(change.topic, int(change.wanted))
        (future,) = admin.create_partitions(
            [new], operation_timeout=ADMIN_TIMEOUT_S, request_timeout=ADMIN_TIMEOUT_S
        ).values()
    else:
        entry = ConfigEntry(change.setting, change.wanted, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, change.topic, incremental_configs=[entry])
        (future,) = admin.incremental_alter_configs([resource], request_timeout=ADMIN_TIMEOUT_S).values()
    future.result()
