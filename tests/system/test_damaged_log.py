"""A batch is damaged on the broker's disk: the worker says which, all else goes on, and the runbook's way leads past it."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.servers.kafka.apache import ApacheKafka
from tests.system.platform import Upload
from tests.system.stack import Stack, a_stack

TOPIC, DAMAGED = "media.uploaded", 0
FIRST, LAST = 1, 2
"""The offsets of the damaged batch."""


def produce_batch(kafka: ApacheKafka, uploads: list[Upload], partition: int = DAMAGED) -> None:
    """One batch with all of them."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 500})
    for upload in uploads:
        producer.produce(TOPIC, json.dumps(upload.event), upload.record_key, partition=partition)
    assert producer.flush(30) == 0


def flip_a_byte_of(kafka: ApacheKafka, upload: Upload) -> None:
    """In the segment that holds the upload's record, as a bad disk does."""
    (segment,) = (kafka.folder / "data" / f"{TOPIC}-{DAMAGED}").glob("*.log")
    content = bytearray(segment.read_bytes())
    content[content.index(upload.event["event_id"].encode())] ^= 0xFF
    segment.write_bytes(content)


def committed(admin: AdminClient, group: str) -> int:
    place = TopicPartition(TOPIC, DAMAGED)
    (future,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [place])]).values()
    (found,) = future.result(10).topic_partitions
    return int(found.offset)


def has_no_member(admin: AdminClient, group: str) -> bool:
    state: ConsumerGroupState = admin.describe_consumer_groups([group])[group].result(10).state
    return state == ConsumerGroupState.EMPTY


def is_ready(stack: Stack, upload: Upload) -> bool:
    return bool((stack.platform.row(upload.record_key) or {})["thumbnail_status"] == "ready")


def wait_until(happened: Callable[[], bool]) -> None:
    """While no worker runs."""
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def end_of(stack: Stack) -> str:
    """What the worker says when it ends with code 1 while the other roles go on."""
    worker, *others = stack.supervisor.roles
    assert worker.process.wait(60) == 1
    assert [role.process.poll() for role in others] == [None, None]
    return worker.log.read_text()[worker.log_from :]


@pytest.mark.slow
def test_a_damaged_batch_is_named_and_the_way_past_it_loses_its_records_alone(
    own_kafka: ApacheKafka, postgres_url: str, tmp_path: Path
) -> None:
    with a_stack(own_kafka.bootstrap_servers, postgres_url, "", tmp_path) as stack:
        platform, group = stack.platform, stack.environment["WORKER_GROUP"]
        platform.add_rows(range(1, 6))
        before, lost, lost_too, after, elsewhere = (platform.upload(number, "image") for number in range(1, 6))
        worker = stack.supervisor.of("worker")[0]
        worker.process.terminate()
        assert worker.process.wait(30) == 0
        for batch in ([before], [lost, lost_too], [after]):
            produce_batch(own_kafka, batch)
        own_kafka.stop_process()
        flip_a_byte_of(own_kafka, lost)
        own_kafka.start()
        admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap_servers})

        stack.supervisor.restart_ended()
        said = end_of(stack)
        while committed(admin, group) != FIRST:  # as the runbook says: start it again until it is so
            stack.supervisor.restart_ended()
            said = end_of(stack)
        assert f"A batch of {TOPIC} cannot be read: partition {DAMAGED}, offset {FIRST} to {LAST} (" in said
        assert "docs/runbooks.md" in said
        wait_until(lambda: is_ready(stack, before))
        wait_until(lambda: has_no_member(admin, group))
        past = ConsumerGroupTopicPartitions(group, [TopicPartition(TOPIC, DAMAGED, LAST + 1)])
        (moved,) = admin.alter_consumer_group_offsets([past]).values()
        assert moved.result(10).topic_partitions[0].error is None
        stack.supervisor.restart_ended()
        produce_batch(own_kafka, [elsewhere], partition=3)
        stack.wait_for(lambda: is_ready(stack, after) and is_ready(stack, elsewhere))
        assert not is_ready(stack, lost)
        assert not is_ready(stack, lost_too)
        platform.publish([lost, lost_too])
        stack.wait_for(lambda: not platform.problems())
        assert platform.read_topic("thumbnail.dlq") == []
