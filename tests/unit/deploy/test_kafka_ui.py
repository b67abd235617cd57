"""Kafka UI's configuration: keys that it has, patterns that match our topics, masks that hide secrets and no known header."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas import headers as h
from schemas.contracts.events import EVENTS
from schemas.contracts.json_schema import json_schema
from schemas.topics import ALL_TOPICS

ROOT = Path(__file__).parents[3]
CLUSTER: dict[str, Any] = yaml.safe_load((ROOT / "deploy/kafka-ui/config.yml").read_text())["kafka"]["clusters"][0]
PAGE = (ROOT / "docs" / "kafka-ui.md").read_text()

# From kafbat's ClustersProperties.java; Spring ignores a key that it does not know without a word.
CLUSTER_KEYS = {"name", "bootstrapServers", "readOnly", "defaultKeySerde", "defaultValueSerde", "serde", "masking"}
SERDE_KEYS = {"name", "properties", "topicKeysPattern", "topicValuesPattern"}
MASK_KEYS = {"type", "fieldsNamePattern", "replacement", "topicValuesPattern"}
OURS = {f"thumbnail.{name}" for name in ("ready", "failed", "state", "deleted", "cleanup", "cleanup.waiting")}


def is_masked(topic: str, field: str) -> bool:
    """As kafbat does it: every mask whose topic pattern matches the whole name, at any depth of the value."""
    masks = [mask for mask in CLUSTER["masking"] if re.fullmatch(mask["topicValuesPattern"], topic)]
    return any(re.fullmatch(mask["fieldsNamePattern"], field) for mask in masks)


def fields(schema: dict[str, Any]) -> set[str]:
    return {name for model in (schema, *schema["$defs"].values()) for name in model.get("properties", {})}


def test_kafka_ui_knows_every_key() -> None:
    assert set(CLUSTER) <= CLUSTER_KEYS
    assert all(set(serde) <= SERDE_KEYS for serde in CLUSTER["serde"])
    assert all(set(mask) == MASK_KEYS and mask["type"] == "REPLACE" for mask in CLUSTER["masking"])


def test_compose_mounts_the_file_where_kafka_ui_looks_for_it() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["kafka-ui"]
    (mount,) = service["volumes"]
    source, target, mode = mount.split(":")
    assert (ROOT / source).is_file()
    assert (service["environment"], mode) == ({"SPRING_CONFIG_ADDITIONAL-LOCATION": target}, "ro")


@pytest.mark.parametrize("prefix", ["", "eu.staging."])
@pytest.mark.parametrize("topic", [topic.name for topic in ALL_TOPICS])
def test_every_topic_is_read_as_text(prefix: str, topic: str) -> None:
    (serde,) = CLUSTER["serde"]
    assert re.fullmatch(serde["topicKeysPattern"], prefix + topic)
    assert re.fullmatch(serde["topicValuesPattern"], prefix + topic)


@pytest.mark.parametrize(
    "field", ["password", "secret_key", "accessToken", "X-Amz-Signature", "api_key", "Authorization"]
)
def test_secrets_are_masked_in_every_topic_with_values_of_others_or_of_ours(field: str) -> None:
    assert {topic.name for topic in ALL_TOPICS if not is_masked(topic.name, field)} == {"thumbnail.dlq.replays"}


@pytest.mark.parametrize("field", ["url", "signed_url", "sourceUrl", "uri"])
def test_urls_of_others_are_masked_and_our_own_are_shown(field: str) -> None:
    shown = {topic.name for topic in ALL_TOPICS if not is_masked(f"p.{topic.name}", field)}
    assert shown == OURS | {"thumbnail.dlq.replays"}


@pytest.mark.parametrize("contract", EVENTS, ids=lambda contract: contract.name)
def test_no_field_of_the_contract_is_masked_on_its_own_topic(contract: Any) -> None:
    assert [name for name in fields(json_schema(contract)) if is_masked(contract.topic.name, name)] == []


def test_the_filters_use_headers_fields_and_topics_that_there_are() -> None:
    known = {value for name, value in vars(h).items() if name.isupper() and isinstance(value, str)}
    used = set(re.findall(r"headers\['([^']+)'\]", PAGE)) | set(re.findall(r"'([^']+)' in record\.headers", PAGE))
    assert used
    assert used <= known
    named = {name for row in re.findall(r"record\.value((?:\.\w+)+)", PAGE) for name in row.strip(".").split(".")}
    assert named <= set.union(*(fields(json_schema(contract)) for contract in EVENTS))
    topics = {topic.name for topic in ALL_TOPICS}
    assert set(re.findall(r"`((?:media|thumbnail)\.[a-z.0-9]+)`", PAGE)) <= topics
