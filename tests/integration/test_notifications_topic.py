"""The topic of notifications is there only where it is named, and it is not ours to judge or to delete."""

from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from schemas.topics import ALL_TOPICS
from service.kafka.check import check_kafka
from service.kafka.clients import consumers_of
from service.kafka.topics import create_topics, delete_topics, list_topics
from service.settings import KafkaSettings
from streams.ingest.notifications import ObjectChange, read_notification
from streams.kafka.topic_reader import TopicReader
from tests.doubles.notifications import aws
from tests.system.snippets import snippets_of


@pytest.fixture
def name(kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the topic is to be called, of an installation that names none as yet."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("KAFKA_REPLICATION_FACTOR", "1")
    monkeypatch.delenv("KAFKA_NOTIFICATIONS_TOPIC", raising=False)
    return f"{topic_prefix}buckets"


def test_the_function_of_the_page_sends_what_amazon_s3_calls_it_with(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_NOTIFICATIONS_TOPIC", name)
    settings = KafkaSettings()
    create_topics(settings)
    (example,) = [found for found in snippets_of("docs/upstreams.md", "python") if "def handler" in found]
    made: dict[str, Any] = {}
    exec(example, made)  # noqa: S102 - the page's own
    called_with = {"Records": [aws(key="acme/uploads/red+flower.jpg"), aws("ObjectRemoved:Delete", key="b")]}
    made["handler"](called_with, None)

    with TopicReader(consumers_of(settings, f"{name}-test"), name) as reader:
        (record,) = reader.read(reader.extents())
    first, second = read_notification(record.value)
    assert isinstance(first, ObjectChange)
    assert isinstance(second, ObjectChange)
    assert (first.key, second.kind) == ("acme/uploads/red flower.jpg", "removed")


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
