"""What every local broker can do, and how its process is owned."""

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
_FOLDER_PREFIX: Final = "thumbnails-kafka-"
_PR_SET_PDEATHSIG: Final = 1
_EPHEMERAL_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT: Final = 15_000


class NoKafkaError(Exception):
    """No broker can be had; the message says what to install."""


class LocalKafka(ABC):
    """A broker that lives no longer than its owner; start() and stop() from the main thread."""

    description: str
    bootstrap_servers: str

    @abstractmethod
    def start(self) -> str:
        """Start, wait until it answers, and return the bootstrap servers. Raises NoKafkaError."""

    @abstractmethod
    def stop(self) -> None:
        """Stop, and leave no process and no file behind. Stopping twice is harmless."""


class ProcessKafka(LocalKafka):
    """A broker that runs as a child process with a folder of its own, on a port that stays the same."""

    def __init__(self) -> None:
        self.folder: Final = owned_folder(_FOLDER_PREFIX)
        self.port: Final = free_port()
        self.bootstrap_servers = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> list[str]:
        """What to run."""

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    @property
    def pid(self) -> int:
        """The broker's process id; 0 when it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> str:
        """As in the contract; after stop_process() or kill() it goes on with the same data, where it keeps any."""
        self._process = owned_process(self._command(), self.folder / "broker.log", self._environment())
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(self.bootstrap_servers):
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = _end_of_log(self.folder / "broker.log")
                self.stop()
                raise NoKafkaError(f"{self.description} did not start. Its log ends with:\n{tail}")
        return self.bootstrap_servers

    def stop_process(self) -> None:
        """End the broker, and keep its data."""
        process, self._process = self._process, None
        if process is not None:
            end_process(process)

    def kill(self) -> None:
        """End the broker as a power cut would, and keep its data."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self) -> str:
        """End the broker in good order and start it again, on the same port."""
        self.stop_process()
        return self.start()

    def stop(self) -> None:
        """As in the contract."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _end_of_log(log: Path) -> str:
    """The last lines, without the frames of stack traces."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join([line for line in lines if not line.startswith("\tat ")][-12:])


def owned_process(
    command: list[str],
    log: Path,
    environment: dict[str, str],
    *,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start `command`, as `user` with that user's group alone; a terminal's Ctrl-C does not reach it.

    It gets `death_signal` when the thread that calls this ends: call it from the main thread.
    """
    owner = os.getpid()
    libc = ctypes.CDLL(None) if hasattr(signal, "SIGRTMIN") else None

    def die_with_owner() -> None:
        # After the change of user, which would clear it.
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != owner:
            os._exit(1)

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
            preexec_fn=die_with_owner,
        )


def end_process(process: subprocess.Popen[bytes], timeout_s: float = STOP_TIMEOUT_S) -> int:
    """SIGTERM, and SIGKILL when that is not heard; the exit code."""
    process.terminate()
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def answers(bootstrap_servers: str) -> bool:
    """Whether a broker gives its metadata within a second."""
    host, _, port = bootstrap_servers.split(",")[0].rpartition(":")
    try:
        # Asked first: librdkafka would fill the log while nothing listens.
        with socket.create_connection((host, int(port)), timeout=1):
            pass
        AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0}).list_topics(timeout=1)
    except (OSError, KafkaException):
        time.sleep(0.1)
        return False
    return True


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on at this moment.

    It lies below the ports that the kernel gives to outgoing connections: of those, one that belongs to a server which
    is down for a moment can be taken by the very client that tries to reach it again.
    """
    for _ in range(100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", _any_port()))
            return int(probe.getsockname()[1])
    raise NoKafkaError("No free TCP port was found on 127.0.0.1.")


def _any_port() -> int:
    try:
        first_ephemeral = int(_EPHEMERAL_PORTS.read_text().split()[0])
    except OSError:
        return 0  # not Linux: the kernel's choice
    below = first_ephemeral - _LOWEST_PORT
    return _LOWEST_PORT + secrets.randbelow(below) if below > 0 else 0


def owned_folder(prefix: str) -> Path:
    """A new temporary folder that names its owner; those of owners that were killed are removed first."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        owner = folder.name.removeprefix(prefix).partition("-")[0]
        if owner.isdigit() and not is_running(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))


def is_running(pid: int) -> bool:
    """Whether there is a process with this id."""
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
