"""A whole installation for a test: topics, schema, the three roles. Knows only the command line."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from service.cli.main import app
from tests.system.fork_server import start_service
from tests.system.platform import Platform
from tests.system.supervisor import Supervisor


class Broker(Protocol):
    """A broker that a test may kill and start again."""

    bootstrap_servers: str

    def start(self) -> str: ...
    def kill(self) -> None: ...


class Database(Protocol):
    """A database server that a test may stop and start again."""

    url: str

    def start(self) -> str: ...
    def stop_process(self) -> None: ...


@dataclass
class Stack:
    """What a test works with."""

    platform: Platform
    supervisor: Supervisor
    environment: dict[str, str]

    def wait_for(self, what: Callable[[], object], timeout_s: float = 60.0, *, restart: bool = False) -> object:
        """Poll `what` until it is true; the roles must stay alive, unless a supervisor is to restart them.

        No more than half of the time is spent looking: what reads a topic or compares pictures takes it from the roles.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            began = time.monotonic()
            found = what()
            if found:
                return found
            if restart:
                self.supervisor.restart_ended()
            else:
                for role in self.supervisor.roles:
                    assert role.process.poll() is None, f"{role.name} ended:\n{role.log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(max(0.2, time.monotonic() - began))

    def wait_until_joined(self) -> None:
        """The group has as many members as there are workers, and every one has its share."""
        admin = AdminClient({"bootstrap.servers": self.environment["KAFKA_BOOTSTRAP_SERVERS"]})
        group = self.environment["WORKER_GROUP"]

        def joined() -> bool:
            try:
                found = admin.describe_consumer_groups([group], request_timeout=5)[group].result(10)
            except KafkaException:  # its coordinator is not there yet
                return False
            is_stable = found.state == ConsumerGroupState.STABLE
            return is_stable and len(found.members) == len(self.supervisor.of("worker"))

        self.wait_for(joined, restart=True)
        self.supervisor.wait_until_ready()


class Command:
    """A command in a process of its own."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self._arguments = arguments
        self._said = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has ended
        self._process = start_service(arguments, os.environ | environment, *self._said)

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, timeout_s: float | None = None) -> subprocess.CompletedProcess[str]:
        """Return what it said, when it has ended. Raises subprocess.TimeoutExpired, and ends it, after `timeout_s`."""
        try:
            code = self._process.wait(timeout_s)
            out, error = (_all_of(file) for file in self._said)
            return subprocess.CompletedProcess(self._arguments, code, out, error)
        finally:
            self._process.kill()
            for file in self._said:
                file.close()


def _all_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def problems_in(output: str) -> list[str]:
    """What a command says in plain lines, and a role of the dependencies that do not work at its start."""
    found = []
    for line in output.splitlines():
        entry = json.loads(line) if line.startswith('{"') else {"event": "dependency_failed", "problem": line}
        if entry.get("event") == "dependency_failed":
            found.append(entry["problem"])
    return found


def run_cli(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, and wait for its end."""
    return Command(environment, *arguments).wait()


def run_cli_here(environment: dict[str, str], *arguments: str) -> None:
    """As `run_cli`, in this process, which has loaded the libraries already; for what a test only needs to be done."""
    done = CliRunner().invoke(app, arguments, env=environment)
    assert done.exit_code == 0, done.output


def settings_for(kafka: str, database_url: str, prefix: str, folder: Path) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "KAFKA_TOPIC_PREFIX": prefix,
        "KAFKA_SESSION_TIMEOUT_S": "6",
        "WORKER_GROUP": f"{prefix}thumbnails",
        "DATABASE_URL": database_url,
        "LOCAL_STORAGE_ROOT": str(folder / "storage"),
        "LOCAL_STORAGE_URL": "http://files.example",
        "RETRY_DELAYS_S": "1,2,4",
        "REPLACED_KEEP_S": "0",  # a test that looks for what is left does not wait
        "TENANT_CACHE_S": "0.2",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": "0",
        "LOG_FORMAT": "json",
    }


@contextmanager
def a_stack(kafka: str, database_url: str, prefix: str, folder: Path, **changes: str) -> Iterator[Stack]:
    """Everything up and ready; afterwards all roles ended with exit code 0."""
    with a_stack_run_by(None, kafka, database_url, prefix, folder, **changes) as stack:
        yield stack


@contextmanager
def a_stack_run_by(
    command: Callable[[str], list[str]] | None,
    kafka: str,
    database_url: str,
    prefix: str,
    folder: Path,
    **changes: str,
) -> Iterator[Stack]:
    """As `a_stack`; `command` is what runs a role, other than the fork server."""
    one_slot = {"DECODE_SLOTS": "1"}  # each takes a second of processor time to start
    environment = settings_for(kafka, database_url, prefix, folder) | one_slot | changes
    run_cli_here(environment, "topics", "create")
    run_cli_here(environment, "db", "upgrade")
    platform = Platform(database_url, folder / "storage", kafka, prefix)
    platform.set_up()
    supervisor = Supervisor(folder, environment, command)
    try:
        for role in ("worker", "persist", "retry"):
            supervisor.start(role)
        supervisor.wait_until_ready()
        yield Stack(platform, supervisor, environment)
    finally:
        codes = supervisor.stop()
        platform.close()
    assert codes == dict.fromkeys(codes, 0)
    assert list(Path.cwd().glob(f"{prefix}thumbnails-data*")) == [], "a role left something in its working folder"
