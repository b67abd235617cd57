"""One slot process as the worker sees it: started with a bare environment, and controlled over one socket."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from processors.limits import CPU_S, JOBS_PER_SLOT, START_TIMEOUT_S
from processors.sandbox.confinement import Confinement, ConfinementError
from processors.sandbox.wire import BROKEN, CHILD_EXIT, END, HELLO, ORDER, PREPARE, START
from schemas.errors import ErrorCode, TransientError

_ENVIRONMENT: Final = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # Fewer page faults, which cost a fresh child most: large pages, and freed memory is kept.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=268435456",
}
"""All that a decoder's environment holds: no credential of the worker's is in it."""

_START: Final = (
    "import gc, sys; gc.disable(); sys.path += sys.argv[1].split(':'); from processors.sandbox.slot import main;"
    " sys.exit(main(*map(int, sys.argv[2:])))"
)


def _import_paths() -> list[str]:
    """Return the folders of packages, and that of ours: by -S the slot looks for none itself, which costs as much as Python's start."""
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    return [*packages, str(Path(__file__).parents[2])]


@dataclass(frozen=True)
class ChildExit:
    """How a child ended, as its slot reports it."""

    status: int
    late: bool
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, kw_only=True)
class Reuse:
    """How long a child stays with one company: `max_jobs` jobs, and `max_age_s` seconds from the first one on."""

    max_jobs: int
    max_age_s: float


@dataclass(frozen=True, kw_only=True)
class SlotConfig:
    """The options that every slot of a pool shares; see DecodeSlots."""

    memory_mb: int
    confinement: Confinement
    cpu_s: int = CPU_S
    heic: bool = False
    is_warm: bool = True
    reuse: Reuse | None = None


@dataclass
class Child:
    """A child that waits for its job or works on it: the worker's end of its socket and, later, its exit.

    None for the exit: the slot itself has ended. `jobs` are those that it has had, all of `tenant`; of None it takes one.
    """

    number: int
    connection: socket.socket
    child_exit: "asyncio.Future[ChildExit | None]"
    tenant: str | None = None
    jobs: int = 0
    until_s: float = 0.0


class SlotProcess:
    """One slot process and its control socket. One child always waits in it, so that a job finds it forked and locked.

    With `reuse` the child of the last job may be kept, for another one of the same company.
    """

    def __init__(self, config: SlotConfig) -> None:
        self.memory_mb: Final = config.memory_mb
        self._config: Final = config
        self._kept: Child | None = None
        self.landlock = 0
        self.sandbox_gaps: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._jobs = 0
        self._broken_by: str | None = None
        self._control: socket.socket
        self._loop: asyncio.AbstractEventLoop
        self._next_number = 0
        self._waiting: Child | None = None
        self._child_exits: Final[dict[int, asyncio.Future[ChildExit | None]]] = {}

    @property
    def pid(self) -> int:
        """Return the slot's process id; 0 when it does not run."""
        return self._process.pid if self._process else 0

    def is_fit(self) -> bool:
        """Return whether the slot can take a job."""
        alive = self._process is not None and self._process.poll() is None
        if alive:
            self._receive_child_exit()  # the child that waits may have been killed a moment ago
        return alive and self._broken_by is None and self._jobs < JOBS_PER_SLOT

    def cause_of_end(self) -> str:
        """Return why the slot is not fit: a label of thumbnail_slot_restarts_total."""
        if self._broken_by is not None:
            return self._broken_by
        return "worn" if self._process is not None and self._process.poll() is None else "died"

    def mark_broken(self, cause: str) -> None:
        """Take no more jobs; the first cause stands."""
        self._broken_by = self._broken_by or cause

    @property
    def kept_for(self) -> str | None:
        """Return whose next job needs no new child; None when any needs one."""
        return self._kept.tenant if self._kept is not None else None

    def begin(self, timeout_s: float, tenant: str | None = None) -> Child:
        """Return the child that has the job, its time running from now on: the kept one of `tenant`, else one that never had any.

        Raises OSError when the slot is dead.
        """
        child = self._take_kept(tenant) or self._waiting
        if child is None:
            raise BrokenPipeError("the slot has no child")
        self._control.send(ORDER.pack(START, child.number, timeout_s))
        child.jobs += 1
        self._jobs += 1
        if child is self._waiting:
            self._waiting = None
            if self._config.reuse is not None:
                child.tenant, child.until_s = tenant, time.monotonic() + self._config.reuse.max_age_s
            try:
                self._prepare()
            except OSError:  # this job may still go well
                self.mark_broken("died")
        return child

    def _take_kept(self, tenant: str | None) -> Child | None:
        """Return the kept child if it may have a job of `tenant`; any other one is ended."""
        child, self._kept = self._kept, None
        if child is None or (tenant == child.tenant and time.monotonic() < child.until_s):
            return child
        self.end(child)
        child.connection.close()
        return None

    def keep(self, child: Child) -> bool:
        """Have the child, which did its job well, wait for another one; False when it has had enough."""
        left_s = child.until_s - time.monotonic()
        if (
            self._config.reuse is None
            or child.tenant is None
            or child.jobs >= self._config.reuse.max_jobs
            or left_s <= 0
        ):
            return False
        try:
            self._control.send(ORDER.pack(START, child.number, left_s))
        except OSError:
            return False
        self._kept = child
        return True

    def end(self, child: Child) -> None:
        """Have the child killed, if it has not ended."""
        with suppress(OSError):
            self._control.send(ORDER.pack(END, child.number, 0.0))

    async def start(self) -> None:
        """Start the process and wait until it is warm and has checked its sandbox.

        Raises TransientError internal.error when it does not start, and ConfinementError when the required sandbox has
        gaps. `sandbox_gaps` lists them where it is not required.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-I", "-S", "-c", _START, ":".join(_import_paths())]
            is_caged = self._config.confinement != "off"
            numbers = [
                theirs.fileno(),
                os.getpid(),
                self.memory_mb,
                int(is_caged),
                self._config.cpu_s,
                int(self._config.heic),
            ]
            numbers += [int(self._config.is_warm), self._config.reuse.max_jobs if self._config.reuse is not None else 1]
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own interpreter; 7 ms, and the loop's thread must start it
                command + [str(number) for number in numbers],
                env=_ENVIRONMENT,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if os.environ.get("THUMBNAILS_SLOT_STDERR") else subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is for the worker, which then ends its slots
            )
        ours.setblocking(False)
        self._control, self._jobs, self._broken_by = ours, 0, None
        self._loop = asyncio.get_running_loop()
        try:
            hello = await asyncio.wait_for(self._loop.sock_recv(ours, 1024), START_TIMEOUT_S)
        except (TimeoutError, OSError):
            hello = b""
        if not hello.startswith(HELLO):
            self.kill()
            is_told = hello.startswith(BROKEN)
            why = f": {hello.removeprefix(BROKEN).decode('ascii', 'replace')}" if is_told else "."
            raise TransientError(ErrorCode.INTERNAL_ERROR, f"A decode slot does not start{why}")
        landlock, *sandbox_gaps = hello.removeprefix(HELLO).decode("utf-8", "replace").splitlines()
        self.landlock, self.sandbox_gaps = int(landlock), tuple(sandbox_gaps)
        if self.sandbox_gaps and self._config.confinement == "required":
            self.kill()
            raise ConfinementError(self.sandbox_gaps)

        self._loop.add_reader(ours, self._receive_child_exit)
        try:
            self._prepare()
        except OSError as exc:
            self.kill()
            raise TransientError(ErrorCode.INTERNAL_ERROR, "A decode slot does not start.") from exc

    def _prepare(self) -> None:
        """Have a child forked for the job after this one."""
        number = self._next_number
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [ORDER.pack(PREPARE, number, 0.0)], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        self._next_number = number + 1 & 0xFFFFFFFF
        self._child_exits[number] = self._loop.create_future()
        self._waiting = Child(number, ours, self._child_exits[number])

    def _receive_child_exit(self) -> None:
        """A child has ended, or the slot itself has."""
        try:
            data = self._control.recv(CHILD_EXIT.size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if len(data) != CHILD_EXIT.size:
            self._give_up_children()
            return
        number, status, late, cpu_s, peak_kib = CHILD_EXIT.unpack(data)
        if self._waiting is not None and self._waiting.number == number:
            self.mark_broken("died")  # before it had a job
        if self._kept is not None and self._kept.number == number:
            self._kept.connection.close()
            self._kept = None
        if (child_exit := self._child_exits.pop(number, None)) is not None and not child_exit.done():
            child_exit.set_result(ChildExit(status, bool(late), cpu_s, peak_kib / 1024))

    def _give_up_children(self) -> None:
        self.mark_broken("died")
        if not self._loop.is_closed():
            self._loop.remove_reader(self._control)
            for child_exit in self._child_exits.values():
                if not child_exit.done():
                    child_exit.set_result(None)
        self._child_exits.clear()
        for child in (self._waiting, self._kept):
            if child is not None:
                child.connection.close()
        self._waiting = self._kept = None

    def kill(self) -> None:
        """End the process; its children die with it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            self._give_up_children()
            self._control.close()
