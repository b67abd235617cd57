"""A source as a seekable file, read in few and large requests."""

import io
import time
from collections import OrderedDict
from typing import Final

from processors.limits import (
    BLOCK_BYTES,
    CACHE_BYTES,
    MAX_BLOCK_RUN_BYTES,
    MAX_BYTES_READ,
    MAX_HANDED_OUT_BYTES,
    MAX_READ_BYTES,
    MAX_READS,
    bytes_budget,
)
from processors.types import Source
from schemas.errors import ErrorCode, PermanentError, TransientError


class BytesInMemory:
    """A source that is read already."""

    def __init__(self, content: bytes) -> None:
        self._content: Final = content
        self.size: Final = len(content)

    def read_at(self, offset: int, length: int) -> bytes:
        """See processors.types.Source."""
        return self._content[offset : offset + length]


class SourceFile(io.BufferedIOBase):
    """Caches blocks; one request covers a whole run of missing ones, and sequential reading asks for longer runs.

    `read_s` and `bytes_read` say what the source has cost so far. Raises PermanentError media.corrupt at the first read
    beyond `max_reads` or `max_bytes_read`, or when a library reads in circles: no sound file needs so many.
    """

    def __init__(self, source: Source, *, max_reads: int = MAX_READS, max_bytes_read: int = MAX_BYTES_READ) -> None:
        super().__init__()
        self._reads_left = max_reads
        self._bytes_budget: Final = bytes_budget(source.size, max_bytes_read)
        self._handed_out_left = 16 * source.size + MAX_HANDED_OUT_BYTES
        self._source: Final = source
        self.size: Final = source.size
        self._position = 0
        self._blocks: Final[OrderedDict[int, memoryview]] = OrderedDict()
        self._next_sequential = -1
        self._run_bytes = BLOCK_BYTES
        self.read_s = 0.0
        self.bytes_read = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See io. Positions beyond the end are allowed and read as empty."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Read at most `size` bytes, never more: PyAV copies what it gets unchecked."""
        left = max(0, self.size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted == 0:
            return b""
        self._handed_out_left -= wanted
        if self._handed_out_left < 0:
            raise _too_many_reads()
        data = self._gather(self._position, wanted)
        self._position += len(data)
        return data

    def read1(self, size: int = -1, /) -> bytes:
        """Do the same as read()."""
        return self.read(size)

    def expect_whole(self) -> None:
        """Read ahead in the longest runs: the rest is read from here to its end, as photographs are."""
        self._next_sequential = self._position // BLOCK_BYTES + (self._position % BLOCK_BYTES > 0)
        self._run_bytes = MAX_BLOCK_RUN_BYTES

    def _gather(self, offset: int, length: int) -> bytes:
        first, last = offset // BLOCK_BYTES, (offset + length - 1) // BLOCK_BYTES
        parts = []
        for index in range(first, last + 1):
            if index not in self._blocks:
                self._fetch_run(index, last)
            self._blocks.move_to_end(index)
            start = index * BLOCK_BYTES
            parts.append(self._blocks[index][max(offset - start, 0) : offset + length - start])
        return b"".join(parts)

    def _fetch_run(self, first: int, last: int) -> None:
        """Fetch the missing blocks from `first` to `last`, and ahead of them where reading is sequential."""
        sequential = first == self._next_sequential
        self._run_bytes = min(self._run_bytes * 2, MAX_BLOCK_RUN_BYTES) if sequential else BLOCK_BYTES
        end = first + 1
        while end <= last and end not in self._blocks and end - first < MAX_READ_BYTES // BLOCK_BYTES:
            end += 1
        end = max(end, first + self._run_bytes // BLOCK_BYTES)
        data = memoryview(self._fetch(first * BLOCK_BYTES, min(end * BLOCK_BYTES, self.size) - first * BLOCK_BYTES))
        for number in range(first, end):
            block = data[(number - first) * BLOCK_BYTES : (number - first + 1) * BLOCK_BYTES]
            if block:
                self._blocks[number] = block
        self._next_sequential = end
        while len(self._blocks) > max(CACHE_BYTES // BLOCK_BYTES, last - first + 1):
            self._blocks.popitem(last=False)

    def _fetch(self, offset: int, length: int) -> bytes:
        self._reads_left -= 1
        if self._reads_left < 0 or self.bytes_read + length > self._bytes_budget:
            raise _too_many_reads()
        started = time.perf_counter()
        data = self._source.read_at(offset, length)
        self.read_s += time.perf_counter() - started
        self.bytes_read += len(data)
        if len(data) != length:
            # No class that a library raises for a damaged file: the file may be whole, and another attempt may read it.
            raise TransientError(
                ErrorCode.SOURCE_UNREADABLE, f"The source ended at byte {offset + len(data)} of {self.size}."
            )
        return data


def _too_many_reads() -> PermanentError:
    return PermanentError(ErrorCode.MEDIA_CORRUPT, "Decoding needs more reads than any sound file.")
