"""docs/topics.md: each topic with its purpose, key, headers and an example, as a person meets it."""

import json
from typing import Any, Final

from schemas.cloudevents import MAX_EVENT_BYTES
from schemas.contracts.asyncapi import asyncapi
from schemas.topics import (
    ALL_TOPICS,
    DAY_MS,
    HOUR_MS,
    MEDIA_UPLOADED,
    MIN_INSYNC_REPLICAS,
    SAFE_REPLICAS,
    SEGMENT_MS,
    UPLOAD_AHEAD_MS,
    UPLOAD_BYTES,
    Topic,
)

_ABOUT: Final = (
    "Keys, values and headers are UTF-8 text, so every Kafka tool shows them; `thumbnails topics create` makes the topics. The same"
    " as a file: [asyncapi.json](../schemas/exported/asyncapi.json). Records of a real run: [records.md](records.md); what Kafka UI"
    " shows, and its filters: [kafka-ui.md](kafka-ui.md).\n\n"
)
_ABOUT_SETTINGS: Final = (
    f"\n«Kept for» is `retention.ms`. Kafka deletes whole segments, so `topics create` sets `segment.ms` to {SEGMENT_MS // HOUR_MS}"
    " hours: a record goes at most a day later, and a few minutes. Where a topic has"
    f" {SAFE_REPLICAS} replicas or more, `min.insync.replicas` is {MIN_INSYNC_REPLICAS}: what is acknowledged is on two brokers, and"
    " one may be down. With fewer replicas it is left to the cluster, and one broker's disk can take acknowledged events with it;"
    " `thumbnails check` and `thumbnails topics list` warn of that, and of topics that have other values:"
    " [upgrades.md](upgrades.md#topics-that-an-earlier-release-made).\n"
    f"\n`{MEDIA_UPLOADED.name}` takes batches of at most {UPLOAD_BYTES:,} bytes (`max.message.bytes`, Kafka's own default, which the"
    f" batches of every client's defaults fit; an event may have {MAX_EVENT_BYTES:,}), and timestamps of at most"
    f" {UPLOAD_AHEAD_MS // HOUR_MS} hour ahead of the broker's clock (`message.timestamp.after.max.ms`, Kafka 3.6 and later). The"
    " producer of anything else gets the broker's error at once: [producers.md](producers.md#what-to-get-right).\n"
)


def topics_page(made: str) -> str:
    """Return the page; `made` is the line that says where it comes from."""
    lines = ["# Topics\n", made, _ABOUT]
    lines.append("| topic | partitions | kept for | value | written by | read by |\n|---|---|---|---|---|---|\n")
    lines += [
        f"| [`{topic.name}`](#{_anchor(topic)}) | {topic.partitions} | {_kept_for(topic)} | {topic.value} |"
        f" {topic.written_by} | {topic.read_by} |\n"
        for topic in ALL_TOPICS
    ]
    lines.append(_ABOUT_SETTINGS)
    document = asyncapi()
    lines += [_section(topic, document) for topic in ALL_TOPICS]
    return "".join(lines)


def _anchor(topic: Topic) -> str:
    return topic.name.replace(".", "")


def _kept_for(topic: Topic) -> str:
    return "ever, the last of each key" if topic.retention_ms < 0 else f"{topic.retention_ms // DAY_MS} days"


def _section(topic: Topic, document: dict[str, Any]) -> str:
    lines = [f"\n## {topic.name}\n\n{topic.purpose}\n\nKey: {topic.key}.\n"]
    messages = document["components"]["messages"]
    lines += [_message(messages[name]) for name in document["channels"][topic.name]["messages"]]
    return "".join(lines)


def _message(message: dict[str, Any]) -> str:
    schema, example = message["headers"], message["examples"][0]
    payload = example["payload"]
    shown = " a null value.\n" if payload is None else f"\n\n```json\n{json.dumps(payload, indent=1)}\n```\n"
    said = f"\n**{message['title']}**: {message['summary']} For example:{shown}"
    rows = [
        f"| `{name}` | {'always' if name in schema['required'] else 'where there is one'} | {header['description']} |"
        f" `{example['headers'].get(name, header.get('const') or header['examples'][0])}` |\n"
        for name, header in schema["properties"].items()
    ]
    table = ["\n| header | | meaning | example |\n|---|---|---|---|\n", *rows] if rows else ["\nIt has no headers.\n"]
    return said + "".join(table)
