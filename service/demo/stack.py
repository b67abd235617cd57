"""The demo's own installation: a broker, a database, local storage and the three roles as real processes.

A demo that is kept has two more: the page, and what serves local storage to browsers.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import sqlalchemy as sa

from schemas.database import create_engine_for, write_transaction
from schemas.migrations import upgrade
from service.demo.broker import ExternalKafka, LocalKafka
from service.demo.choose_broker import choose_for_demo
from service.demo.processes import end_process, free_port, owned_folder, owned_process
from service.demo.storages import DemoCompany, DemoStorages
from service.kafka.topics import create_topics, delete_topics
from service.settings import KafkaSettings

ROLES: Final = ("worker", "persist", "retry")
_FOLDER_PREFIX: Final = "thumbnails-demo-"
_ROLE_STARTED: Final = '"role_ready"'
_COMMANDS: Final = {
    **{role: ([role], _ROLE_STARTED) for role in ROLES},
    "serve-local": (["serve-local"], "Serving "),
    "web": (["web", "--host", "127.0.0.1", "--port", "0"], "shows the newest thumbnails"),
}
"""What is started, and what its log has when it is there."""
_START_TIMEOUT_S: Final = 120.0


class DemoError(Exception):
    """The demo cannot go on; the message says why, with the end of the log that shows it."""


@dataclass(frozen=True)
class _Part:
    """A process of the demo, such as a role."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def is_there(self) -> bool:
        return _COMMANDS[self.name][1] in self.log.read_text(errors="replace")


class DemoStack:
    """Everything the demo runs on. Leaving the `with` ends every process and removes every file of it."""

    def __init__(self, companies: list[DemoCompany], *, with_page: bool = False) -> None:
        self.folder: Final = owned_folder(_FOLDER_PREFIX)
        self.database_url: Final = f"sqlite:///{self.folder / 'demo.db'}"
        self.storage_root: Final = self.folder / "storage"
        local_url = f"http://127.0.0.1:{free_port()}/storage" if with_page else None
        self.storages: Final = DemoStorages(companies, self.storage_root, local_url)
        self.topic_prefix: Final = f"demo-{os.getpid()}."
        self._names: Final = (*ROLES, "serve-local", "web") if with_page else ROLES
        self._parts: Final[dict[str, _Part]] = {}
        self._kafka: LocalKafka | None = None

    def __enter__(self) -> Self:
        try:
            self.storages.__enter__()
            self._kafka = choose_for_demo()
            self.bootstrap_servers = self._kafka.start()
            create_topics(self.kafka_settings)
            self._fill_database()
            for name in self._names:
                self._start(name)
            self._wait_until_all_are_there()
        except BaseException:
            self._tear_down()
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tear_down()

    @property
    def description(self) -> str:
        """Return what the demo runs on, for its first line."""
        return f"{self._kafka.description if self._kafka else 'no broker'}, SQLite, {self.storages.description}"

    @property
    def kafka_settings(self) -> KafkaSettings:
        """Settings of the demo's own clients."""
        return KafkaSettings(
            kafka_bootstrap_servers=self.bootstrap_servers,
            kafka_topic_prefix=self.topic_prefix,
            kafka_session_timeout_s=6,
            kafka_replication_factor=1,
        )

    def engine(self) -> sa.Engine:
        """Return a connection to the demo's database."""
        return create_engine_for(self.database_url)

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings with which a `thumbnails` command works on this installation."""
        return {
            **self.storages.environment,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": self.topic_prefix,
            "WORKER_GROUP": f"{self.topic_prefix}thumbnails",
            "KAFKA_SESSION_TIMEOUT_S": "6",
            "KAFKA_REPLICATION_FACTOR": "1",
            "DATABASE_URL": self.database_url,
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": "0",
            "RETRY_DELAYS_S": "1,2,4",
        }

    @property
    def metrics_endpoints(self) -> str:
        """Return where the roles serve their metrics, as STATUS_METRICS_URLS wants it."""
        return ",".join(f"127.0.0.1:{_port_in(self._parts[role].log)}" for role in ROLES)

    @property
    def page_url(self) -> str:
        """Return the page's address. Only for a stack with a page."""
        found = re.search(r"http://\S+", self._parts["web"].log.read_text(errors="replace"))
        if found is None:
            raise DemoError("The page does not say where it is.")
        return found[0]

    def check(self) -> None:
        """Raise DemoError when a role, or another process of the demo, has ended."""
        for part in self._parts.values():
            code = part.process.poll()
            if code is not None:
                tail = "\n".join(part.log.read_text(errors="replace").splitlines()[-5:])
                raise DemoError(f"`thumbnails {part.name}` ended with exit code {code}. Its log ends with:\n{tail}")

    def _fill_database(self) -> None:
        upgrade(self.database_url)
        self.storage_root.mkdir()
        engine = self.engine()
        with write_transaction(engine) as connection:
            self.storages.fill_database(connection)
        engine.dispose()

    def _start(self, name: str) -> None:
        arguments, _ = _COMMANDS[name]
        log = self.folder / f"{name}.log"
        own = {"LOG_FORMAT": "json", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-m", "service", *arguments]
        process = owned_process(command, log, {**os.environ, **self.environment, **own})
        self._parts[name] = _Part(name, process, log)

    def _wait_until_all_are_there(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not all(part.is_there for part in self._parts.values()):
            self.check()
            if time.monotonic() > deadline:
                missing = ", ".join(part.name for part in self._parts.values() if not part.is_there)
                raise DemoError(f"Not started within {_START_TIMEOUT_S:g} s: {missing}.")
            time.sleep(0.1)

    def _tear_down(self) -> None:
        for part in self._parts.values():
            with suppress(ProcessLookupError):
                part.process.terminate()
        for part in self._parts.values():
            end_process(part.process)
        if self._kafka is not None:
            if isinstance(self._kafka, ExternalKafka) and self._parts:
                delete_topics(self.kafka_settings)  # somebody else's cluster is left as it was
            self._kafka.stop()
        self.storages.__exit__(None, None, None)
        shutil.rmtree(self.folder, ignore_errors=True)


def _port_in(log: Path) -> int:
    """Return the port that a role's log names."""
    for line in log.read_text(errors="replace").splitlines():
        if _ROLE_STARTED in line:
            return int(json.loads(line)["http_port"])
    raise DemoError(f"{log.stem} does not say on which port it is.")
