"""Check at every start of a slot that a sandboxed child cannot escape: it tries, and reports what it reached."""

import mmap
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

EXIT_NOT_LOCKED: Final = 127
"""Exit code of a child that could not be locked, and has tried nothing."""


def _open_file() -> None:
    os.close(os.open("/proc/self/environ", os.O_RDONLY))


def _look_at_file() -> None:
    Path("/").stat()


def _open_socket() -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


def _start_process() -> None:
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _signal_parent() -> None:
    os.kill(os.getppid(), 0)


def _map_code() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()


_ATTEMPTS: Final[dict[str, Callable[[], None]]] = {
    "open a file": _open_file,
    "look at a file": _look_at_file,
    "open a socket": _open_socket,
    "start a process": _start_process,
    "signal its parent": _signal_parent,
    "run code of its own": _map_code,
}


def try_all() -> int:
    """Bit n is set when the n-th attempt succeeded. For an exit status: it stays below 64."""
    reached = 0
    for number, attempt in enumerate(_ATTEMPTS.values()):
        with suppress(OSError):
            attempt()
            reached |= 1 << number
    return reached


def describe(status: int) -> list[str]:
    """Return what a child with this wait status "could", in words; any end but a clean one proves nothing, and is said."""
    if os.WIFSIGNALED(status):
        return [f"not finish its attempts ({signal.Signals(os.WTERMSIG(status)).name})"]
    code = os.waitstatus_to_exitcode(status)
    if code == EXIT_NOT_LOCKED:
        return ["not be locked in at all"]
    return [name for number, name in enumerate(_ATTEMPTS) if code >> number & 1]
