"""Uploads come compressed as their producers and their topic's administrator choose: the worker reads every codec."""

import json
import struct
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from tests.servers.kafka.apache import ApacheKafka
from tests.system.platform import Platform, Upload
from tests.system.stack import a_stack

TOPIC = "media.uploaded"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
"""In the order of their numbers in a batch's attributes."""
_BATCH_HEAD = struct.Struct(">qiibih")
_OF_NO_UPLOAD = "video:99"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_uploads_of_every_codec_become_ready(own_kafka: ApacheKafka, postgres_url: str, tmp_path: Path) -> None:
    with a_stack(own_kafka.bootstrap_servers, postgres_url, "", tmp_path) as stack:
        platform = stack.platform
        platform.add_rows(range(1, len(CODECS) + 2))
        for number, codec in enumerate(CODECS, 1):
            publish(platform, platform.upload(number, "image"), codec)
        assert sorted(codecs_in(own_kafka)) == sorted(CODECS)
        stack.wait_for(lambda: not platform.problems())

        # Brokers send a topic with a codec of its own only to clients whose fetch requests say that they know it.
        compress(own_kafka, "zstd")

        def topic_compresses() -> bool:
            known = codecs_in(own_kafka).count("zstd")
            platform.publish_raw(None, key=_OF_NO_UPLOAD)
            return codecs_in(own_kafka).count("zstd") > known

        stack.wait_for(topic_compresses)
        plain = codecs_in(own_kafka).count("none")
        publish(platform, platform.upload(len(CODECS) + 1, "image"), "none")
        assert codecs_in(own_kafka).count("none") == plain
        stack.wait_for(lambda: not platform.problems())
        assert platform.read_topic("thumbnail.dlq") == []


def publish(platform: Platform, upload: Upload, codec: str) -> None:
    """One batch with one record that shrinks; librdkafka sends what does not shrink as it is."""
    producer = Producer({"bootstrap.servers": platform.bootstrap_servers, "compression.type": codec})
    value = json.dumps(upload.event | {"x-note": "compressible " * 100})
    producer.produce(TOPIC, key=upload.record_key, value=value)
    assert producer.flush(30) == 0


def codecs_in(kafka: ApacheKafka) -> list[str]:
    """The codec of each batch of the topic, as the broker's log has it."""
    found = []
    for log in (kafka.folder / "data").glob(f"{TOPIC}-*/*.log"):
        content, position = log.read_bytes(), 0
        while position < len(content):
            _, length, _, _, _, attributes = _BATCH_HEAD.unpack_from(content, position)
            found.append(CODECS[attributes & 0b111])
            position += length + struct.calcsize(">qi")
    return found


def compress(kafka: ApacheKafka, codec: str) -> None:
    """As an administrator sets it on the topic."""
    setting = ConfigEntry("compression.type", codec, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, TOPIC, incremental_configs=[setting])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)
