"""Says what makes topics less safe than they could be, and the command that changes it: `check` and `topics list` print it."""

from collections.abc import Iterable, Sequence
from typing import Final

from schemas.topics import SAFE_REPLICAS
from service.kafka.topics import TopicState

_CONSEQUENCES: Final = {
    "segment.ms": "so that records can be kept for so many milliseconds longer than their retention.ms says",
    "min.insync.replicas": "so that an acknowledged event may be on one broker alone, and be lost with its disk",
}


def warnings_about(states: Iterable[TopicState], bootstrap_servers: str) -> tuple[str, ...]:
    """Return one sentence for each thing that could be better, whatever the number of topics."""
    there = [state for state in states if state.partitions > 0]
    found: dict[tuple[str, str, str], list[TopicState]] = {}
    for state in there:
        for one in state.differences:
            found.setdefault((one.setting, one.actual, one.wanted), []).append(state)
    sentences = [
        f"{setting} is {actual} instead of {wanted} on {_names(topics, there)}, {_CONSEQUENCES[setting]}. Set it for each of"
        f" them: `kafka-configs.sh --bootstrap-server {bootstrap_servers} --alter --entity-type topics"
        f" --entity-name {topics[0].name} --add-config {setting}={wanted}`."
        for (setting, actual, wanted), topics in found.items()
    ]
    few = [state for state in there if 0 < state.replicas < SAFE_REPLICAS]
    if few:
        counts = " or ".join(str(count) for count in sorted({state.replicas for state in few}))
        sentences.append(
            f"The number of replicas is {counts} instead of {SAFE_REPLICAS} on {_names(few, there)}, so that an acknowledged event"
            " can be lost with the disk of one broker. Production wants three brokers: docs/upgrades.md says how topics get more."
        )
    return tuple(sentences)


def _names(topics: Sequence[TopicState], there: Sequence[TopicState]) -> str:
    return f"all {len(there)} topics" if len(topics) == len(there) else ", ".join(state.name for state in topics)
