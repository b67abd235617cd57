"""Sandbox a decoder process: it ends with its parent, has resource limits, and may make few system calls.

The order matters, and is the same in every process that runs a decoder:
slot: PDEATHSIG, parent check, NO_NEW_PRIVS, DUMPABLE 0, imports and warm-up, one thread, Landlock;
child: PDEATHSIG and parent check again (they are not inherited by a fork), rlimits, seccomp, first media byte.
Landlock comes before the limit on files, which it needs one of, and seccomp after all limits, which it would refuse.
Seccomp alone is enough where Landlock is missing; Landlock is a second wall, and also stands around the slot itself.
"""

import ctypes
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from processors.limits import CPU_S, MIB
from processors.sandbox import landlock, seccomp

Confinement = Literal["required", "best_effort", "off"]
"""Whether a worker starts when its decoders could get out; off leaves only the limits."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CPUCLOCK_SCHED: Final = 2
"""Of the clock of another process' processor time: clock_getcpuclockid(3), which Python does not have."""
_ADDRESS_SPACE_EXTRA_MB: Final = 1024
"""Mapped libraries count into the address space; RLIMIT_DATA is the limit that bites."""


class ConfinementError(Exception):
    """A decoder could get out of its cage, and DECODE_CONFINEMENT=required; the message says what to do."""

    def __init__(self, sandbox_gaps: Sequence[str]) -> None:
        super().__init__(
            f"Decoders cannot be confined on this machine: a caged one could {', '.join(sandbox_gaps)}. "
            "Linux on x86-64 or aarch64 with seccomp is needed; DECODE_CONFINEMENT=best_effort decodes without."
        )


_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent_pid: int) -> None:
    """Be killed when the parent dies, however it dies; exit at once when it has died already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def give_up_privileges() -> None:
    """No new privileges by execve, and no reading of this process by others of the same user."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)


def lock_slot() -> int:
    """Close the file system and the network for the slot and all its children: Landlock's version, 0 without it.

    Raises OSError when there is a second thread: the locks cover the calling one only.
    """
    if sys.platform != "linux":
        return 0
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        raise OSError(f"a slot must have one thread, not {threads}, or its cage has a gap")
    return landlock.restrict_self()


def limit_job(memory_mb: int, cpu_s: int = CPU_S, max_jobs: int = 1) -> None:
    """Bound memory, processor time, files and core dumps of this process, for ever.

    Where it may have more than one job its slot raises the soft limit of processor time for each, by allow_another_job().
    """
    data, space = memory_mb * MIB, (memory_mb + _ADDRESS_SPACE_EXTRA_MB) * MIB
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s * max_jobs + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))  # what is open stays usable, nothing new can be opened


def allow_another_job(pid: int, cpu_s: int) -> None:
    """Let the child `pid` use `cpu_s` seconds more than it has used; of a child that has ended nothing is said."""
    with suppress(OSError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_CPU)
        used_s = time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
        resource.prlimit(pid, resource.RLIMIT_CPU, (min(math.ceil(used_s) + cpu_s, hard), hard))


def lock_job(*, allow_threads: bool = False) -> None:
    """Leave only the system calls that decoding needs; after every limit. Raises OSError when the kernel refuses.

    Threads that start later are under the same locks.
    """
    if seccomp.is_supported():
        seccomp.install(allow_threads=allow_threads)


def _prctl(option: int, value: int) -> None:
    if _libc is not None and _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
