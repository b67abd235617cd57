"""A producer and a consumer of another team: they know schemas/exported/, docs/producers.md and docs/consumers.md, and no code."""

import copy
import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, Producer
from jsonschema import Draft7Validator, Draft202012Validator

from tests.system.snippets import ROOT

EXPORTED = ROOT / "schemas" / "exported"
ASYNCAPI: dict[str, Any] = json.loads((EXPORTED / "asyncapi.json").read_text())
Json = dict[str, Any]


def followed(reference: Json) -> Any:
    """What an AsyncAPI reference names: '#/channels/media.uploaded'."""
    found: Any = ASYNCAPI
    for part in reference["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return followed(found) if isinstance(found, dict) and "$ref" in found else found


def messages_of(operation: str) -> tuple[str, list[Json]]:
    """The topic of an operation and its messages."""
    said = ASYNCAPI["operations"][operation]
    return followed(said["channel"])["address"], [followed(message) for message in said["messages"]]


def check(schema: Json, value: Any) -> None:
    """Against a schema that stands inside the AsyncAPI document, whose own dialect is draft 7."""
    Draft7Validator(schema | {"components": ASYNCAPI["components"]}).validate(value)


def _text(content: bytes | str | None) -> str:
    return content.decode() if isinstance(content, bytes) else content or ""


@dataclass
class ContractProducer:
    """Makes each event from the example of the document's first message, and checks it before it is sent."""

    servers: str
    prefix: str

    def send(self, media: Json, event_id: str | None = None, occurred_at: datetime | None = None, **extra: Any) -> str:
        """Publish an upload of `media`; its event id."""
        topic, (message, *_) = messages_of("receiveUploads")
        event = copy.deepcopy(message["examples"][0]["payload"]) | extra
        event["media"] |= media
        event["event_id"] = event_id or str(uuid.uuid4())
        event["occurred_at"] = (occurred_at or datetime.now(UTC)).isoformat()
        key = f"video:{media['id']}" if media["kind"] == "video" else f"ar_content:{media['ar_content_id']}"
        headers = message["examples"][0]["headers"] | {
            "ce_id": event["event_id"],
            "ce_time": event["occurred_at"],
            "ce_subject": key,
        }
        check(message["payload"], event)
        check(message["headers"], headers)
        check(message["bindings"]["kafka"]["key"], key)
        producer = Producer({"bootstrap.servers": self.servers, "acks": "all", "partitioner": "murmur2_random"})
        producer.produce(f"{self.prefix}{topic}", key=key, value=json.dumps(event), headers=headers)
        assert producer.flush(30) == 0
        return str(event["event_id"])


@dataclass
class ContractConsumer:
    """Keeps each media's newest state; refuses what does not match the contract, and takes what is new in it."""

    servers: str
    prefix: str
    newest: dict[str, tuple[tuple[datetime, str, bool], Json]] = field(default_factory=dict)
    event_ids: list[str] = field(default_factory=list)
    """Of every record, repeats included."""

    def __post_init__(self) -> None:
        sent = [messages_of(name) for name in ("sendReady", "sendFailed")]
        self._messages = {message["name"]: message for _, messages in sent for message in messages}
        self._validators = {name: Draft202012Validator(self._schema(name)) for name in self._messages}
        config = {"bootstrap.servers": self.servers, "group.id": f"gallery-{uuid.uuid4()}"}
        self._consumer = Consumer(config | {"auto.offset.reset": "earliest", "enable.auto.commit": False})
        self._consumer.subscribe([f"{self.prefix}{topic}" for topic, _ in sent])

    def _schema(self, name: str) -> Json:
        found: Json = json.loads((EXPORTED / f"{name.removeprefix('vertexar.')}.schema.json").read_text())
        return found

    def poll(self) -> None:
        """Take what there is."""
        while (record := self._consumer.poll(0.5)) is not None:
            assert record.error() is None, record.error()
            key, value = record.key(), record.value()
            assert key is not None
            assert value is not None
            headers = {name: _text(content) for name, content in dict(record.headers() or []).items()}
            self.take(key.decode(), json.loads(value), headers)
            self._consumer.commit(message=record, asynchronous=False)

    def take(self, key: str, event: Json, headers: dict[str, str]) -> None:
        """One record: checked against both files, then compared with what is known of its media."""
        message = self._messages[headers["ce_type"]]
        self._validators[headers["ce_type"]].validate(event)
        check(message["payload"], event)
        check(message["headers"], headers)
        check(message["bindings"]["kafka"]["key"], key)
        assert re.fullmatch(r"[0-9a-f-]{36}", event["event_id"])
        assert headers["ce_id"] == event["event_id"]
        self.event_ids.append(event["event_id"])
        rank = (
            datetime.fromisoformat(event["occurred_at"]),
            event["upload_event_id"],
            headers["ce_type"] == "vertexar.thumbnail.ready.v1",
        )
        if key not in self.newest or rank > self.newest[key][0]:
            self.newest[key] = rank, event

    def close(self) -> None:
        self._consumer.close()
