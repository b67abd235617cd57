"""Runs the roles as a supervisor would: as processes, restarted whenever they end. Knows only the command line."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.fork_server import Process, start_service

STOP_TIMEOUT_S = 60.0


def role_command(name: str) -> list[str]:
    """A role as a plain process."""
    return [sys.executable, "-m", "service", *name.split()]


@dataclass
class Role:
    """One role's process, whichever incarnation it is in."""

    name: str
    command: list[str] | None
    environment: dict[str, str]
    log: Path
    process: Process
    starts: int = 1
    exit_codes: list[int] = field(default_factory=list)
    log_from: int = 0
    """Where in the log the present incarnation begins, in bytes."""

    @property
    def is_ready(self) -> bool:
        """Return whether the present incarnation has proven its dependencies."""
        return b"role_ready" in self.log.read_bytes()[self.log_from :]


class Supervisor:
    """Starts roles, restarts those that ended, and stops them all. Without a `command` the fork server starts them."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], command: Callable[[str], list[str]] | None = role_command
    ) -> None:
        self.folder = folder
        self._command = command
        self._environment = dict(environment)
        self.roles: list[Role] = []

    def start(self, name: str, count: int = 1, **extra: str) -> None:
        """Start `count` more processes of one role, by the words of its command."""
        for number in range(len(self.of(name)), len(self.of(name)) + count):
            environment = {**os.environ, **self._environment, **extra}
            log = self.folder / f"{name}-{number}.log"
            command = self._command(name) if self._command else None
            self.roles.append(Role(name, command, environment, log, _spawn(name, command, environment, log)))

    def restart_ended(self) -> None:
        """What a supervisor does all the time."""
        for role in self.roles:
            code = role.process.poll()
            if code is not None:
                role.exit_codes.append(code)
                role.log_from = role.log.stat().st_size
                role.process = _spawn(role.name, role.command, role.environment, role.log)
                role.starts += 1

    def of(self, name: str) -> list[Role]:
        return [role for role in self.roles if role.name == name]

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Every role has proven its dependencies."""
        deadline = time.monotonic() + timeout_s
        for role in self.roles:
            while not role.is_ready:
                if role.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"{role.name} does not start:\n{role.log.read_text(errors='replace')[-3000:]}")
                time.sleep(0.1)

    def stop(self) -> dict[str, int]:
        """SIGTERM to all; their exit codes. It just ends a role that is not ready: that counts as 0."""
        starting = {role.log.stem for role in self.roles if not role.is_ready}
        for role in self.roles:
            if role.process.poll() is None:
                role.process.terminate()
        codes = {}
        for role in self.roles:
            try:
                codes[role.log.stem] = role.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                role.process.kill()
                codes[role.log.stem] = role.process.wait()
        return {name: 0 if code == -signal.SIGTERM and name in starting else code for name, code in codes.items()}


def _spawn(name: str, command: list[str] | None, environment: dict[str, str], log: Path) -> Process:
    with log.open("ab") as out:
        if command is None:
            return start_service(name.split(), environment, out, out)
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def children_of(pid: int) -> list[int]:
    """Process ids of the direct children: by the kernel's list, or, where it keeps none, by a look at every process."""
    try:
        return [
            int(child)
            for task in (Path("/proc") / str(pid) / "task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:  # no such list, or no such process any more
        return _found_by_parent(pid)


def _found_by_parent(pid: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib's patterns fail where a process ends meanwhile
        if not name.isdecimal():
            continue
        try:
            fields = (Path("/proc") / name / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(name))
    return found


def orphaned_decoders() -> list[int]:
    """Slots and decode children whose worker is gone: their parent is not a Python process any more."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"processors.sandbox.slot" not in (folder / "cmdline").read_bytes():
                continue
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if b"python" not in Path(f"/proc/{parent}/cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def no_decoder_is_orphaned(timeout_s: float = 5.0) -> bool:
    """Whether every decoder whose worker has ended is gone within a moment."""
    deadline = time.monotonic() + timeout_s
    while orphaned_decoders():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def kill_quietly(pid: int, number: int = signal.SIGKILL) -> bool:
    """Whether the process was there to get the signal."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
