"""Reads batches whose header names are no UTF-8, and names the batch that cannot be read: aiokafka's own reader does neither.

aiokafka's exception ends the worker at that record at each start, and says neither topic nor offset.
"""

from typing import Any, Final

import structlog
from aiokafka.consumer import fetcher  # type: ignore[import-untyped] # it has no stubs
from aiokafka.record.default_records import (  # type: ignore[import-untyped] # it has no stubs
    _DefaultRecordBatchPy,
)
from aiokafka.record.memory_records import (  # type: ignore[import-untyped] # it has no stubs
    MemoryRecords,
    _MemoryRecordsPy,
)

from streams.kafka.messages import UnreadableBatchError

log = structlog.get_logger(__name__)

_V2: Final = 2
"""The first format that has headers."""


class _LenientBytes(bytearray):
    """Bytes whose every part is decoded with replacement; keys and values are copied as they are."""

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return _LenientBytes(part) if isinstance(part, bytearray) else part

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        """Return the text."""
        return super().decode(encoding, errors)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc] # it has no stubs
    """aiokafka's reader in Python, which decodes nothing but header names."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        is_done = self._decompressed
        super()._maybe_uncompress()
        if not is_done:
            self._buffer: Any = _LenientBytes(self._buffer)


class _LenientRecords(_MemoryRecordsPy):  # type: ignore[misc] # it has no stubs
    def next_batch(self) -> Any:
        """Return the next batch, as aiokafka does, but a lenient one where the format has headers."""
        piece = self._next_slice
        if piece is None or len(piece) < self.MIN_SLICE or piece[self.MAGIC_OFFSET] < _V2:
            return super().next_batch()
        self._cache_next()
        return _LenientBatch(piece)


class FetchedRecords(MemoryRecords):  # type: ignore[misc] # it has no stubs
    """The bytes that a broker sent of one partition, read by aiokafka's reader in C, and kept to be read once more."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data: Final = data


class AnyRecords(fetcher.PartitionRecords):  # type: ignore[misc] # it has no stubs
    """Reads with aiokafka's fast reader as far as it can, then leniently. Raises UnreadableBatchError.

    Records before an unreadable batch are handed out first; the error is raised once that batch is next.
    """

    def __init__(self, tp: Any, records: Any, aborted_transactions: Any, *others: Any) -> None:
        super().__init__(tp, records, aborted_transactions, *others)
        self._data: Final[bytes] = records.data
        self._aborted: Final = tuple(aborted_transactions or ())
        self._is_lenient = False
        self._has_given = False

    @property
    def next_fetch_offset(self) -> int:
        """Return the offset after what was handed out. It only grows: a batch that is read again does not set it back."""
        return self._next_fetch_offset

    @next_fetch_offset.setter
    def next_fetch_offset(self, offset: int) -> None:
        self._next_fetch_offset = max(offset, getattr(self, "_next_fetch_offset", offset))

    def __next__(self) -> Any:
        try:
            record = super().__next__()
        except StopIteration:
            raise
        except Exception as exc:
            if not self._is_lenient:
                self._read_again()
                return next(self)
            if self._has_given:
                raise StopIteration from exc
            error = UnreadableBatchError(self._tp, self.next_fetch_offset, _reason(exc), self._last_offset())
            log.critical("batch_unreadable", reason=str(error), **error.log_fields)
            raise error from exc
        self._has_given = True
        return record

    def _read_again(self) -> None:
        """Begin again at the first batch; aiokafka leaves out the records before `next_fetch_offset`."""
        self._is_lenient = True
        self._records = _LenientRecords(self._data)
        self._aborted_transactions = sorted(self._aborted, key=lambda aborted: aborted[1])
        self._aborted_producers: set[int] = set()
        self._records_iterator = self._unpack_records()

    def _last_offset(self) -> int | None:
        """Return the last offset of the batch that holds the next one, as its own head says; None where it says nothing."""
        records = _LenientRecords(self._data)
        try:
            while records.has_next():
                batch = records.next_batch()
                if batch.next_offset > self.next_fetch_offset:
                    return int(batch.next_offset) - 1
        except Exception:  # noqa: BLE001 - the batch cannot be read: its head may be broken too
            return None
        return None


def _reason(exc: Exception) -> str:
    return str(exc) or type(exc).__name__


def read_any_batch() -> None:
    """Let every consumer of this process read so: aiokafka's fetcher has no setting for it."""
    fetcher.MemoryRecords = FetchedRecords
    fetcher.PartitionRecords = AnyRecords
