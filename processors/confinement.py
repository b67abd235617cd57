"""What a decoder process gives up: its parent's protection, resources, and (in a later step) the kernel's doors.

The order matters, and is the same in every process that runs a decoder:
slot: PDEATHSIG, parent check, NO_NEW_PRIVS, DUMPABLE 0, imports and warm-up, [Landlock];
child: PDEATHSIG and parent check again (they are not inherited by a fork), rlimits, [seccomp], first media byte.
The two bracketed locks have their places marked below: Landlock before the limit on files, which it needs one of, and
seccomp after all limits, which it would refuse.
"""

import ctypes
import os
import resource
import signal
import sys
from typing import Final

from processors.limits import CPU_S, MIB

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_ADDRESS_SPACE_EXTRA_MB: Final = 1024
"""Mapped libraries count into the address space; RLIMIT_DATA is the limit that bites."""

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


def lock_slot() -> None:
    """Close the file system and the network for the slot and all its children. Landlock's place."""


def limit_job(memory_mb: int) -> None:
    """Bound memory, processor time, files and core dumps of this process, for ever."""
    data, space = memory_mb * MIB, (memory_mb + _ADDRESS_SPACE_EXTRA_MB) * MIB
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))  # what is open stays usable, nothing new can be opened


def lock_job() -> None:
    """Leave only the system calls that decoding needs. Seccomp's place, after every limit."""


def _prctl(option: int, value: int) -> None:
    if _libc is not None and _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")
