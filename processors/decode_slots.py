"""DecodeSlots: the worker's side of caged decoding, a pool of warm processes that fork one child a job."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from processors.limits import (
    JOBS_PER_SLOT,
    KILL_GRACE_S,
    MAX_ERROR_BYTES,
    MAX_READ_BYTES,
    MAX_READS,
    MAX_RESULT_BYTES,
    START_TIMEOUT_S,
    bytes_budget,
)
from processors.types import Kind, Source, ThumbnailSet, ThumbnailSpec
from processors.wire import DATA, DONE, FAILED, FRAME, HELLO, JOB, ORDER, READ, VERDICT, Job, WireError, unpack_result
from schemas.errors import ErrorCode, PermanentError, ThumbnailError, TransientError

_ENVIRONMENT: Final = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # Fewer page faults, which cost a fresh child most: large pages, and freed memory is kept.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=268435456",
}
"""All that a decoder's environment holds: no credential of the worker's is in it."""

_START: Final = "import sys; sys.path.append(sys.argv[1]); from processors.slot import main; sys.exit(main(*map(int, sys.argv[2:])))"
_ALLOWED_CODES: Final = frozenset(
    {
        ErrorCode.MEDIA_UNSUPPORTED,
        ErrorCode.MEDIA_CORRUPT,
        ErrorCode.MEDIA_NO_PICTURE,
        ErrorCode.MEDIA_TOO_MANY_PIXELS,
        ErrorCode.SOURCE_TOO_LARGE,
        ErrorCode.SOURCE_UNREADABLE,
    }
)
"""What a decoder may say of its media; any other code from it is not believed."""


_NEARLY: Final = 0.8


class DecodeSlots:
    """`slots` decoders at once, each job under `timeout_s` seconds and `memory_mb` MiB.

    A decoder that crashes, hangs or eats memory ends its own job with a ThumbnailError, and nothing else. Start it in
    the thread that runs the event loop: the slots die with the thread that started them.
    """

    def __init__(
        self,
        slots: int,
        timeout_s: float = 30.0,
        memory_mb: int = 1024,
        on_restart: Callable[[str], None] | None = None,
    ) -> None:
        self._timeout_s: Final = timeout_s
        self._on_restart: Final = on_restart or (lambda _cause: None)
        self._slots: Final = [_Slot(memory_mb) for _ in range(slots)]
        self._idle: Final[asyncio.Queue[_Slot]] = asyncio.Queue()
        # A read that a slow storage holds up keeps its thread after the job's end: leave room for others.
        self._readers: Final = ThreadPoolExecutor(4 * slots, thread_name_prefix="source-read")

    async def start(self) -> None:
        """Start every slot, and return when all are warm."""
        await asyncio.gather(*(slot.start() for slot in self._slots))
        for slot in self._slots:
            self._idle.put_nowait(slot)

    async def stop(self) -> None:
        """End every slot and what it runs."""
        self.kill()

    def kill(self) -> None:
        """As stop(), also where no event loop runs any more."""
        for slot in self._slots:
            slot.kill()
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pids(self) -> list[int]:
        """The slots' process ids, for looking at them from outside."""
        return [slot.pid for slot in self._slots if slot.pid]

    async def create_thumbnails(self, source: Source, spec: ThumbnailSpec, *, kind: Kind | None) -> ThumbnailSet:
        """processors.thumbnails.create_thumbnails in a child of its own.

        Raises what that raises; TransientError media.timeout, media.crashed_decoder or, when the deadline passed while
        the storage was being waited for, storage.unavailable. What the source raises comes through unchanged.
        """
        slot = await self._idle.get()
        try:
            if not slot.is_fit():
                self._on_restart(slot.cause_of_end())
                slot.kill()
                await slot.start()
            return await _JobRun(slot, self._readers, self._timeout_s).run(Job(source.size, spec, kind), source)
        finally:
            self._idle.put_nowait(slot)


class _Slot:
    """One slot process and its control socket."""

    def __init__(self, memory_mb: int) -> None:
        self.memory_mb: Final = memory_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._jobs = 0
        self._broken_by: str | None = None
        self.control: socket.socket

    @property
    def pid(self) -> int:
        """The slot's process id; 0 when it does not run."""
        return self._process.pid if self._process else 0

    def is_fit(self) -> bool:
        """Whether the slot can take a job."""
        alive = self._process is not None and self._process.poll() is None
        return alive and self._broken_by is None and self._jobs < JOBS_PER_SLOT

    def cause_of_end(self) -> str:
        """Why the slot is not fit: a label of thumbnail_slot_restarts_total."""
        if self._broken_by is not None:
            return self._broken_by
        return "worn" if self._process is not None and self._process.poll() is None else "died"

    def mark_broken(self, cause: str) -> None:
        """Take no more jobs; the first cause stands."""
        self._broken_by = self._broken_by or cause

    def count_job(self) -> None:
        """One job more has been given to this process."""
        self._jobs += 1

    async def start(self) -> None:
        """Start the process and wait until it is warm. Raises TransientError internal.error when it does not come up."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = Path(__file__).parent.parent
        with theirs:
            command = [sys.executable, "-I", "-c", _START, str(root)]
            numbers = [str(theirs.fileno()), str(os.getpid()), str(self.memory_mb)]
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own interpreter; 7 ms, and the loop's thread must start it
                command + numbers,
                env=_ENVIRONMENT,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if os.environ.get("THUMBNAILS_SLOT_STDERR") else subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is for the worker, which then ends its slots
            )
        ours.setblocking(False)
        self.control, self._jobs, self._broken_by = ours, 0, None
        try:
            hello = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 64), START_TIMEOUT_S)
        except (TimeoutError, OSError):
            hello = b""
        if hello != HELLO:
            self.kill()
            raise TransientError(ErrorCode.INTERNAL_ERROR, "A decode slot does not start.")

    def kill(self) -> None:
        """End the process; its child dies with it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            self.control.close()


_Answer = tuple[bytes, bytes]
"""The kind of a child's last frame, and what it holds."""


@dataclass(frozen=True)
class _Verdict:
    """How a child ended, as its slot saw it."""

    status: int
    late: bool
    cpu_s: float
    peak_mb: float


class _JobRun:
    """One job in one slot: answers the child's reads, and judges how it ended."""

    def __init__(self, slot: _Slot, readers: ThreadPoolExecutor, timeout_s: float) -> None:
        self._slot: Final = slot
        self._readers: Final = readers
        self._timeout_s: Final = timeout_s
        self._reads = 0
        self.bytes_read = 0
        self._is_reading = False
        self._source_error: BaseException | None = None

    async def run(self, job: Job, source: Source) -> ThumbnailSet:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._slot.control, [ORDER.pack(self._timeout_s)], [theirs.fileno()])
        except OSError as exc:
            ours.close()
            self._slot.mark_broken("died")
            raise TransientError(ErrorCode.INTERNAL_ERROR, "The decode slot has died.") from exc
        self._slot.count_job()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        verdict = asyncio.ensure_future(self._verdict())
        answer = asyncio.ensure_future(self._serve(job, source, reader, writer))
        try:
            return await self._judge(answer, verdict, job.spec)
        finally:
            await self._tidy(answer, verdict, writer)

    async def _judge(
        self,
        answer: "asyncio.Future[_Answer | None]",
        verdict: "asyncio.Future[_Verdict | None]",
        spec: ThumbnailSpec,
    ) -> ThumbnailSet:
        # The verdict ends a job also while its storage is still being waited for.
        limit_s = self._timeout_s + KILL_GRACE_S
        either: set[asyncio.Future[Any]] = {answer, verdict}
        await asyncio.wait(either, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if verdict.done() and not answer.done() and not self._is_reading:
            await asyncio.wait({answer}, timeout=KILL_GRACE_S)  # its last frames may still be in the socket
        said = answer.result() if answer.done() else None
        if self._source_error is not None:
            raise self._source_error
        ended = await self._ended(verdict)
        if said is not None:
            return self._believe(*said, spec, ended)
        raise self._explain(ended)

    async def _ended(self, verdict: "asyncio.Future[_Verdict | None]") -> _Verdict | None:
        """The slot's verdict; None, and a broken slot, when none comes."""
        await asyncio.wait({verdict}, timeout=self._timeout_s + KILL_GRACE_S)
        ended = verdict.result() if verdict.done() else None
        if ended is None:
            self._slot.mark_broken("stuck" if not verdict.done() else "died")
        return ended

    def _believe(self, kind: bytes, payload: bytes, spec: ThumbnailSpec, ended: _Verdict | None) -> ThumbnailSet:
        if kind == DONE:
            try:
                return unpack_result(payload, spec, self.bytes_read)
            except WireError as exc:
                raise TransientError(
                    ErrorCode.MEDIA_CRASHED_DECODER, f"The decoder's answer is not one: {exc}."
                ) from exc
        code, _, message = payload[:MAX_ERROR_BYTES].decode("ascii", "replace").partition("\n")
        if code not in _ALLOWED_CODES:
            raise TransientError(ErrorCode.MEDIA_CRASHED_DECODER, f"The decoder failed: {message[:300]}")
        if code == ErrorCode.MEDIA_CORRUPT and ended is not None and ended.peak_mb > _NEARLY * self._slot.memory_mb:
            # Libraries that run out of memory call the file broken.
            raise PermanentError(ErrorCode.MEDIA_TOO_MANY_PIXELS, "Decoding needs more memory than is allowed.")
        kind_of_error = TransientError if code == ErrorCode.SOURCE_UNREADABLE else PermanentError
        raise kind_of_error(ErrorCode(code), message)

    def _explain(self, ended: _Verdict | None) -> ThumbnailError:
        """Why a child ended without an answer."""
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
            return TransientError(
                ErrorCode.MEDIA_CRASHED_DECODER, f"The decoder was ended by {signal.Signals(number).name}."
            )
        return TransientError(
            ErrorCode.MEDIA_CRASHED_DECODER,
            f"The decoder ended with exit code {os.waitstatus_to_exitcode(ended.status)}.",
        )

    async def _verdict(self) -> _Verdict | None:
        data = await asyncio.get_running_loop().sock_recv(self._slot.control, VERDICT.size)
        if len(data) != VERDICT.size:
            return None
        status, late, cpu_s, peak_kib = VERDICT.unpack(data)
        return _Verdict(status, bool(late), cpu_s, peak_kib / 1024)

    async def _serve(
        self, job: Job, source: Source, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> _Answer | None:
        """Answer reads until the child says how it went: its last frame, or None when it left without one."""
        try:
            packed = job.pack()
            writer.write(FRAME.pack(JOB, len(packed), 0) + packed)
            while True:
                kind, length, offset = FRAME.unpack(await reader.readexactly(FRAME.size))
                if kind == READ:
                    data = await self._read(source, offset, length)
                    if data is None:
                        return None
                    writer.write(FRAME.pack(DATA, len(data), offset))
                    writer.write(data)
                    await writer.drain()
                elif kind in (DONE, FAILED) and length <= MAX_RESULT_BYTES:
                    return kind, await reader.readexactly(length)
                else:
                    return None
        except (OSError, asyncio.IncompleteReadError):
            return None

    async def _read(self, source: Source, offset: int, length: int) -> bytes | None:
        """What the child asked for; None ends the job, with the reason in `_source_error`."""
        self._reads += 1
        self.bytes_read += length
        if not 0 < length <= MAX_READ_BYTES or offset + length > source.size:
            return None
        if self._reads > MAX_READS or self.bytes_read > bytes_budget(source.size):
            self._source_error = PermanentError(
                ErrorCode.MEDIA_CORRUPT, "Decoding needs more reads than any sound file."
            )
            return None
        self._is_reading = True
        try:
            data = await asyncio.get_running_loop().run_in_executor(self._readers, source.read_at, offset, length)
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

    async def _tidy(
        self,
        answer: "asyncio.Future[_Answer | None]",
        verdict: "asyncio.Future[_Verdict | None]",
        writer: asyncio.StreamWriter,
    ) -> None:
        """Leave nothing of the job behind, whatever ended it: a cancelled job's child is killed."""
        writer.close()  # the child, if it still runs, leaves at its next read
        answer.cancel()
        if not verdict.done():
            with suppress(OSError):
                self._slot.control.send(b"kill")
            await asyncio.wait({verdict}, timeout=KILL_GRACE_S)
        if not verdict.done() or verdict.cancelled() or verdict.exception() or verdict.result() is None:
            self._slot.mark_broken("stuck")
            verdict.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await answer
