"""A decode slot: a warm process that never sees media itself, and forks one limited child for each job, ahead of it.

A child that may have several jobs of one company gets each over the same socket; the slot counts their time.
"""

import gc
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from processors.sandbox import confinement, escape_probe
from processors.sandbox.child import SandboxConfig, be_child
from processors.sandbox.warm_up import fill_holes, load_decoders, use_decoders
from processors.sandbox.wire import BROKEN, CHILD_EXIT, END, HELLO, ORDER, PREPARE, START
from processors.still.heic import register_heic
from processors.still.libjxl import load_libjxl

_MAX_REASON_BYTES: Final = 500


def main(
    control_fd: int, parent_pid: int, memory_mb: int, is_caged: int, cpu_s: int, heic: int, is_warm: int, max_jobs: int
) -> int:
    """Serve jobs until the worker closes the control socket."""
    confinement.die_with_parent(parent_pid)
    confinement.give_up_privileges()
    if heic:
        register_heic()
    load_libjxl()
    control = socket.socket(fileno=control_fd)
    try:
        load_decoders()
        if is_warm:
            use_decoders()
    except Exception as exc:  # noqa: BLE001 - whatever it is, the worker must be able to say why it does not start
        control.send(BROKEN + f"{type(exc).__name__}: {exc}".encode("ascii", "replace")[:_MAX_REASON_BYTES])
        return 1
    gc.freeze()  # what is loaded stays, and a collection would copy its pages into each child
    gc.enable()
    landlock, sandbox_gaps, can_lock_jobs = _prove_cage(allow_threads=bool(heic)) if is_caged else (0, [], False)
    if is_warm:
        fill_holes()
    control.send(HELLO + "\n".join([str(landlock), *sandbox_gaps]).encode())
    config = SandboxConfig(
        memory_mb=memory_mb, cpu_s=cpu_s, max_jobs=max_jobs, is_caged=can_lock_jobs, allow_threads=bool(heic)
    )
    _Children(control, config).serve()
    return 0


def _prove_cage(*, allow_threads: bool) -> tuple[int, list[str], bool]:
    """Lock this process, and let a child in a cage like every job's try to get out.

    Landlock's version (0: none), what the child could do, and whether jobs can be locked at all. The worker decides
    whether that is good enough.
    """
    landlock, sandbox_gaps = 0, []
    try:
        landlock = confinement.lock_slot()
    except OSError as exc:
        sandbox_gaps.append(f"not have its slot locked: {exc.strerror or exc}")
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
    return landlock, [*sandbox_gaps, *escape_probe.describe(status)], is_locked


@dataclass
class _Child:
    """One child. It has no deadline while it waits for its first job, nor once it is killed."""

    number: int
    pid: int
    deadline: float | None = None
    is_used: bool = False
    late: bool = False


class _Children:
    """One child that waits, one that works, and perhaps one that is about to end; each known by its job's number."""

    def __init__(self, control: socket.socket, config: SandboxConfig) -> None:
        self._control: Final = control
        self._lock: Final = config
        self._by_pidfd: Final[dict[int, _Child]] = {}
        self._poll: Final = select.poll()
        self._poll.register(control, select.POLLIN)

    def serve(self) -> None:
        """Obey orders and report ends until the worker closes the control socket; no child outlives that."""
        while True:
            for fd, _ in self._poll.poll(self._patience_ms()):
                if fd in self._by_pidfd:
                    self._report_end(fd)
                elif not self._obey():
                    for child in self._by_pidfd.values():
                        os.kill(child.pid, signal.SIGKILL)
                    return
            now = time.monotonic()
            for child in self._by_pidfd.values():
                if child.deadline is not None and child.deadline <= now:
                    child.late = True
                    self._kill(child)

    def _patience_ms(self) -> float | None:
        """Until the next deadline; a little longer, so that it has passed then."""
        deadlines = [child.deadline for child in self._by_pidfd.values() if child.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) * 1000 + 1 if deadlines else None

    def _obey(self) -> bool:
        """Carry out the next order; False when there will be none any more."""
        message, fds, _, _ = socket.recv_fds(self._control, ORDER.size, 1)
        if not message:
            return False
        order, number, limit_s = ORDER.unpack(message)
        if order == PREPARE:
            self._fork(number, fds[0])
            return True
        for child in self._by_pidfd.values():
            if child.number == number and order == START:
                child.deadline = time.monotonic() + limit_s
                if child.is_used:
                    confinement.allow_another_job(child.pid, self._lock.cpu_s)
                child.is_used = True
            elif child.number == number and order == END:
                self._kill(child)
        return True

    def _fork(self, number: int, job_fd: int) -> None:
        slot_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            not_its_own = (self._control.fileno(), *self._by_pidfd)
            be_child(job_fd, not_its_own, slot_pid, self._lock)
        os.close(job_fd)
        pidfd = os.pidfd_open(pid)
        self._by_pidfd[pidfd] = _Child(number, pid)
        self._poll.register(pidfd, select.POLLIN)

    def _kill(self, child: _Child) -> None:
        child.deadline = None
        os.kill(child.pid, signal.SIGKILL)  # it has not been waited for, so that the number is still its own

    def _report_end(self, pidfd: int) -> None:
        child = self._by_pidfd.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status, usage = os.wait4(child.pid, 0)
        cpu_s = usage.ru_utime + usage.ru_stime
        self._control.send(CHILD_EXIT.pack(child.number, status, child.late, cpu_s, usage.ru_maxrss))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main(*map(int, sys.argv[1:9])))
