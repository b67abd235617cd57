"""Run one job in one slot: answer the child's reads and turn its exit into a result or an error."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from processors.limits import KILL_GRACE_S, MAX_ERROR_BYTES, MAX_READ_BYTES, MAX_RESULT_BYTES, bytes_budget
from processors.sandbox.process import Child, ChildExit, SlotProcess
from processors.sandbox.wire import DATA, DONE, FAILED, FRAME, JOB, READ, Job, WireError, read_text, unpack_result
from processors.types import Source, ThumbnailSet, ThumbnailSpec
from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError

_ALLOWED_CODES: Final = frozenset(
    {
        ErrorCode.MEDIA_UNSUPPORTED,
        ErrorCode.MEDIA_CORRUPT,
        ErrorCode.MEDIA_NO_PICTURE,
        ErrorCode.MEDIA_TOO_MANY_PIXELS,
        ErrorCode.MEDIA_TOO_MANY_FRAMES,
        ErrorCode.SOURCE_TOO_LARGE,
        ErrorCode.SOURCE_UNREADABLE,
    }
)
"""The error codes that a decoder may report; any other code counts as a crash."""


_NEARLY: Final = 0.8
"""Part of the memory limit: a decoder that used more may have failed for lack of memory."""

_Answer = tuple[bytes, bytes]
"""The kind of a child's last frame, and what it holds."""


class UsedChildError(Exception):
    """A child that had jobs before failed at this one. Earlier media may be why: a new child must have it. The cause is in it."""


class JobRun:
    """One run of a job. `bytes_read` counts what the child asked of the source; `on_answer` is called when the slot is free again."""

    def __init__(
        self, slot: SlotProcess, threads: ThreadPoolExecutor, timeout_s: float, on_answer: Callable[[], None]
    ) -> None:
        self._slot: Final = slot
        self._threads: Final = threads
        self._timeout_s: Final = timeout_s
        self._on_answer: Final = on_answer
        self._reads = 0
        self.bytes_read = 0
        self._is_reading = False
        self._is_kept = False
        self._source_error: BaseException | None = None

    async def run(self, job: Job, source: Source, tenant: str | None = None) -> ThumbnailSet:
        """Return the child's result, checked against `job`.

        Raises what DecodeSlots.create_thumbnails documents, and UsedChildError instead of any error of a child that had other
        jobs, unless the source is the reason or the time is over.
        """
        packed = job.pack()
        until_s = time.monotonic() + self._timeout_s
        try:
            child = self._slot.begin(self._timeout_s, tenant)
        except OSError as exc:
            self._slot.mark_broken("died")
            raise TransientError(ErrorCode.INTERNAL_ERROR, "The decode slot has died.") from exc
        with suppress(OSError):  # a child that has died: its exit says how
            child.connection.sendall(FRAME.pack(JOB, len(packed), 0) + packed)
        # One thread a job, and blocking calls: half the processor time of a hop to the event loop and back for each read.
        served = self._threads.submit(self._serve, child.connection, source, job.spec)
        answer = asyncio.wrap_future(served)
        try:
            return await self._await_result(answer, child, job.spec)
        except ThumbnailError as error:
            if child.jobs > 1 and error is not self._source_error and time.monotonic() < until_s:
                raise UsedChildError from error
            raise
        finally:
            if not self._is_kept:
                served.cancel()  # it may not have begun: every thread waits for a storage
                served.add_done_callback(lambda _: child.connection.close())
                await self._tidy(answer, child)

    async def _await_result(
        self, answer: "asyncio.Future[_Answer | None]", child: Child, spec: ThumbnailSpec
    ) -> ThumbnailSet:
        # The exit of the child ends a job even while a read of the storage is pending.
        limit_s = self._timeout_s + KILL_GRACE_S
        either: set[asyncio.Future[Any]] = {answer, child.child_exit}
        await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if child.child_exit.done() and not answer.done() and not self._is_reading:
            await asyncio.wait({answer}, timeout=KILL_GRACE_S)  # its last frames may still be in the socket
        said = answer.result() if answer.done() else None
        if said is not None and said[0] == DONE and child.tenant is not None:
            made = self._parse_result(*said, spec, None)
            self._is_kept = self._slot.keep(child)
            if self._is_kept:
                self._on_answer()
                return made
        if said is not None:
            # Nothing that the child might still do is of use. Its slot takes the next job while this one's memory is freed.
            self._slot.end(child)
            self._on_answer()
        if self._source_error is not None:
            raise self._source_error
        ended = await self._ended(child)
        if said is not None:
            return self._parse_result(*said, spec, ended)
        raise self._error_from_exit(ended)

    async def _ended(self, child: Child) -> ChildExit | None:
        """Return the child's exit; None, and a broken slot, when none is reported."""
        await asyncio.wait({child.child_exit}, timeout=self._timeout_s + KILL_GRACE_S)
        ended = child.child_exit.result() if child.child_exit.done() else None
        if ended is None:
            self._slot.mark_broken("stuck" if not child.child_exit.done() else "died")
        return ended

    def _parse_result(self, kind: bytes, payload: bytes, spec: ThumbnailSpec, ended: ChildExit | None) -> ThumbnailSet:
        try:
            if kind == DONE:
                return unpack_result(payload, spec, self.bytes_read)
            code, message = map(read_text, payload[:MAX_ERROR_BYTES].partition(b"\n")[::2])
        except WireError as exc:
            raise TransientError(ErrorCode.MEDIA_CRASHED_DECODER, f"The decoder's answer is not one: {exc}.") from exc
        if code not in _ALLOWED_CODES:
            raise TransientError(ErrorCode.MEDIA_CRASHED_DECODER, f"The decoder failed: {message[:300]}")
        if code == ErrorCode.MEDIA_CORRUPT and ended is not None and ended.peak_mb > _NEARLY * self._slot.memory_mb:
            # Libraries that run out of memory call the file broken.
            raise PermanentError(ErrorCode.MEDIA_TOO_MANY_PIXELS, "Decoding needs more memory than is allowed.")
        kind_of_error = TransientError if code == ErrorCode.SOURCE_UNREADABLE else PermanentError
        raise kind_of_error(ErrorCode(code), message)

    def _error_from_exit(self, ended: ChildExit | None) -> ThumbnailError:
        """Return the error of a child that ended without an answer."""
        if ended is None:
            return TransientError(ErrorCode.MEDIA_CRASHED_DECODER, "The decode slot died during the job.")
        if ended.late and self._is_reading:
            return TransientError(
                ErrorCode.STORAGE_UNAVAILABLE, f"The storage did not deliver the source within {self._timeout_s:g} s."
            )
        if ended.late:
            return TransientError(ErrorCode.MEDIA_TIMEOUT, f"Decoding took longer than {self._timeout_s:g} s.")
        if os.WIFSIGNALED(ended.status):
            number = os.WTERMSIG(ended.status)
            if number == signal.SIGXCPU:
                return TransientError(ErrorCode.MEDIA_TIMEOUT, f"Decoding used {ended.cpu_s:.1f} s of processor time.")
            if number == signal.SIGSYS:
                return PermanentError(
                    ErrorCode.MEDIA_CRASHED_DECODER,
                    "The decoder tried to break out of its sandbox: keep the file for analysis.",
                )
            return TransientError(
                ErrorCode.MEDIA_CRASHED_DECODER, f"The decoder was ended by {signal.Signals(number).name}."
            )
        return TransientError(
            ErrorCode.MEDIA_CRASHED_DECODER,
            f"The decoder ended with exit code {os.waitstatus_to_exitcode(ended.status)}.",
        )

    def _serve(self, connection: socket.socket, source: Source, spec: ThumbnailSpec) -> _Answer | None:
        """Answer reads until the child says how it went: its last frame, or None when it left without one. In a thread.

        Closes the connection unless all went well, so that the child ends: after that it may be kept.
        """
        said = None
        try:
            while True:
                kind, length, offset = FRAME.unpack(_receive(connection, FRAME.size))
                if kind == READ:
                    data = self._read(source, spec, offset, length)
                    if data is None:
                        return None
                    _send(connection, FRAME.pack(DATA, len(data), offset), data)
                elif kind in (DONE, FAILED) and length <= MAX_RESULT_BYTES:
                    said = kind, _receive(connection, length)
                    return said
                else:
                    return None
        except (OSError, EOFError):
            return None
        finally:
            if said is None or said[0] != DONE:
                connection.close()

    def _read(self, source: Source, spec: ThumbnailSpec, offset: int, length: int) -> bytes | None:
        """Return what the child asked for; None ends the job, with the reason in `_source_error`."""
        self._reads += 1
        self.bytes_read += length
        if not 0 < length <= MAX_READ_BYTES or offset + length > source.size:
            return None
        if self._reads > spec.max_reads or self.bytes_read > bytes_budget(source.size, spec.max_bytes_read):
            self._source_error = PermanentError(
                ErrorCode.MEDIA_CORRUPT, "Decoding needs more reads than any sound file."
            )
            return None
        self._is_reading = True
        try:
            data = source.read_at(offset, length)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is the caller's, and goes there unchanged
            self._source_error = exc
            return None
        finally:
            self._is_reading = False
        if len(data) > length:
            self._source_error = TransientError(
                ErrorCode.SOURCE_UNREADABLE, "The storage sent more than was asked for."
            )
            return None
        return data

    async def _tidy(self, answer: "asyncio.Future[_Answer | None]", child: Child) -> None:
        """Leave nothing of the job behind, whatever ended it: a cancelled job's child is killed."""
        if not answer.done():
            # The thread leaves its call, and closes the socket; one that waits for the storage does so after that.
            with suppress(OSError):
                child.connection.shutdown(socket.SHUT_RDWR)
            answer.cancel()
        if not child.child_exit.done():
            self._slot.end(child)
            await asyncio.wait({child.child_exit}, timeout=KILL_GRACE_S)
        if not child.child_exit.done() or child.child_exit.result() is None:
            self._slot.mark_broken("stuck")


def _receive(connection: socket.socket, length: int) -> bytes:
    data = connection.recv(length, socket.MSG_WAITALL)
    if len(data) != length:
        raise EOFError("the child closed the socket")
    return data


def _send(connection: socket.socket, head: bytes, data: bytes) -> None:
    sent = connection.sendmsg([head, data])
    if sent < len(head) + len(data):
        connection.sendall(memoryview(data)[sent - len(head) :])
