"""Apache Kafka in a container, for machines that have Docker and not what the other brokers need."""

import os
import shutil
import subprocess
from functools import cache
from typing import Final

from service.demo.broker import NoKafkaError, ProcessKafka
from service.demo.processes import is_running
from tests.servers.kafka.apache import KAFKA_VERSION, SINGLE_NODE

IMAGE: Final = f"apache/kafka:{KAFKA_VERSION}"
_ASK_TIMEOUT_S: Final = 10.0
_PULL_TIMEOUT_S: Final = 600.0
_NAME_PREFIX: Final = "thumbnails-kafka-"
_CONTROLLER_PORT: Final = 9093


@cache
def can_run() -> bool:
    """Whether a Docker engine answers; asked once."""
    if shutil.which("docker") is None:
        return False
    try:
        return _docker("version", "--format", "{{.Server.Version}}").returncode == 0
    except subprocess.TimeoutExpired:
        return False


class DockerKafka(ProcessKafka):
    """The broker that production runs on; its data go with its container."""

    description = f"Apache Kafka {KAFKA_VERSION} in a container"

    def __init__(self) -> None:
        _remove_ownerless()
        if _docker("image", "inspect", IMAGE).returncode != 0:
            pulled = _docker("pull", "--quiet", IMAGE, timeout_s=_PULL_TIMEOUT_S)
            if pulled.returncode != 0:
                raise NoKafkaError(f"Docker could not pull {IMAGE}: {pulled.stderr[-500:]}")
        super().__init__()
        self._name: Final = f"{_NAME_PREFIX}{os.getpid()}-{self.port}"

    def _command(self) -> list[str]:
        settings = SINGLE_NODE | {
            # The image formats its storage for voters that are known beforehand.
            "controller.quorum.voters": f"1@localhost:{_CONTROLLER_PORT}",
            "listeners": f"PLAINTEXT://:{self.port},CONTROLLER://:{_CONTROLLER_PORT}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
        }
        command = ["docker", "run", "--name", self._name, "--publish", f"{self.bootstrap_servers}:{self.port}"]
        for name, value in settings.items():
            command += ["--env", f"KAFKA_{name.replace('.', '_').upper()}={value}"]
        return [*command, "--env", "KAFKA_HEAP_OPTS=-Xmx512m", IMAGE]

    def stop_process(self) -> None:
        """As in the contract; the client hands the signal on to the broker."""
        super().stop_process()
        self._remove()

    def kill(self) -> None:
        """As in the contract."""
        self._remove()
        super().kill()

    def _remove(self) -> None:
        _docker("rm", "--force", "--volumes", self._name, timeout_s=60)


def _remove_ownerless() -> None:
    """Remove the containers of owners that were killed: a container does not die with who started it."""
    listed = _docker("ps", "--all", "--filter", f"name={_NAME_PREFIX}", "--format", "{{.Names}}")
    for name in listed.stdout.split():
        owner = name.removeprefix(_NAME_PREFIX).partition("-")[0]
        if owner.isdigit() and not is_running(int(owner)):
            _docker("rm", "--force", "--volumes", name, timeout_s=60)


def _docker(*arguments: str, timeout_s: float = _ASK_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    command = ["docker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
