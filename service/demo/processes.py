"""Processes and folders that do not outlive their owner, for local servers of the demo and of the tests."""

import atexit
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

STOP_TIMEOUT_S: Final = 20.0
_PR_SET_PDEATHSIG: Final = 1
_INTERRUPTS: Final = frozenset({signal.SIGINT, signal.SIGTERM})
_EPHEMERAL_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT: Final = 15_000


class NoServerError(Exception):
    """A local server cannot be started; the message says what to install."""


def owned_process(
    command: list[str],
    log: Path,
    environment: dict[str, str],
    *,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start `command`, as `user` with that user's group alone; Ctrl-C in the terminal does not reach it.

    The process gets `death_signal` when the calling thread ends: call it from the main thread.
    """
    owner = os.getpid()
    libc = ctypes.CDLL(None) if hasattr(signal, "SIGRTMIN") else None

    def die_with_owner() -> None:
        # After the change of user, which would clear it.
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != owner:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)

    # Python drops an exception that a signal handler raises while it forks: a Ctrl-C there would be lost.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        process = _start(command, log, environment, user=user, prepare=die_with_owner)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
    return process


def _start(
    command: list[str], log: Path, environment: dict[str, str], *, user: str | None, prepare: Callable[[], None]
) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(  # noqa: S603 - the commands are ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            preexec_fn=prepare,
        )


def end_process(process: subprocess.Popen[bytes], timeout_s: float = STOP_TIMEOUT_S) -> int:
    """Send SIGTERM, then SIGKILL when the process has not ended in time; return the exit code."""
    process.terminate()
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 on which nothing listens now.

    The port lies below the kernel's range for outgoing connections. A port inside that range can be taken by a client
    that reconnects while its server restarts.
    """
    for _ in range(100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", _any_port()))
            return int(probe.getsockname()[1])
    raise NoServerError("No free TCP port was found on 127.0.0.1.")


def _any_port() -> int:
    try:
        first_ephemeral = int(_EPHEMERAL_PORTS.read_text().split()[0])
    except OSError:
        return 0  # not Linux: the kernel's choice
    below = first_ephemeral - _LOWEST_PORT
    return _LOWEST_PORT + secrets.randbelow(below) if below > 0 else 0


def owned_folder(prefix: str) -> Path:
    """Make a temporary folder that names its owner; remove the folders of owners that were killed.

    At the latest it goes when the process ends: a Ctrl-C may come when it is there and its user has not heard of it yet.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        owner = folder.name.removeprefix(prefix).partition("-")[0]
        if owner.isdigit() and not is_running(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.gettempdir()) / f"{prefix}{os.getpid()}-{secrets.token_hex(4)}"
    atexit.register(_remove, folder, os.getpid())
    folder.mkdir(mode=0o700)
    return folder


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # and no fork of it
        shutil.rmtree(folder, ignore_errors=True)


def is_running(pid: int) -> bool:
    """Return True when a process has this id."""
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
