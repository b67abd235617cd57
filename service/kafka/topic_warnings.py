"""Says what makes topics less safe than they could be, and the command that changes it: `check` and `topics list` print it."""

from collections.abc import Iterable, Sequence
from typing import Final

from schemas.topics import MEDIA_UPLOADED, SAFE_REPLICAS, THUMBNAIL_STATE
from service.kafka.topic_settings import Difference
from service.kafka.topics import TopicState

UPDATE: Final = "thumbnails topics create --update"
_CONSEQUENCES: Final = {
    "segment.ms": "so that records can be kept for so many milliseconds longer than their retention.ms says",
    "min.insync.replicas": "so that an acknowledged event may be on one broker alone, and be lost with its disk",
    "delete.retention.ms": "so that a reader that is away for longer does not learn which media were deleted meanwhile",
    "max.compaction.lag.ms": "so that an old value, that of a deleted media too, can stay for longer",
    "message.timestamp.after.max.ms": "so that a record whose timestamp is far ahead is taken, and kept for as long as it is ahead",
}


def warnings_about(states: Iterable[TopicState]) -> tuple[str, ...]:
    """Return one sentence for each thing that could be better, whatever the number of topics."""
    there = [state for state in states if state.partitions > 0]
    found: dict[Difference, list[TopicState]] = {}
    for state in there:
        for one in state.differences:
            found.setdefault(one, []).append(state)
    sentences = [
        f"{one.setting} is {one.actual} instead of {one.wanted} on {_names(topics, there)}, {_consequence(one)}."
        f" `{UPDATE}` sets it; see what it would do with --dry-run."
        for one, topics in found.items()
    ]
    few = [state for state in there if 0 < state.replicas < SAFE_REPLICAS]
    if few:
        counts = " or ".join(str(count) for count in sorted({state.replicas for state in few}))
        sentences.append(
            f"The number of replicas is {counts} instead of {SAFE_REPLICAS} on {_names(few, there)}, so that an acknowledged event"
            " can be lost with the disk of one broker. Production wants three brokers: docs/upgrades.md says how topics get more."
        )
    counts_of = {state.topic: state.partitions for state in there}
    uploads, states_ = counts_of.get(MEDIA_UPLOADED), counts_of.get(THUMBNAIL_STATE)
    if None not in (uploads, states_) and uploads != states_:
        sentences.append(
            f"{THUMBNAIL_STATE.name} has {states_} partitions and {MEDIA_UPLOADED.name} {uploads}: a media's upload and its state"
            " have different partition numbers, which consumers that join the two do not expect: docs/upgrades.md."
        )
    return tuple(sentences)


def _consequence(one: Difference) -> str:
    if one.setting != "max.message.bytes":
        return _CONSEQUENCES[one.setting]
    if int(one.actual) < int(one.wanted):
        return "so that uploads that the contract allows are refused"
    return "so that an upload that is too large is no error of its producer, but a dead letter later"


def _names(topics: Sequence[TopicState], there: Sequence[TopicState]) -> str:
    return f"all {len(there)} topics" if len(topics) == len(there) else ", ".join(state.name for state in topics)
