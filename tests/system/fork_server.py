"""Starts the command line in processes that have its libraries already: most of a start's processor time is their loading.

`python -m service` is still what runs, from its arguments and environment to its exit code, in a process of its own. The
tests of starts themselves, of shells and of installations start Python as everybody does.
"""

import atexit
import ctypes
import json
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, Final, Protocol

_MESSAGE_BYTES: Final = 1 << 20
_PR_SET_PDEATHSIG: Final = 1
_MODULES: Final = (
    "service.__main__",
    "service.cli.dlq",
    "service.cli.explained",
    "service.kafka.codecs",
    "service.roles.run",
    "service.roles.worker",
    "service.setting_names",
    "service.tenants.checks",
    "schemas.migrations",
)


class Process(Protocol):
    """What tests do with a process, whoever has started it."""

    pid: int

    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class ForkedProcess:
    """A child of the fork server; exit codes are those of subprocess.Popen."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._end: Final = end
        """Where the server says the exit code."""

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        if self.returncode is None:
            self._end.settimeout(timeout)
            try:
                said = self._end.recv(_MESSAGE_BYTES)
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0) from None
            self._end.close()
            assert said, "the fork server has ended"
            self.returncode = int(said)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start_service(arguments: Sequence[str], environment: Mapping[str, str], out: IO[Any], error: IO[Any]) -> Process:
    """Start `python -m service` with exactly this environment; its standard input is empty."""
    if _is_measured() or _of_python(environment) != _of_python(os.environ):
        command = [sys.executable, "-m", "service", *arguments]
        return subprocess.Popen(command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=error)
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = {"arguments": list(arguments), "environment": dict(environment), "folder": os.getcwd()}  # noqa: PTH109 - a text
    with theirs, Path(os.devnull).open("rb") as nothing:
        descriptors = [nothing.fileno(), out.fileno(), error.fileno(), theirs.fileno()]
        socket.send_fds(_server(), [json.dumps(request).encode()], descriptors)
    return ForkedProcess(int(mine.recv(_MESSAGE_BYTES)), mine)


def _is_measured() -> bool:
    """Return whether the lines are counted that a process runs: that begins at its start."""
    return any(name in os.environ for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"))


def _of_python(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what Python itself reads at its start: where its modules are, for one."""
    return {name: value for name, value in environment.items() if name.startswith("PYTHON")}


@cache
def _server() -> socket.socket:
    """Start the server, once; it ends when this process does."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with theirs:
        number = theirs.fileno()
        command = [sys.executable, "-m", __name__, str(number)]
        server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, pass_fds=[number])
    atexit.register(server.wait)
    atexit.register(mine.close)
    return mine


def main(channel: socket.socket) -> None:
    """Fork for each request until the other side has gone; a child returns when it is to run the command line."""
    for name in _MODULES:
        __import__(name)
    assert len(os.listdir("/proc/self/task")) == 1, "a thread would not be there after a fork"  # noqa: PTH208 - /proc
    woken, wakes = socket.socketpair()
    for one in (woken, wakes):
        one.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is for the tests, which then end the server
    with channel, woken, wakes, selectors.DefaultSelector() as ready:
        for one in (channel, woken):
            ready.register(one, selectors.EVENT_READ)
        request, descriptors = _fork_for_requests(channel, woken, ready)
        signal.set_wakeup_fd(-1)
    _become(request, descriptors)


def _fork_for_requests(
    channel: socket.socket, woken: socket.socket, ready: selectors.BaseSelector
) -> tuple[dict[str, Any], list[int]]:
    """Return in each child, with what it is to be."""
    ends: dict[int, socket.socket] = {}
    while True:
        readable = [key.fileobj for key, _ in ready.select()]
        if woken in readable:
            woken.recv(_MESSAGE_BYTES)
            _say_who_has_ended(ends)
        if channel in readable:
            text, descriptors, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, 4)
            if not text:
                raise SystemExit
            pid = os.fork()
            if pid == 0:
                for end in ends.values():
                    end.close()
                return json.loads(text), descriptors
            for number in descriptors[:3]:
                os.close(number)
            ends[pid] = socket.socket(fileno=descriptors[3])
            ends[pid].send(str(pid).encode())


def _say_who_has_ended(ends: dict[int, socket.socket]) -> None:
    for pid in list(ends):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            with ends.pop(pid) as end, suppress(OSError):  # nobody asks any more
                end.send(str(os.waitstatus_to_exitcode(status)).encode())


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Look in every way like a process that has just been started."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # no role outlives a run of tests that is killed
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever a shell has said of it
    for number, given in enumerate(descriptors[:3]):
        os.dup2(given, number)
    for given in descriptors:
        os.close(given)
    sys.stdin, sys.stdout, sys.stderr = (  # they live as long as the process
        open(number, "r" if number == 0 else "w", closefd=False)  # noqa: SIM115 - so does Python itself
        for number in range(3)
    )
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["thumbnails", *request["arguments"]]
    random.seed()


def _run_service() -> None:
    """As service/__main__.py, and then leave at once: to let go of all these libraries takes longer than most commands."""
    from service.__main__ import run

    code: object = 0
    try:
        run()
    except SystemExit as exc:
        code = exc.code
    except BaseException:  # noqa: BLE001 - said as Python says it
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined] # what Python's own end does first
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
    _run_service()
