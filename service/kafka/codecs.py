"""Proves that the worker's Kafka client reads each of Kafka's compression codecs, by decompressing a batch of each."""

from typing import Final

from aiokafka.record.default_records import (  # type: ignore[import-untyped] # it has no stubs
    DefaultRecordBatch,
    DefaultRecordBatchBuilder,
)
from aiokafka.record.memory_records import MemoryRecords  # type: ignore[import-untyped] # it has no stubs

from service.roles.checks import CheckResult

NAME: Final = "Compression codecs of Kafka records"
_CODECS: Final = {
    "gzip": DefaultRecordBatch.CODEC_GZIP,
    "snappy": DefaultRecordBatch.CODEC_SNAPPY,
    "lz4": DefaultRecordBatch.CODEC_LZ4,
    "zstd": DefaultRecordBatch.CODEC_ZSTD,
}
_OF_PYTHON: Final = frozenset({"gzip"})
_VALUE: Final = b"thumbnail " * 50
"""It shrinks: a batch that does not is stored as it is, and would prove nothing."""
_BATCH_BYTES: Final = 16 * 1024


def check_codecs() -> CheckResult:
    """Gzip, snappy, lz4 and zstd are read: a batch of a codec that is not would end every worker that meets it."""
    broken = {name: problem for name, codec in _CODECS.items() if (problem := _problem(codec)) is not None}
    if not broken:
        return CheckResult(NAME, None)
    missing = ["a Python with zlib"] if broken.keys() & _OF_PYTHON else []
    missing += ["the package cramjam, in the version of requirements.lock"] if broken.keys() - _OF_PYTHON else []
    reason = next(iter(broken.values()))
    return CheckResult(
        NAME,
        f"aiokafka cannot read {', '.join(broken)} ({reason}), and the first such record would stop the worker:"
        f" install {', and '.join(missing)}.",
    )


def _problem(codec: int) -> str | None:
    """Why a batch that is compressed by `codec` does not come back; None when it does."""
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
    except Exception as exc:  # noqa: BLE001 - whatever a library raises here, the worker would end by it
        return str(exc).rstrip(".") or type(exc).__name__
    return None if read == [_VALUE] else "what was read is not what was written"
