"""The demo's own installation: a broker, a database, local storage and the three roles as real processes."""

import os
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
from service.demo.broker import ExternalKafka, LocalKafka, choose_for_demo
from service.demo.processes import end_process, owned_folder, owned_process
from service.demo.storages import DemoCompany, DemoStorages
from service.kafka.topics import create_topics, delete_topics
from service.settings import KafkaSettings

ROLES: Final = ("worker", "persist", "retry")
_FOLDER_PREFIX: Final = "thumbnails-demo-"
_STARTED: Final = '"role_ready"'
_START_TIMEOUT_S: Final = 45.0


class DemoError(Exception):
    """The demo cannot go on; the message says why, with the end of the log that shows it."""


@dataclass(frozen=True)
class _Role:
    name: str
    process: subprocess.Popen[bytes]
    log: Path


class DemoStack:
    """Everything the demo runs on. Leaving the `with` ends every process and removes every file of it."""

    def __init__(self, companies: list[DemoCompany]) -> None:
        self.folder: Final = owned_folder(_FOLDER_PREFIX)
        self.database_url: Final = f"sqlite:///{self.folder / 'demo.db'}"
        self.storage_root: Final = self.folder / "storage"
        self.storages: Final = DemoStorages(companies, self.storage_root)
        self.topic_prefix: Final = f"demo-{os.getpid()}."
        self._roles: Final[list[_Role]] = []
        self._kafka: LocalKafka | None = None

    def __enter__(self) -> Self:
        try:
            self.storages.__enter__()
            self._kafka = choose_for_demo()
            self.bootstrap_servers = self._kafka.start()
            create_topics(self.kafka_settings)
            self._fill_database()
            for name in ROLES:
                self._start_role(name)
            self._wait_for_roles()
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

    def check_roles(self) -> None:
        """Raise DemoError when a role has ended."""
        for role in self._roles:
            code = role.process.poll()
            if code is not None:
                tail = "\n".join(role.log.read_text(errors="replace").splitlines()[-5:])
                raise DemoError(f"The {role.name} role ended with exit code {code}. Its log ends with:\n{tail}")

    def _fill_database(self) -> None:
        upgrade(self.database_url)
        self.storage_root.mkdir()
        engine = self.engine()
        with write_transaction(engine) as connection:
            self.storages.fill_database(connection)
        engine.dispose()

    def _start_role(self, name: str) -> None:
        log = self.folder / f"{name}.log"
        environment = (
            dict(os.environ)
            | self.storages.environment
            | {
                "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
                "KAFKA_TOPIC_PREFIX": self.topic_prefix,
                "WORKER_GROUP": f"{self.topic_prefix}thumbnails",
                "KAFKA_SESSION_TIMEOUT_S": "6",
                "DATABASE_URL": self.database_url,
                "HTTP_HOST": "127.0.0.1",
                "HTTP_PORT": "0",
                "RETRY_DELAYS_S": "1,2,4",
                "LOG_FORMAT": "json",
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            }
        )
        process = owned_process([sys.executable, "-m", "service", name], log, environment)
        self._roles.append(_Role(name, process, log))

    def _wait_for_roles(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while any(_STARTED not in role.log.read_text(errors="replace") for role in self._roles):
            self.check_roles()
            if time.monotonic() > deadline:
                raise DemoError(f"The roles did not start within {_START_TIMEOUT_S:g} s.")
            time.sleep(0.1)

    def _tear_down(self) -> None:
        for role in self._roles:
            with suppress(ProcessLookupError):
                role.process.terminate()
        for role in self._roles:
            end_process(role.process)
        if self._kafka is not None:
            if isinstance(self._kafka, ExternalKafka) and self._roles:
                delete_topics(self.kafka_settings)  # somebody else's cluster is left as it was
            self._kafka.stop()
        self.storages.__exit__(None, None, None)
        shutil.rmtree(self.folder, ignore_errors=True)
