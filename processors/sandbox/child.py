"""A slot's child: forked ahead of its job, limited and locked, it waits for one job, answers it and ends.

With `max_jobs` above 1 it waits for the next one after each that went well.
"""

import gc
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, Final, NoReturn

from processors.limits import MAX_ERROR_BYTES, MAX_RESULT_BYTES
from processors.sandbox import confinement
from processors.sandbox.wire import DATA, DONE, FAILED, FRAME, JOB, READ, Job, pack_result, printable
from processors.types import ThumbnailSet
from schemas.errors import ErrorCode, ThumbnailError

_EXIT_SOURCE_GONE: Final = 3
_EXIT_NO_JOB: Final = 4
_BUFFER_BYTES: Final = 4096
"""For the frames' heads; what is longer goes straight to where it is wanted."""


@dataclass(frozen=True, kw_only=True)
class SandboxConfig:
    """The limits and the sandbox of every child of a slot."""

    memory_mb: int
    cpu_s: int
    """Of one job."""
    max_jobs: int
    is_caged: bool
    allow_threads: bool


def be_child(job_fd: int, not_its_own: Iterable[int], slot_pid: int, config: SandboxConfig) -> NoReturn:
    """Run the child until its end. It leaves by os._exit: no code of the slot may run in it."""
    status = 1
    try:
        confinement.die_with_parent(slot_pid)
        for fd in not_its_own:
            os.close(fd)
        gc.disable()  # a job ends before it has garbage; a collection would touch, and so copy, every object there is
        # Its read() fills one bytes object of the right size, by the call read alone, and without another copy.
        connection: BinaryIO = open(job_fd, "rb", buffering=_BUFFER_BYTES)  # noqa: SIM115 - for as long as this process lives
        confinement.limit_job(config.memory_mb, config.cpu_s, config.max_jobs)
        if config.is_caged:
            confinement.lock_job(allow_threads=config.allow_threads)
        status = _serve(job_fd, connection, config.max_jobs)
    finally:
        os._exit(status)


def _serve(job_fd: int, connection: BinaryIO, max_jobs: int) -> int:
    """Wait for each job, and answer it, until one fails or they are enough: the exit status."""
    for _ in range(max_jobs):
        try:
            kind, length, _ = FRAME.unpack(_receive(connection, FRAME.size))
            if kind != JOB:
                return _EXIT_NO_JOB
            job = Job.unpack(_receive(connection, length))
        except (OSError, EOFError):
            return _EXIT_NO_JOB  # the slot is no longer needed
        try:
            frame_kind, payload = _answer(job, _RemoteSource(job_fd, connection, job.size))
        except _SourceGoneError:
            return _EXIT_SOURCE_GONE
        _send(job_fd, FRAME.pack(frame_kind, len(payload), 0) + payload)
        if frame_kind != DONE:
            break
        if max_jobs > 1:
            del job, payload
            gc.collect()  # what was loaded before the fork is frozen, so that this looks at the job's own objects alone
    return 0


def _answer(job: Job, source: "_RemoteSource") -> tuple[bytes, bytes]:
    """Return the kind of the last frame, and what it holds."""
    try:
        frame_kind, payload = DONE, pack_result(_decode(job, source))
        if len(payload) > MAX_RESULT_BYTES:
            frame_kind, payload = FAILED, _failure(ErrorCode.INTERNAL_ERROR, "The thumbnails are too large.")
    except ThumbnailError as error:
        frame_kind, payload = FAILED, _failure(error.code, error.message)
    except MemoryError:
        message = "Decoding needs more memory than is allowed."
        frame_kind, payload = FAILED, _failure(ErrorCode.MEDIA_TOO_MANY_PIXELS, message)
    except Exception as exc:  # noqa: BLE001 - a bug here: the worker reports a crash with this text
        frame_kind, payload = FAILED, _failure(ErrorCode.MEDIA_CRASHED_DECODER, f"{type(exc).__name__}: {exc}")
    return frame_kind, payload


def _decode(job: Job, source: "_RemoteSource") -> ThumbnailSet:
    from processors.thumbnails import create_thumbnails  # by now the slot has imported it, and the decoders with it

    return create_thumbnails(source, job.spec, kind=job.kind)


def _failure(code: ErrorCode, message: str) -> bytes:
    return (code.encode() + b"\n" + printable(message))[:MAX_ERROR_BYTES]


class _SourceGoneError(BaseException):
    """The worker closed the socket: it has the storage's own error. No decoder may take this for a damaged file."""


class _RemoteSource:
    """The source, at the other end of the job's socket."""

    def __init__(self, job_fd: int, connection: BinaryIO, size: int) -> None:
        self._job_fd: Final = job_fd
        self._connection: Final = connection
        self.size: Final = size

    def read_at(self, offset: int, length: int) -> bytes:
        """See processors.types.Source; leaves by _SourceGoneError when the worker has given up."""
        try:
            _send(self._job_fd, FRAME.pack(READ, length, offset))
            kind, found, _ = FRAME.unpack(_receive(self._connection, FRAME.size))
            if kind != DATA or found > length:
                raise _SourceGoneError
            return _receive(self._connection, found)
        except (OSError, EOFError) as exc:
            raise _SourceGoneError from exc


# The job's socket as a plain file descriptor: the cage has no calls for sockets.
def _send(job_fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(job_fd, view) :]


def _receive(connection: BinaryIO, length: int) -> bytes:
    data = connection.read(length)
    if len(data) != length:
        raise EOFError("the worker closed the socket")
    return data
