"""Topics keep what was acknowledged, and no longer than is said: new ones at once, older ones by what `check` says."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic
from typer.testing import CliRunner, Result

from schemas.topics import ALL_TOPICS, DAY_MS, UPLOAD_BYTES, Topics
from service.cli.main import app
from service.demo.broker import NoKafkaError
from service.kafka.check import check_kafka
from service.kafka.clients import client_config
from service.kafka.topics import create_topics, list_topics
from service.settings import KafkaSettings
from tests.conftest import missing
from tests.servers.kafka.cluster import Cluster, three_brokers
from tests.servers.kafka.secure import LIMITED, SecureKafka
from tests.system.stack import run_cli_here, settings_for
from tests.system.test_broker_faults import forbidden, set_topic


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three brokers, on which new topics have three replicas."""
    try:
        with three_brokers() as brokers:
            yield brokers
    except NoKafkaError as exc:
        missing(str(exc))


def settings(kafka: str, prefix: str, replicas: int) -> KafkaSettings:
    return KafkaSettings(kafka_bootstrap_servers=kafka, kafka_topic_prefix=prefix, kafka_replication_factor=replicas)


def values(made: KafkaSettings, setting: str) -> set[str | None]:
    """What all topics have."""
    names = [made.topics.name_of(topic) for topic in ALL_TOPICS]
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    admin = AdminClient({"bootstrap.servers": made.kafka_bootstrap_servers})
    return {future.result(30)[setting].value for future in admin.describe_configs(resources).values()}


def make_topics_of_0_1_0(made: KafkaSettings) -> None:
    """As `topics create` of release 0.1.0 did."""
    new = [
        NewTopic(
            made.topics.name_of(topic),
            num_partitions=topic.partitions,
            replication_factor=made.kafka_replication_factor,
            config=topic.config,
        )
        for topic in ALL_TOPICS
    ]
    admin = AdminClient({"bootstrap.servers": made.kafka_bootstrap_servers})
    for future in admin.create_topics(new, operation_timeout=30).values():
        future.result(30)
    wait_until_listed(made)


def wait_until_listed(made: KafkaSettings) -> None:
    """The controller answers before the broker that is asked next knows."""
    admin = AdminClient({"bootstrap.servers": made.kafka_bootstrap_servers})
    names = {made.topics.name_of(topic) for topic in ALL_TOPICS}
    deadline = time.monotonic() + 30
    while not names <= admin.list_topics(timeout=10).topics.keys():
        assert time.monotonic() < deadline, "the broker does not list what was made"
        time.sleep(0.05)


def value_of(made: KafkaSettings, topic: str, setting: str) -> str | None:
    admin = AdminClient({"bootstrap.servers": made.kafka_bootstrap_servers})
    (future,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
    value: str | None = future.result(30)[setting].value
    return value


def wait_until_equal(read: Callable[[], object], expected: object) -> None:
    """A broker learns of a change a moment after the controller has answered."""
    deadline = time.monotonic() + 30
    while (found := read()) != expected:
        assert time.monotonic() < deadline, f"{found} is not {expected}"
        time.sleep(0.05)


def run_create(made: KafkaSettings, *options: str) -> Result:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": made.kafka_bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": made.kafka_topic_prefix,
        "KAFKA_REPLICATION_FACTOR": str(made.kafka_replication_factor),
    }
    return CliRunner().invoke(app, ["topics", "create", *options], env=environment)


def run_check(kafka: str, prefix: str, folder: Path, *options: str) -> Result:
    environment = settings_for(kafka, f"sqlite:///{folder / 'x.db'}", prefix, folder)
    run_cli_here(environment, "db", "upgrade")
    return CliRunner().invoke(app, ["check", *options], env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("asked_for", [-1, 3], ids=["the cluster's own number", "three asked for"])
def test_with_three_replicas_a_record_is_on_two_brokers_before_it_is_acknowledged(
    cluster: Cluster, topic_prefix: str, asked_for: int
) -> None:
    made = settings(cluster.bootstrap_servers, topic_prefix, asked_for)
    cluster.wait_until_all_have(create_topics(made))
    assert values(made, "min.insync.replicas") == {"2"}
    assert values(made, "segment.ms") == {str(DAY_MS)}
    found = check_kafka(made)
    assert (found.problem, found.warnings) == (None, ())


@pytest.mark.slow
def test_topics_of_an_earlier_release_pass_the_check_which_says_what_to_set(
    cluster: Cluster, topic_prefix: str, tmp_path: Path
) -> None:
    servers = cluster.bootstrap_servers
    made = settings(servers, topic_prefix, 3)
    make_topics_of_0_1_0(made)
    cluster.wait_until_all_have(Topics(topic_prefix).names_of(ALL_TOPICS))
    assert create_topics(made) == ()
    assert [state.problems for state in list_topics(made) if state.problems] == []
    done = run_check(servers, topic_prefix, tmp_path)
    assert done.exit_code == 0, done.output
    for setting, actual, wanted in (("segment.ms", 7 * DAY_MS, DAY_MS), ("min.insync.replicas", 1, 2)):
        sentence = f"{setting} is {actual} instead of {wanted} on all {len(ALL_TOPICS)} topics"
        (line,) = [line for line in done.output.splitlines() if sentence in line]
        assert "`thumbnails topics create --update` sets it" in line


@pytest.mark.slow
def test_an_update_says_what_it_would_change_changes_it_and_has_nothing_left(
    cluster: Cluster, topic_prefix: str
) -> None:
    made = settings(cluster.bootstrap_servers, topic_prefix, 3)
    make_topics_of_0_1_0(made)
    cluster.wait_until_all_have(Topics(topic_prefix).names_of(ALL_TOPICS))
    before = values(made, "segment.ms")
    dry = run_create(made, "--update", "--dry-run")
    assert dry.exit_code == 0, dry.output
    lines = [line for line in dry.output.splitlines() if line.startswith("Would change ")]
    assert f"Would change {topic_prefix}thumbnail.dlq: segment.ms {7 * DAY_MS} -> {DAY_MS}" in lines
    assert values(made, "segment.ms") == before
    done = run_create(made, "--update")
    assert done.exit_code == 0, done.output
    assert [line.replace("Changed", "Would change") for line in done.output.splitlines() if "Changed" in line] == lines
    assert "Records that are older than their topic keeps them go soon after" in done.output
    wait_until_equal(lambda: values(made, "segment.ms"), {str(DAY_MS)})
    wait_until_equal(lambda: values(made, "min.insync.replicas"), {"2"})
    wait_until_equal(lambda: check_kafka(made).warnings, ())
    assert run_create(made, "--update").output.split(".")[0] == "Every topic has its settings already"


@pytest.mark.slow
def test_an_update_leaves_other_settings_of_a_topic_alone(cluster: Cluster, topic_prefix: str) -> None:
    made = settings(cluster.bootstrap_servers, topic_prefix, 3)
    cluster.wait_until_all_have(create_topics(made))
    uploads = f"{topic_prefix}media.uploaded"
    set_topic(cluster.bootstrap_servers, uploads, "compression.type", "zstd")
    set_topic(cluster.bootstrap_servers, uploads, "max.message.bytes", "1048588")
    wait_until_equal(lambda: value_of(made, uploads, "max.message.bytes"), "1048588")
    assert run_create(made, "--update").exit_code == 0
    wait_until_equal(lambda: value_of(made, uploads, "max.message.bytes"), str(UPLOAD_BYTES))
    assert value_of(made, uploads, "compression.type") == "zstd"


@pytest.mark.slow
def test_one_broker_is_enough_for_the_check_which_says_what_can_be_lost(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    made = settings(kafka, topic_prefix, 1)
    create_topics(made)
    wait_until_listed(made)
    assert values(made, "segment.ms") == {str(DAY_MS)}
    done = run_check(kafka, topic_prefix, tmp_path)
    assert done.exit_code == 0, done.output
    (warning,) = [line for line in done.output.splitlines() if "Warning:" in line]
    assert f"The number of replicas is 1 instead of 3 on all {len(ALL_TOPICS)} topics" in warning
    as_json = run_check(kafka, topic_prefix, tmp_path, "--json")
    assert as_json.exit_code == 0
    assert set(json.loads(as_json.stdout).values()) == {None}
    assert "The number of replicas is 1" in as_json.stderr


def test_the_list_of_topics_says_it_too_and_is_no_failure(kafka: str, topic_prefix: str) -> None:
    make_topics_of_0_1_0(settings(kafka, topic_prefix, 1))
    environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "KAFKA_TOPIC_PREFIX": topic_prefix}
    done = CliRunner().invoke(app, ["topics", "list"], env=environment)
    assert done.exit_code == 0, done.output
    assert f"Warning: segment.ms is {7 * DAY_MS} instead of {DAY_MS} on all {len(ALL_TOPICS)} topics" in done.output


def test_who_may_not_ask_for_a_broker_s_settings_makes_topics_all_the_same(
    secure_kafka: SecureKafka, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (secure_kafka.clear(LIMITED) | {"KAFKA_TOPIC_PREFIX": topic_prefix}).items():
        monkeypatch.setenv(name, value)
    limited = KafkaSettings()
    with forbidden(secure_kafka.bootstrap_servers, ResourceType.BROKER, "kafka-cluster", AclOperation.DESCRIBE_CONFIGS):
        admin = AdminClient(client_config(limited))  # its futures end with it
        (asked,) = admin.describe_configs([ConfigResource(ResourceType.BROKER, "1")]).values()
        with pytest.raises(KafkaException, match="authorization"):
            asked.result(30)
        assert len(create_topics(limited)) == len(ALL_TOPICS)
