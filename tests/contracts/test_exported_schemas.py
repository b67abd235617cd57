"""The exported files are valid by the official meta-schemas, and say of each event what the code does."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import ValidationError

from schemas import headers as h
from schemas.contracts.asyncapi import messages_of
from schemas.contracts.events import EVENTS, EventContract
from schemas.contracts.files import ASYNCAPI_FILE, EXPORTED, documents, schema_file, stale_files, write_files
from schemas.contracts.headers import ALL_HEADERS
from schemas.events import MediaUploaded, derived_event_id
from schemas.topics import ALL_TOPICS

OFFICIAL: dict[str, Any] = json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_text())
each_event = pytest.mark.parametrize("contract", EVENTS, ids=lambda contract: contract.name)


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXPORTED / ASYNCAPI_FILE).read_text())
    return found


def exported(contract: EventContract) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXPORTED / schema_file(contract)).read_text())
    return found


def checked(schema: dict[str, Any]) -> Draft202012Validator:
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for part in node for found in references(part)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for part in node.values() for found in references(part)]


@each_event
def test_a_schema_is_json_schema_2020_12_and_takes_its_examples(contract: EventContract) -> None:
    schema = exported(contract)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:vertexar:schema:{contract.name}"
    assert schema["title"]
    assert schema["description"]
    assert schema["examples"]
    for example in schema["examples"]:
        checked(schema).validate(example)


@each_event
def test_the_models_read_the_examples_and_what_they_write_is_valid(contract: EventContract) -> None:
    validator = checked(exported(contract))
    for example in exported(contract)["examples"]:
        event = contract.model.model_validate_json(json.dumps(example))
        written = json.loads(event.model_dump_json())
        validator.validate(written)
        if contract.is_ours:
            assert written == example


@each_event
@pytest.mark.parametrize(
    "change",
    [{"company_id": "1"}, {"company_id": 0}, {"event_id": ""}, {"media": {}}, {"occurred_at": 3, "produced_at": 3}],
    ids=str,
)
def test_the_schema_and_the_model_refuse_alike(contract: EventContract, change: dict[str, Any]) -> None:
    wrong = exported(contract)["examples"][0] | change
    with pytest.raises(ValidationError):
        checked(exported(contract)).validate(wrong)
    with pytest.raises(ValueError, match="validation error"):
        contract.model.model_validate_json(json.dumps(wrong))


def test_results_of_the_examples_have_the_ids_that_the_code_derives() -> None:
    by_name = {contract.name: contract.examples[0] for contract in EVENTS}
    upload = MediaUploaded.model_validate_json(json.dumps(by_name["media.uploaded.v1"]))
    for outcome in ("ready", "failed"):
        derived = derived_event_id(upload.event_id, upload.company_id, upload.media, outcome)
        assert by_name[f"thumbnail.{outcome}.v1"]["event_id"] == derived


def test_the_asyncapi_document_is_valid_by_the_official_schema(asyncapi: dict[str, Any]) -> None:
    Draft7Validator.check_schema(OFFICIAL)
    problems = [
        f"{error.json_path}: {error.message[:200]}" for error in Draft7Validator(OFFICIAL).iter_errors(asyncapi)
    ]
    assert problems == []


@pytest.mark.parametrize(
    "broken", [{"asyncapi": "2.6.0"}, {"channels": []}, {"operations": {"x": {}}}, {"extra": 1}], ids=str
)
def test_the_official_schema_would_refuse_a_broken_document(asyncapi: dict[str, Any], broken: dict[str, Any]) -> None:
    assert not Draft7Validator(OFFICIAL).is_valid(asyncapi | broken)


def test_every_reference_of_the_asyncapi_document_leads_somewhere(asyncapi: dict[str, Any]) -> None:
    found = references(asyncapi)
    assert found
    for reference in found:
        node: Any = asyncapi
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_the_examples_of_the_asyncapi_document_match_its_schemas(asyncapi: dict[str, Any]) -> None:
    for name, message in asyncapi["components"]["messages"].items():
        for example in message["examples"]:
            for part in ("payload", "headers"):
                schema = message[part] | {"components": asyncapi["components"]}
                problems = [error.message for error in Draft7Validator(schema).iter_errors(example[part])]
                assert problems == [], name


def test_the_channels_are_the_topics_with_their_settings(asyncapi: dict[str, Any]) -> None:
    channels = asyncapi["channels"]
    assert list(channels) == [topic.name for topic in ALL_TOPICS]
    for topic in ALL_TOPICS:
        binding = channels[topic.name]["bindings"]["kafka"]
        assert binding["partitions"] == topic.partitions
        assert {name: str(value) for name, value in binding["topicConfiguration"].items()} == topic.config | {
            "cleanup.policy": str([topic.cleanup_policy])
        }
        assert messages_of(topic), f"{topic.name} carries nothing"


def test_every_header_that_the_code_knows_is_in_the_contract() -> None:
    known = {
        value
        for name, value in vars(h).items()
        if name.isupper() and isinstance(value, str) and not name.startswith("MAX")
    }
    assert {header.name for header in ALL_HEADERS} == known | set(h.EXTENSIONS.values())


def test_the_same_code_writes_the_same_bytes_and_a_changed_file_is_stale(tmp_path: Path) -> None:
    assert set(write_files(tmp_path)) == set(documents())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in EXPORTED.iterdir()
    }
    assert stale_files(tmp_path) == []
    file = tmp_path / schema_file(EVENTS[0])
    file.write_text(file.read_text().replace("128", "129"))
    (tmp_path / "thumbnail.gone.v1.schema.json").write_text("{}")
    assert stale_files(tmp_path) == [file.name, "thumbnail.gone.v1.schema.json"]
