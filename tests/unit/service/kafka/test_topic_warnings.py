"""What could be safer about the topics is one sentence for each setting, with the command that changes it."""

from schemas.topics import ALL_TOPICS, DAY_MS, durable_config
from service.kafka.topic_warnings import warnings_about
from service.kafka.topics import Difference, TopicState

OLD = Difference("segment.ms", str(7 * DAY_MS), str(DAY_MS))
WEAK = Difference("min.insync.replicas", "1", "2")


def states(replicas: int, *differences: Difference, on: int = len(ALL_TOPICS)) -> list[TopicState]:
    """All topics, of which the first `on` have the differences."""
    return [
        TopicState(topic.name, topic, topic.partitions, (), replicas, differences if number < on else ())
        for number, topic in enumerate(ALL_TOPICS)
    ]


def test_topics_as_they_should_be_need_no_word() -> None:
    assert warnings_about(states(3), "kafka:9092") == ()
    assert warnings_about(states(0), "kafka:9092") == ()  # not every broker reports it


def test_each_setting_is_named_once_with_its_topics_and_the_command() -> None:
    of_segments, of_replicas = warnings_about(states(3, OLD, WEAK, on=2), "kafka:9092")
    assert of_segments.startswith(
        "segment.ms is 604800000 instead of 86400000 on media.uploaded, thumbnail.due, so that records can be kept for"
    )
    assert of_replicas.endswith(
        "`kafka-configs.sh --bootstrap-server kafka:9092 --alter --entity-type topics"
        " --entity-name media.uploaded --add-config min.insync.replicas=2`."
    )


def test_too_few_replicas_are_a_warning_of_their_own() -> None:
    (warning,) = warnings_about(states(2), "kafka:9092")
    assert warning.startswith(f"The number of replicas is 2 instead of 3 on all {len(ALL_TOPICS)} topics")


def test_a_topic_that_is_missing_is_no_warning_but_a_problem() -> None:
    gone = [TopicState(topic.name, topic, 0, ("it does not exist",)) for topic in ALL_TOPICS]
    assert warnings_about(gone, "kafka:9092") == ()


def test_two_of_two_replicas_are_not_asked_for_lest_one_broker_stop_everything() -> None:
    assert "min.insync.replicas" not in durable_config(2)
    assert durable_config(3)["min.insync.replicas"] == durable_config(5)["min.insync.replicas"] == "2"


def test_every_topic_closes_its_segments_long_before_its_records_are_to_go() -> None:
    segment_ms = int(durable_config(1)["segment.ms"])
    assert segment_ms <= DAY_MS
    assert all(segment_ms * 7 <= topic.retention_ms for topic in ALL_TOPICS if topic.retention_ms > 0)
