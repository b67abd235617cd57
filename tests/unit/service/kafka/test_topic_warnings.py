"""What could be safer about the topics is one sentence for each setting, with the command that changes it."""

from dataclasses import replace

import pytest

from schemas.cloudevents import MAX_EVENT_BYTES
from schemas.topics import ALL_TOPICS, DAY_MS, HOUR_MS, MEDIA_UPLOADED, THUMBNAIL_READY
from service.kafka.topic_settings import Difference, compare_exactly
from service.kafka.topic_warnings import warnings_about
from service.kafka.topics import TopicState

OLD = Difference("segment.ms", str(7 * DAY_MS), str(DAY_MS))
WEAK = Difference("min.insync.replicas", "1", "2")


def states(replicas: int, *differences: Difference, on: int = len(ALL_TOPICS)) -> list[TopicState]:
    """All topics, of which the first `on` have the differences."""
    return [
        TopicState(topic.name, topic, topic.partitions, (), replicas, differences if number < on else ())
        for number, topic in enumerate(ALL_TOPICS)
    ]


def test_topics_as_they_should_be_need_no_word() -> None:
    assert warnings_about(states(3)) == ()
    assert warnings_about(states(0)) == ()  # not every broker reports it


def test_each_setting_is_named_once_with_its_topics_and_the_command() -> None:
    of_segments, of_replicas = warnings_about(states(3, OLD, WEAK, on=2))
    assert of_segments.startswith(
        "segment.ms is 604800000 instead of 86400000 on media.uploaded, thumbnail.due, so that records can be kept for"
    )
    assert of_replicas.endswith("`thumbnails topics create --update` sets it; see what it would do with --dry-run.")


def test_too_few_replicas_are_a_warning_of_their_own() -> None:
    (warning,) = warnings_about(states(2))
    assert warning.startswith(f"The number of replicas is 2 instead of 3 on all {len(ALL_TOPICS)} topics")


def test_a_topic_that_is_missing_is_no_warning_but_a_problem() -> None:
    gone = [TopicState(topic.name, topic, 0, ("it does not exist",)) for topic in ALL_TOPICS]
    assert warnings_about(gone) == ()


def test_a_state_topic_with_another_number_of_partitions_than_the_uploads_is_a_warning() -> None:
    """Whoever adds partitions to one of them only: all other topics may differ."""
    found = states(3)
    (warning,) = warnings_about([replace(one, partitions=12) if one.topic is MEDIA_UPLOADED else one for one in found])
    assert warning.startswith("thumbnail.state has 6 partitions and media.uploaded 12")
    assert warnings_about([replace(one, partitions=12) for one in found]) == ()


def test_two_of_two_replicas_are_not_asked_for_lest_one_broker_stop_everything() -> None:
    assert "min.insync.replicas" not in THUMBNAIL_READY.advised_config(2)
    assert THUMBNAIL_READY.advised_config(3)["min.insync.replicas"] == "2"
    assert THUMBNAIL_READY.advised_config(5)["min.insync.replicas"] == "2"


def test_every_topic_closes_its_segments_long_before_its_records_are_to_go() -> None:
    for topic in ALL_TOPICS:
        segment_ms = int(topic.advised_config(1)["segment.ms"])
        assert segment_ms <= DAY_MS
        assert topic.retention_ms < 0 or segment_ms * 7 <= topic.retention_ms


def test_an_upload_of_the_largest_value_and_the_default_batch_of_every_client_fit() -> None:
    limit = int(MEDIA_UPLOADED.advised_config(3)["max.message.bytes"])
    assert max(MAX_EVENT_BYTES + 16 * 1024, 1_000_000) < limit < 1_100_000


@pytest.mark.parametrize(
    ("setting", "actual", "consequence"),
    [
        ("max.message.bytes", "16777216", "so that an upload that is too large is no error of its producer"),
        ("max.message.bytes", "100000", "so that uploads that the contract allows are refused"),
        ("message.timestamp.after.max.ms", str(2**63 - 1), "so that a record whose timestamp is far ahead is taken"),
    ],
)
def test_limits_of_uploads_differ_in_both_directions_with_a_consequence_each(
    setting: str, actual: str, consequence: str
) -> None:
    wanted = MEDIA_UPLOADED.advised_config(1)
    (found,) = compare_exactly(wanted | {setting: actual}, wanted)
    assert found == Difference(setting, actual, wanted[setting])
    (warning,) = warnings_about(states(3, found, on=1))
    assert f"{setting} is {actual} instead of {wanted[setting]} on media.uploaded, {consequence}" in warning


def test_a_broker_that_does_not_know_the_setting_is_not_warned_of_and_a_stricter_one_neither() -> None:
    wanted = MEDIA_UPLOADED.advised_config(1)
    older = {name: value for name, value in wanted.items() if name != "message.timestamp.after.max.ms"}
    assert compare_exactly(older, wanted) == ()
    assert compare_exactly(older | {"message.timestamp.after.max.ms": str(HOUR_MS // 2)}, wanted) == ()
