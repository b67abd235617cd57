"""A decode slot: a warm process that never sees media itself, and forks one limited child for each job."""

import io
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NoReturn

from processors import confinement, escape_probe
from processors.heic import register_heic
from processors.limits import MAX_ERROR_BYTES, MAX_RESULT_BYTES
from processors.wire import DATA, DONE, FAILED, FRAME, HELLO, JOB, ORDER, READ, VERDICT, Job, pack_result
from schemas.errors import ErrorCode, ThumbnailError

_EXIT_SOURCE_GONE: Final = 3


@dataclass(frozen=True, kw_only=True)
class _Lock:
    """What every child of this slot is locked into."""

    memory_mb: int
    cpu_s: int
    is_caged: bool
    allow_threads: bool


def main(control_fd: int, parent_pid: int, memory_mb: int, is_caged: int, cpu_s: int, heic: int) -> int:
    """Serve jobs until the worker closes the control socket."""
    confinement.die_with_parent(parent_pid)
    confinement.give_up_privileges()
    if heic:
        register_heic()
    warm_up()
    control = socket.socket(fileno=control_fd)
    landlock, open_doors, can_lock_jobs = _prove_cage(allow_threads=bool(heic)) if is_caged else (0, [], False)
    control.send(HELLO + "\n".join([str(landlock), *open_doors]).encode())
    lock = _Lock(memory_mb=memory_mb, cpu_s=cpu_s, is_caged=can_lock_jobs, allow_threads=bool(heic))
    while True:
        message, fds, _, _ = socket.recv_fds(control, ORDER.size, 1)
        if not message:
            return 0
        if not fds:
            continue  # a kill that crossed with the end of its job
        _run_job(control, fds[0], ORDER.unpack(message)[0], lock)


def _prove_cage(*, allow_threads: bool) -> tuple[int, list[str], bool]:
    """Lock this process, and let a child in a cage like every job's try to get out.

    Landlock's version (0: none), what the child could do, and whether jobs can be locked at all. The worker decides
    whether that is good enough.
    """
    landlock, open_doors = 0, []
    try:
        landlock = confinement.lock_slot()
    except OSError as exc:
        open_doors.append(f"not have its slot locked: {exc.strerror or exc}")
    child_pid = os.fork()
    if child_pid == 0:
        status = escape_probe.EXIT_NOT_LOCKED
        try:
            confinement.lock_job(allow_threads=allow_threads)
            status = escape_probe.try_all()
        finally:
            os._exit(status)
    status = os.waitpid(child_pid, 0)[1]
    is_locked = os.waitstatus_to_exitcode(status) != escape_probe.EXIT_NOT_LOCKED
    return landlock, [*open_doors, *escape_probe.describe(status)], is_locked


def warm_up() -> None:
    """Import the decoders and use them once: their tables then exist in every child from its start."""
    import av
    import cv2
    import numpy as np
    from PIL import Image

    from processors.thumbnails import create_thumbnails
    from processors.types import ThumbnailSpec

    cv2.setNumThreads(1)
    Image.init()  # loads the plugins
    pixels = np.tile(np.arange(128, dtype=np.uint8)[None, :, None], (96, 1, 3))
    for picture_format in ("JPEG", "PNG", "WEBP"):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, picture_format)
        create_thumbnails(_Bytes(out.getvalue()), ThumbnailSpec())
    clip = io.BytesIO()
    with av.open(clip, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(5), options={"preset": "ultrafast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    create_thumbnails(_Bytes(clip.getvalue()), ThumbnailSpec())


class _Bytes:
    """A source in memory."""

    def __init__(self, content: bytes) -> None:
        self._content: Final = content
        self.size: Final = len(content)

    def read_at(self, offset: int, length: int) -> bytes:
        """As processors.types.Source asks."""
        return self._content[offset : offset + length]


def _run_job(control: socket.socket, job_fd: int, deadline_s: float, lock: _Lock) -> None:
    """Fork the child, wait for its end, for the deadline or for the worker's word, and report how it ended."""
    slot_pid = os.getpid()
    child_pid = os.fork()
    if child_pid == 0:
        _be_child(control, job_fd, slot_pid, lock)
    os.close(job_fd)
    late = _wait(control, child_pid, deadline_s)
    _, status, usage = os.wait4(child_pid, 0)
    control.send(VERDICT.pack(status, late, usage.ru_utime + usage.ru_stime, usage.ru_maxrss))


def _wait(control: socket.socket, child_pid: int, deadline_s: float) -> bool:
    """Whether the child had to be killed for being late; it has ended, or is about to."""
    pidfd = os.pidfd_open(child_pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(control, select.POLLIN)
        fired = [fd for fd, _ in poll.poll(deadline_s * 1000)]
        if pidfd in fired:
            return False
        os.kill(child_pid, signal.SIGKILL)
        return not fired
    finally:
        os.close(pidfd)


def _be_child(control: socket.socket, job_fd: int, slot_pid: int, lock: _Lock) -> NoReturn:
    """The child's whole life. It leaves by os._exit: nothing of the slot's may run in it."""
    status = 1
    try:
        confinement.die_with_parent(slot_pid)
        control.close()
        confinement.limit_job(lock.memory_mb, lock.cpu_s)
        if lock.is_caged:
            confinement.lock_job(allow_threads=lock.allow_threads)
        status = _decode(job_fd)
    finally:
        os._exit(status)


def _decode(connection: int) -> int:
    from processors.thumbnails import create_thumbnails

    kind, length, _ = FRAME.unpack(_receive(connection, FRAME.size))
    if kind != JOB:
        return 1
    job = Job.unpack(bytes(_receive(connection, length)))
    try:
        payload = pack_result(create_thumbnails(_RemoteSource(connection, job.size), job.spec, kind=job.kind))
        frame_kind = DONE
        if len(payload) > MAX_RESULT_BYTES:
            frame_kind, payload = FAILED, _failure(ErrorCode.INTERNAL_ERROR, "The thumbnails are too large.")
    except ThumbnailError as error:
        frame_kind, payload = FAILED, _failure(error.code, error.message)
    except _SourceGoneError:
        return _EXIT_SOURCE_GONE
    except MemoryError:
        frame_kind, payload = (
            FAILED,
            _failure(ErrorCode.MEDIA_TOO_MANY_PIXELS, "Decoding needs more memory than is allowed."),
        )
    except EOFError as exc:
        frame_kind, payload = FAILED, _failure(ErrorCode.SOURCE_UNREADABLE, str(exc))
    except Exception as exc:  # noqa: BLE001 - a mistake of ours: the worker calls it a crash, and can say what it was
        frame_kind, payload = FAILED, _failure(ErrorCode.MEDIA_CRASHED_DECODER, f"{type(exc).__name__}: {exc}")
    _send(connection, FRAME.pack(frame_kind, len(payload), 0) + payload)
    return 0


def _failure(code: ErrorCode, message: str) -> bytes:
    return f"{code}\n{message}".encode("ascii", "replace")[:MAX_ERROR_BYTES]


class _SourceGoneError(BaseException):
    """The worker closed the socket: it has the storage's own error. No decoder may take this for a damaged file."""


class _RemoteSource:
    """The source, at the other end of the job's socket."""

    def __init__(self, connection: int, size: int) -> None:
        self._connection: Final = connection
        self.size: Final = size

    def read_at(self, offset: int, length: int) -> bytes:
        """As processors.types.Source asks; leaves by _SourceGoneError when the worker has given up."""
        try:
            _send(self._connection, FRAME.pack(READ, length, offset))
            kind, found, _ = FRAME.unpack(_receive(self._connection, FRAME.size))
            if kind != DATA or found > length:
                raise _SourceGoneError
            return bytes(_receive(self._connection, found))
        except (OSError, EOFError) as exc:
            raise _SourceGoneError from exc


# The job's socket as a plain file descriptor: the cage has no calls for sockets.
def _send(connection: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(connection, view) :]


def _receive(connection: int, length: int) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        received = os.readv(connection, [view])
        if received == 0:
            raise EOFError("the worker closed the socket")
        view = view[received:]
    return data


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main(*map(int, sys.argv[1:7])))
