"""Batches that no producer's library makes: header names that are no UTF-8, wrong checksums, broken compression."""

from collections.abc import Sequence
from typing import Any

from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped] # it has no stubs
from aiokafka.protocol.produce import ProduceRequest  # type: ignore[import-untyped] # it has no stubs
from aiokafka.record.default_records import (  # type: ignore[import-untyped] # it has no stubs
    _DefaultRecordBatchBuilderPy,
)
from aiokafka.structs import TopicPartition  # type: ignore[import-untyped] # it has no stubs

RawRecord = tuple[bytes | None, bytes | None, Sequence[tuple[bytes, bytes | None]]]
"""Key, value and headers, whose names may be any bytes."""
GZIP = 1


class _Name:
    """A header name whose bytes are any."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def encode(self, _encoding: str) -> bytes:
        return self._raw


class _Builder(_DefaultRecordBatchBuilderPy):  # type: ignore[misc] # it has no stubs
    is_falsely_compressed = False

    def _maybe_compress(self) -> bool:
        return self.is_falsely_compressed or bool(super()._maybe_compress())


def _builder(records: Sequence[RawRecord], codec: int, timestamp_ms: int = 0, producer_id: int = -1) -> Any:
    builder = _Builder(2, codec, producer_id >= 0, producer_id, -1, -1, 64 * 1024**2)
    for number, (key, value, headers) in enumerate(records):
        named = [(_Name(name), content) for name, content in headers]
        builder.append(number, timestamp=timestamp_ms, key=key, value=value, headers=named)
    return builder


def a_batch(*records: RawRecord, codec: int = 0, timestamp_ms: int = 0, producer_id: int = -1) -> bytes:
    """The bytes of a batch of these records; `producer_id` is that of a transaction."""
    return bytes(_builder(records, codec, timestamp_ms, producer_id).build())


def damaged(*records: RawRecord) -> bytes:
    """A batch with another byte at its end: its checksum is wrong."""
    batch = a_batch(*records)
    return batch[:-1] + bytes([batch[-1] ^ 0xFF])


def not_compressed(*records: RawRecord) -> bytes:
    """A batch with the right checksum that says it is compressed by gzip, and is not."""
    builder = _builder(records, GZIP)
    builder.is_falsely_compressed = True
    return bytes(builder.build())


async def produce(servers: str, topic: str, *batches: bytes, partition: int = 0) -> list[int]:
    """Send each batch as it is; return the offset of each one's first record. Raises AssertionError for what the broker refuses."""
    offsets = []
    client = AIOKafkaClient(bootstrap_servers=servers)
    await client.bootstrap()
    try:
        await client.set_topics([topic])
        leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        for batch in batches:
            answer = await client.send(leader, ProduceRequest(None, -1, 10_000, [(topic, [(partition, batch)])]))
            _, error, offset, *_ = answer.topics[0][1][0]
            assert error == 0, answer
            offsets.append(offset)
    finally:
        await client.close()
    return offsets
