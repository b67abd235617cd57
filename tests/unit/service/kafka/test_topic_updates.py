"""What `topics create --update` would change, and what it leaves with a reason."""

from schemas.topics import DAY_MS, MEDIA_UPLOADED
from service.kafka.topic_settings import Difference
from service.kafka.topic_updates import TopicChange, plan_updates
from service.kafka.topics import TopicState

NAME = MEDIA_UPLOADED.name
SEGMENTS = Difference("segment.ms", str(7 * DAY_MS), str(DAY_MS))
IN_SYNC = Difference("min.insync.replicas", "1", "2")


def a_state(
    *differences: Difference, in_sync: int = 3, partitions: int = 6, **more: tuple[Difference, ...]
) -> TopicState:
    return TopicState(NAME, MEDIA_UPLOADED, partitions, (), 3, differences, in_sync=in_sync, **more)


def test_a_setting_that_roles_need_is_changed_as_one_that_is_only_better() -> None:
    fault = Difference("retention.ms", "1000", str(7 * DAY_MS))
    plan = plan_updates([a_state(SEGMENTS, faults=(fault,))])
    assert [str(change) for change in plan.changes] == [
        f"{NAME}: retention.ms 1000 -> {7 * DAY_MS}",
        f"{NAME}: segment.ms {7 * DAY_MS} -> {DAY_MS}",
    ]
    assert plan.left == ()
    assert any("Records that are older than their topic keeps them go soon after" in one for one in plan.effects)


def test_min_insync_replicas_is_left_where_it_would_stop_the_writers_and_the_rest_is_changed() -> None:
    plan = plan_updates([a_state(SEGMENTS, IN_SYNC, in_sync=1)])
    assert plan.changes == (TopicChange(NAME, *vars(SEGMENTS).values()),)
    (sentence,) = plan.left
    assert sentence.startswith(
        f"{NAME} has a partition with 1 replica in sync: min.insync.replicas=2 would stop its writers"
    )
    assert plan_updates([a_state(IN_SYNC, in_sync=2)]).left == ()


def test_partitions_are_added_only_when_asked_for_as_keys_move() -> None:
    few = a_state(partitions=2)
    plan = plan_updates([few])
    assert plan.changes == ()
    (sentence,) = plan.left
    assert sentence.startswith(f"{NAME} has 2 partitions instead of 6: --add-partitions adds them. Keys move")
    plan = plan_updates([few], add_partitions=True)
    assert plan.changes == (TopicChange(NAME, "partitions", "2", "6"),)
    assert any(effect.startswith("Keys move") for effect in plan.effects)
    assert plan_updates([a_state(partitions=12)], add_partitions=True).changes == ()


def test_a_smaller_limit_of_sizes_is_explained_and_a_larger_one_harms_nobody() -> None:
    lower = plan_updates([a_state(Difference("max.message.bytes", "16777216", "1048588"))])
    assert any("whole batches" in effect for effect in lower.effects)
    assert plan_updates([a_state(Difference("max.message.bytes", "1000", "1048588"))]).effects == ()


def test_topics_that_are_missing_are_no_update() -> None:
    gone = TopicState(NAME, MEDIA_UPLOADED, 0, ("it does not exist",))
    assert plan_updates([gone], add_partitions=True).changes == ()
