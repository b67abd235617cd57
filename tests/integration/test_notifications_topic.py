"""The topic of notifications is there only where it is named, and it is not ours to judge or to delete."""

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.topics import ALL_TOPICS
from service.kafka.check import check_kafka
from service.kafka.topics import create_topics, delete_topics, list_topics
from service.settings import KafkaSettings


@pytest.fixture
def name(kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the topic is to be called, of an installation that names none as yet."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("KAFKA_REPLICATION_FACTOR", "1")
    monkeypatch.delenv("KAFKA_NOTIFICATIONS_TOPIC", raising=False)
    return f"{topic_prefix}buckets"


def names_in(kafka: str) -> set[str]:
    return set(AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics)


def test_it_is_made_once_it_is_named_and_until_then_stops_only_whoever_reads_it(
    kafka: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(create_topics(KafkaSettings())) == len(ALL_TOPICS)
    assert len(list_topics(KafkaSettings())) == len(ALL_TOPICS)

    monkeypatch.setenv("KAFKA_NOTIFICATIONS_TOPIC", name)
    settings = KafkaSettings()
    assert check_kafka(settings).problem is None
    assert name in (check_kafka(settings, with_notifications=True).problem or "")
    assert create_topics(settings) == (name,)
    assert check_kafka(settings, with_notifications=True).problem is None

    delete_topics(settings)
    assert name in names_in(kafka)


def test_one_that_somebody_else_made_is_taken_as_it_is(kafka: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    config = {"retention.ms": "60000", "max.message.bytes": "1000"}
    admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1, config=config)])[name].result(15)
    monkeypatch.setenv("KAFKA_NOTIFICATIONS_TOPIC", name)
    settings = KafkaSettings()
    assert name not in create_topics(settings)
    (state,) = [state for state in list_topics(settings) if state.name == name]
    assert (state.partitions, state.problems, state.differences) == (1, (), ())
