"""One slot process as the worker sees it: started with a bare environment, spoken to over one control socket."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from processors.confinement import Confinement, ConfinementError
from processors.limits import CPU_S, JOBS_PER_SLOT, START_TIMEOUT_S
from processors.wire import HELLO
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

_START: Final = "import sys; sys.path.append(sys.argv[1]); from processors.slot import main; sys.exit(main(*map(int, sys.argv[2:])))"


class SlotProcess:
    """One slot process and its control socket."""

    def __init__(self, memory_mb: int, confinement: Confinement, *, cpu_s: int = CPU_S, heic: bool = False) -> None:
        self.memory_mb: Final = memory_mb
        self._cpu_s: Final = cpu_s
        self._heic: Final = heic
        self._confinement: Final = confinement
        self.landlock = 0
        self.open_doors: tuple[str, ...] = ()
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
        """Start the process and wait until it is warm and has proven its cage.

        Raises TransientError internal.error when it does not come up, and ConfinementError when its cage is open although
        that is required to be shut; `open_doors` says what is open where it is not required.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        root = Path(__file__).parent.parent
        with theirs:
            command = [sys.executable, "-I", "-c", _START, str(root)]
            is_caged = self._confinement != "off"
            numbers = [theirs.fileno(), os.getpid(), self.memory_mb, int(is_caged), self._cpu_s, int(self._heic)]
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
        self.control, self._jobs, self._broken_by = ours, 0, None
        try:
            hello = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 1024), START_TIMEOUT_S)
        except (TimeoutError, OSError):
            hello = b""
        if not hello.startswith(HELLO):
            self.kill()
            raise TransientError(ErrorCode.INTERNAL_ERROR, "A decode slot does not start.")
        landlock, *open_doors = hello.removeprefix(HELLO).decode("utf-8", "replace").splitlines()
        self.landlock, self.open_doors = int(landlock), tuple(open_doors)
        if self.open_doors and self._confinement == "required":
            self.kill()
            raise ConfinementError(self.open_doors)

    def kill(self) -> None:
        """End the process; its child dies with it."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            self.control.close()
