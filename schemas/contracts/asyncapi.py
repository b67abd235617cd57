"""Build the AsyncAPI 3.0 document: every topic, its senders and receivers, and its records."""

from importlib.metadata import version
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from schemas.contracts import examples
from schemas.contracts.channels import CARRIERS, MEDIA_KEY_PATTERN, OPERATIONS, Carrier
from schemas.contracts.events import EVENTS, EventContract
from schemas.topics import ALL_TOPICS, Topic

ASYNCAPI: Final = "3.0.0"
BINDING: Final = "0.5.0"
_ABOUT: Final = (
    "Thumbnails for every upload: media.uploaded in, thumbnail.ready or thumbnail.failed out, and on thumbnail.state the"
    " present state of each media. Producers: docs/producers.md;"
    " consumers: docs/consumers.md. Delivery is at least once; records of one key keep their order within a topic."
    " Topics may have a prefix (KAFKA_TOPIC_PREFIX), consumer groups another name (WORKER_GROUP)."
)
_GROUPS: Final = {"worker": "thumbnails", "persist": "thumbnails-persist", "retry": "thumbnails-retry"}
_MEDIA_KEY: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": MEDIA_KEY_PATTERN,
    "description": "The media, UTF-8: records of one media stay in their order.",
    "examples": ["video:42", "ar_content:9"],
}


def asyncapi() -> dict[str, Any]:
    """Return the whole document. Payloads use AsyncAPI 3.0's own schema dialect, so that every tool reads them."""
    messages = {contract.title: _event(contract) for contract in EVENTS} | {one.name: _carrier(one) for one in CARRIERS}
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "Thumbnail pipeline",
            "version": version("thumbnail-pipeline"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "compose": {
                "host": "localhost:29092",
                "protocol": "kafka",
                "description": "The broker of `make up`; yours is KAFKA_BOOTSTRAP_SERVERS.",
            }
        },
        "channels": {topic.name: _channel(topic) for topic in ALL_TOPICS},
        "operations": {operation.name: _operation(operation.name) for operation in OPERATIONS},
        "components": {"messages": messages, "schemas": _schemas()},
    }


def messages_of(topic: Topic) -> tuple[str, ...]:
    """Return the names of the messages that a topic carries."""
    return tuple(dict.fromkeys(name for one in OPERATIONS if one.topic == topic for name in one.messages))


def _channel(topic: Topic) -> dict[str, Any]:
    limit = {} if topic.max_message_bytes is None else {"max.message.bytes": topic.max_message_bytes}
    configuration = {"cleanup.policy": [topic.cleanup_policy], "retention.ms": topic.retention_ms} | limit
    binding = {"partitions": topic.partitions, "topicConfiguration": configuration, "bindingVersion": BINDING}
    return {
        "address": topic.name,
        "summary": topic.purpose,
        "description": f"Written by {topic.written_by}; read by {topic.read_by}. Key: {topic.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages_of(topic)},
        "bindings": {"kafka": binding},
    }


def _operation(name: str) -> dict[str, Any]:
    (found,) = [operation for operation in OPERATIONS if operation.name == name]
    said: dict[str, Any] = {
        "action": found.action,
        "channel": {"$ref": f"#/channels/{found.topic.name}"},
        "summary": found.summary,
        "tags": [{"name": found.role}],
        "messages": [{"$ref": f"#/channels/{found.topic.name}/messages/{message}"} for message in found.messages],
    }
    if found.action == "receive":
        group = {"type": "string", "enum": [_GROUPS[found.role]]}
        said["bindings"] = {"kafka": {"groupId": group, "bindingVersion": BINDING}}
    return said


def _event(contract: EventContract) -> dict[str, Any]:
    return {
        "name": contract.event_type,
        "title": contract.title,
        "summary": contract.summary,
        "contentType": "application/json",
        "headers": contract.headers,
        "payload": {"$ref": f"#/components/schemas/{contract.title}"},
        "bindings": _key(contract.key or _MEDIA_KEY),
        "examples": [
            {"name": f"example{number}", "headers": event_headers(contract, payload), "payload": payload}
            for number, payload in enumerate(contract.examples, start=1)
        ],
    }


def event_headers(contract: EventContract, payload: dict[str, Any]) -> dict[str, str]:
    """Return the headers of an example record in CloudEvents' binary mode."""
    headers = {name: examples.HEADERS[name] for name in contract.headers["properties"]}
    media = payload["media"]
    subject = f"video:{media['id']}" if media["kind"] == "video" else f"ar_content:{media['ar_content_id']}"
    moment = payload.get("produced_at") or payload.get("updated_at") or payload["occurred_at"]
    source = {"ce_source": "/thumbnail-pipeline"} if contract.is_ours else {}
    context = {"ce_id": payload["event_id"], "ce_type": contract.event_type, "ce_time": moment, "ce_subject": subject}
    return headers | context | source


def _carrier(carrier: Carrier) -> dict[str, Any]:
    headers = {name: examples.HEADERS[name] for name in carrier.headers["required"]}
    return {
        "name": carrier.name,
        "title": carrier.name,
        "summary": carrier.summary,
        "headers": carrier.headers,
        "payload": carrier.payload,
        "bindings": _key(carrier.key or _MEDIA_KEY),
        "examples": [{"name": "example", "headers": headers, "payload": carrier.example}],
    }


def _key(schema: dict[str, Any]) -> dict[str, Any]:
    return {"kafka": {"key": schema, "bindingVersion": BINDING}}


def _schemas() -> dict[str, Any]:
    """Return every model under its own name: the events that we read as we read them, those that we write as we write them."""
    wanted = [(contract.model, contract.mode) for contract in EVENTS]
    names, definitions = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    found: dict[str, Any] = definitions["$defs"]
    for contract in EVENTS:
        found[contract.title] |= {"examples": list(contract.examples)}
    assert all(names[contract.model, contract.mode]["$ref"].endswith(f"/{contract.title}") for contract in EVENTS)  # noqa: S101
    return found
