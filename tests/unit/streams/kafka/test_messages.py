"""What confluent-kafka raises for, on librdkafka's own mock broker: header names that are no UTF-8, unreadable batches."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from time import monotonic

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as PartitionOffset

from service.kafka.clients import consumer_config
from service.settings import KafkaSettings
from streams.kafka.client import explain_fault, read_records
from streams.kafka.messages import UNKNOWN_NAME, UnreadableBatchError
from streams.kafka.reader import COMMITTED_ONLY, Extent, PartitionReader, TopicReadError
from streams.kafka.records import InboundRecord
from tests.doubles.raw_batches import GZIP, a_batch, damaged, not_compressed, produce

READ_WITHIN_S = 20
MANY = tuple((b"h%d" % number, b"x") for number in range(10_000))
GOOD = (b"k", b"good", ())


@pytest.fixture(scope="module")
def servers() -> Iterator[str]:
    """A broker within librdkafka, which keeps whatever bytes it is sent."""
    host = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = host.list_topics(timeout=10).brokers.values()
    yield f"{broker.host}:{broker.port}"
    assert host.flush(1) == 0


@pytest.fixture
def topic() -> str:
    return f"topic-{uuid.uuid4().hex[:8]}"


def put(servers: str, topic: str, *batches: bytes) -> None:
    Producer({"bootstrap.servers": servers, "log_level": 0}).list_topics(topic, timeout=10)  # makes it
    asyncio.run(produce(servers, topic, *batches))


@pytest.fixture
def consumer(servers: str) -> Iterator[Consumer]:
    settings = KafkaSettings(kafka_bootstrap_servers=servers)
    made = Consumer(consumer_config(settings, "group") | COMMITTED_ONLY | {"enable.partition.eof": False})
    yield made
    made.close()


def read(consumer: Consumer, topic: str, count: int, offset: int = 0) -> list[InboundRecord]:
    consumer.assign([PartitionOffset(topic, 0, offset)])
    found: list[InboundRecord] = []
    give_up_at = monotonic() + READ_WITHIN_S
    while len(found) < count and monotonic() < give_up_at:
        found += read_records(consumer, 100, 0.2)
    return found


def test_header_names_that_are_no_utf_8_are_replaced_and_nothing_else_changes(
    servers: str, topic: str, consumer: Consumer
) -> None:
    odd = ((b"bad\xff", b"v"), (b"null", None), (b"\xfe", None), (b"ok", b"\xff"), (b"", b""), ("é".encode(), b"w"))
    first_ones = [(b"k", b"1", odd)] * 50  # as often as it takes until the interpreter has optimised the call
    put(servers, topic, a_batch(*first_ones, (None, b"2", MANY), codec=GZIP), a_batch((b"k", b"3", ())))
    *others, first, many, last = read(consumer, topic, 52)
    assert {other.headers for other in others} == {first.headers}
    assert (first.key, first.value) == (b"k", b"1")
    assert first.headers == (
        (UNKNOWN_NAME, b"v"),
        ("null", None),
        (UNKNOWN_NAME, None),
        ("ok", b"\xff"),
        ("", b""),
        ("é", b"w"),
    )
    assert len(many.headers) == len(MANY)
    assert (last.value, last.headers) == (b"3", ())


@pytest.mark.parametrize("spoil", [damaged, not_compressed])
def test_what_comes_before_a_batch_that_cannot_be_read_is_read_and_its_place_is_named(
    servers: str, topic: str, consumer: Consumer, spoil: Callable[..., bytes]
) -> None:
    put(servers, topic, a_batch(GOOD, GOOD), spoil((b"k", b"x" * 100, ()), GOOD), a_batch(GOOD))
    read_ahead = read(consumer, topic, 2)
    consumer.assign([PartitionOffset(topic, 0, 2)])
    for _ in range(20):  # nobody has worked on these yet, so the batch must be read again
        assert read_records(consumer, 10, 0.05, after=read_ahead) == []
    assert [record.offset for record in read(consumer, topic, 2)] == [0, 1]
    for offset in (2, 3):  # the broker sends the whole batch
        with pytest.raises(UnreadableBatchError) as raised:
            read(consumer, topic, 1, offset)
        sentence = explain_fault(raised.value)
        assert f"A batch of {topic} cannot be read: partition 0, offset 2" in sentence
        assert "docs/runbooks.md" in sentence
        assert raised.value.log_fields["offset"] == 2


def test_a_command_that_reads_such_a_topic_names_the_place(servers: str, topic: str, consumer: Consumer) -> None:
    put(servers, topic, a_batch(GOOD), damaged(GOOD))
    reader = PartitionReader(consumer)
    with pytest.raises(TopicReadError, match=rf"A batch of {topic} cannot be read: partition 0, offset 1 "):
        list(reader.read({(topic, 0): Extent(0, 2)}))
