"""Seccomp: the system calls that decoding needs, and no other. A filter made by hand, for x86-64 and aarch64.

An allow-list: calls that future kernels add stay shut, and those of the x32 ABI, whose numbers are others, fall through.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Final

_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2

_LOAD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_JUMP_SET: Final = 0x45
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000

_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_PROT_EXEC: Final = 4
_MAP_SHARED: Final = 1
"""Also part of MAP_SHARED_VALIDATE."""

_AUDIT: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ARCHITECTURES: Final = tuple(_AUDIT)

# Name: number on x86_64, on aarch64; None where the architecture has no such call.
_ALLOWED: Final[dict[str, tuple[int | None, int | None]]] = {
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "close": (3, 57),
    "lseek": (8, 62),
    "fstat": (5, 80),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "brk": (12, 214),
    "madvise": (28, 233),
    "futex": (202, 98),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "gettimeofday": (96, 169),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getcpu": (309, 168),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
# Refused with the error that libraries expect, so that they go on: late imports, looks at optional files, threads.
_REFUSED: Final[dict[str, tuple[int | None, int | None, int]]] = {
    "open": (2, None, errno.EACCES),
    "openat": (257, 56, errno.EACCES),
    "openat2": (437, 437, errno.EACCES),
    "stat": (4, None, errno.EACCES),
    "lstat": (6, None, errno.EACCES),
    "newfstatat": (262, 79, errno.EACCES),
    "statx": (332, 291, errno.EACCES),
    "access": (21, None, errno.EACCES),
    "faccessat": (269, 48, errno.EACCES),
    "faccessat2": (439, 439, errno.EACCES),
    "readlink": (89, None, errno.EACCES),
    "readlinkat": (267, 78, errno.EACCES),
    "ioctl": (16, 29, errno.ENOTTY),
    "clone": (56, 220, errno.EAGAIN),
    "fork": (57, None, errno.EAGAIN),
    "vfork": (58, None, errno.EAGAIN),
    "clone3": (435, 435, errno.ENOSYS),  # its flags are behind a pointer; the C library then takes clone
}
# No decoder calls these: whoever does has been taken over, and its job ends with SIGSYS.
_KILLED: Final[dict[str, tuple[int, int]]] = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "keyctl": (250, 219),
    "add_key": (248, 217),
}
_MMAP: Final = (9, 222)
_MPROTECT: Final = (10, 226)
_TGKILL: Final = (234, 131)
_PRLIMIT64: Final = (302, 261)
_CLONE: Final = (56, 220)
_PRCTL: Final = (157, 167)
_PR_SET_NAME: Final = 15
_CLONE_THREAD: Final = 0x10000
_CLONE_APART: Final = 0x7E020080
"""CLONE_NEW*: whatever is new is a way around the locks of what is old."""


def is_supported() -> bool:
    """Return whether this machine is one that the filter is made for."""
    return sys.platform == "linux" and platform.machine() in _AUDIT


def install(*, allow_threads: bool = False) -> None:
    """Lock the calling thread for ever. NO_NEW_PRIVS must be set, and every limit. Raises OSError when it is refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    made = _WITH_THREADS if allow_threads else _PROGRAM
    program = made.replace(struct.pack("=I", _ANY_PID), struct.pack("=I", os.getpid()))
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, header, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp refuses")


def build_filter(machine: str, own_pid: int, *, allow_threads: bool = False) -> bytes:
    """Return the program, 8 bytes an instruction; with `allow_threads` one that lets threads start, and still no process.

    Raises ValueError for a machine that it is not made for.
    """
    if machine not in _AUDIT:
        raise ValueError(f"no system call table for {machine}")
    of = _ARCHITECTURES.index(machine)
    # A 32-bit call from a 64-bit process has other numbers: end whoever tries.
    steps = [_step(_LOAD, _ARCHITECTURE_AT), _step(_JUMP_EQUAL, _AUDIT[machine], 1, 0), _step(_RETURN, _KILL)]
    steps.append(_step(_LOAD, _NUMBER_AT))
    for numbers in _ALLOWED.values():
        steps += _rule(numbers[of], _ALLOW)
    steps += _unless_set(_MMAP[of], ((_low(2), _PROT_EXEC), (_low(3), _MAP_SHARED)))
    steps += _unless_set(_MPROTECT[of], ((_low(2), _PROT_EXEC),))
    steps += _only_if(_TGKILL[of], _low(0), own_pid)  # abort() sends itself a signal
    steps += _unless_set(_PRLIMIT64[of], ((_low(2), 0xFFFFFFFF), (_high(2), 0xFFFFFFFF)))  # reading them is harmless
    if allow_threads:
        steps += _threads_only(_CLONE[of])
        steps += _only_if(_PRCTL[of], _low(0), _PR_SET_NAME)  # libraries name their threads
    for *refused, code in _REFUSED.values():
        steps += _rule(refused[of], _ERRNO | code)
    for killed in _KILLED.values():
        steps += _rule(killed[of], _KILL)
    steps.append(_step(_RETURN, _ERRNO | errno.EPERM))
    return b"".join(steps)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _rule(number: int | None, action: int) -> list[bytes]:
    return [] if number is None else [_step(_JUMP_EQUAL, number, 0, 1), _step(_RETURN, action)]


def _low(index: int) -> int:
    """Offset of an argument's low word; both machines are little-endian."""
    return 16 + 8 * index


def _high(index: int) -> int:
    return _low(index) + 4


def _unless_set(number: int, bits: tuple[tuple[int, int], ...]) -> list[bytes]:
    """Allow the call unless one of its arguments' words (offset, mask) has one of the bits."""
    checks = []
    for position, (offset, mask) in enumerate(bits):
        checks += [_step(_LOAD, offset), _step(_JUMP_SET, mask, 2 * (len(bits) - position) - 1, 0)]
    checks += [_step(_RETURN, _ALLOW), _step(_RETURN, _ERRNO | errno.EACCES)]
    return [_step(_JUMP_EQUAL, number, 0, len(checks)), *checks]


def _threads_only(number: int) -> list[bytes]:
    """Allow clone for a thread of this process, which lives under the same filter; refuse it for anything else."""
    checks = [
        _step(_LOAD, _low(0)),
        _step(_JUMP_SET, _CLONE_APART, 2, 0),
        _step(_JUMP_SET, _CLONE_THREAD, 0, 1),
        _step(_RETURN, _ALLOW),
        _step(_RETURN, _ERRNO | errno.EAGAIN),
    ]
    return [_step(_JUMP_EQUAL, number, 0, len(checks)), *checks]


def _only_if(number: int, offset: int, value: int) -> list[bytes]:
    """Allow the call when the argument's word is `value`, deny it else."""
    checks = [_step(_LOAD, offset), _step(_JUMP_EQUAL, value, 0, 1), _step(_RETURN, _ALLOW)]
    checks.append(_step(_RETURN, _ERRNO | errno.EPERM))
    return [_step(_JUMP_EQUAL, number, 0, len(checks)), *checks]


_ANY_PID: Final = 0x7FFF_FFFE
"""Stands for the process in the filter that is made once: no process has it."""
_PROGRAM: Final = build_filter(platform.machine(), _ANY_PID) if platform.machine() in _AUDIT else b""
_WITH_THREADS: Final = (
    build_filter(platform.machine(), _ANY_PID, allow_threads=True) if platform.machine() in _AUDIT else b""
)
