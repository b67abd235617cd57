"""Proves that the worker's Kafka client reads each of Kafka's compression codecs, by decompressing a batch of each."""

from typing import Final

from aiokafka.record.default_records import (  # type: ignore[import-untyped] # it has no stubs
    DefaultRecordBatch,
    DefaultRecordBatchBuilder,
)
from aiokafka.record.memory_records import MemoryRecords  # type: ignore[import-untyped] # it has no stubs

_CODECS: Final = {
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}
_VALUE: Final = b"thumbnail " * 50
"""It shrinks: a batch that does not is stored as it is, and would prove nothing."""
_BATCH_BYTES: Final = 16 * 1024


def unreadable_codecs() -> dict[str, str]:
    """Return each codec of gzip, snappy, lz4 and zstd that aiokafka cannot read, with the reason."""
    return {name: problem for name, codec in _CODECS.items() if (problem := _problem(codec)) is not None}


def _problem(codec: int) -> str | None:
    """Return why a batch that is compressed by `codec` does not come back; None when it does."""
    try:
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=codec,
            is_transactional=0,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=-1,
            batch_size=_BATCH_BYTES,
        )
        builder.append(0, timestamp=0, key=None, value=_VALUE, headers=[])
        batch = MemoryRecords(bytes(builder.build())).next_batch()
        read = [] if batch is None else [record.value for record in batch]
    except Exception as exc:  # noqa: BLE001 - whatever a library raises here would end the worker
        return str(exc).rstrip(".") or type(exc).__name__
    return None if read == [_VALUE] else "what was read is not what was written"
