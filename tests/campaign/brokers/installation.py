"""Three brokers, PostgreSQL, and all roles as supervised processes, with a port of their own each."""

import collections
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from confluent_kafka import KafkaException

from service.demo.processes import free_port
from tests.servers.kafka.cluster import Cluster, three_brokers
from tests.system.platform import Platform
from tests.system.stack import run_cli_here, settings_for
from tests.system.supervisor import Role, Supervisor

ROLES: Final = {"worker": 2, "persist": 1, "retry": 1}
GROUPS: Final = {"worker": "thumbnails", "persist": "thumbnails-persist", "retry": "thumbnails-retry"}
MANAGED: Final = MappingProxyType({"min.insync.replicas": "2"})
"""As managed clusters have it: Kafka's own topics, with the groups' offsets, need two replicas in sync as well."""
RESTART_AFTER_S: Final = 2.0
START_TIMEOUT_S: Final = 180.0
_PROBE_TIMEOUT_S: Final = 5.0
_SHOW_CURSOR: Final = "\x1b[?25h"
"""Faust's runner writes it at its start."""


@dataclass
class Installation:
    """What faults are made on."""

    cluster: Cluster
    platform: Platform
    supervisor: Supervisor
    environment: Mapping[str, str]
    ports: Mapping[str, int]
    """The HTTP port of each role's process, by the name of its log."""
    _ended_at: dict[str, float] = field(default_factory=dict)

    def supervise(self) -> None:
        """Restart a role a moment after it has ended, as a supervisor does that backs off."""
        now = time.monotonic()
        for role in self.supervisor.roles:
            if role.process.poll() is None:
                self._ended_at.pop(role.log.stem, None)
            elif now - self._ended_at.setdefault(role.log.stem, now) > RESTART_AFTER_S:
                self.supervisor.restart_ended()

    def restarts(self) -> int:
        """Return how many processes ended so far."""
        return sum(len(role.exit_codes) for role in self.supervisor.roles)

    def is_ready(self, role: Role) -> bool:
        """Return whether /health/ready answers 200."""
        return self._probe(role, "ready")[0]

    def is_live(self, role: Role) -> bool:
        """Return whether /health/live answers 200."""
        return self._probe(role, "live")[0]

    def kafka_problem(self, role: Role) -> str | None:
        """Return what /health/ready says of Kafka."""
        problem: str | None = self._probe(role, "ready")[1].get("dependencies", {}).get("kafka", {}).get("problem")
        return problem

    def _probe(self, role: Role, name: str) -> tuple[bool, dict[str, Any]]:
        url = f"http://127.0.0.1:{self.ports[role.log.stem]}/health/{name}"
        try:
            with urlopen(url, timeout=_PROBE_TIMEOUT_S) as answer:
                return True, json.load(answer)
        except HTTPError as exc:
            return False, json.load(exc)
        except (URLError, OSError):
            return False, {}

    def wait_until_joined(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when each group is stable with all its members."""
        deadline = time.monotonic() + timeout_s
        while not self._has_joined():
            assert time.monotonic() < deadline, "a group has not all its members"
            self.supervise()
            time.sleep(0.2)

    def _has_joined(self) -> bool:
        admin = self.cluster.admin()
        with suppress(KafkaException):
            asked = admin.describe_consumer_groups(list(GROUPS.values()), request_timeout=5)
            found = {group: future.result(10) for group, future in asked.items()}
            return all(
                found[group].state.name == "STABLE" and len(found[group].members) == ROLES[role]
                for role, group in GROUPS.items()
            )
        return False


@dataclass
class Marks:
    """How far each role's log is read."""

    offsets: dict[Path, int]

    @classmethod
    def of(cls, installation: Installation) -> "Marks":
        """Return the present ends."""
        return cls({role.log: role.log.stat().st_size for role in installation.supervisor.roles})

    def lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return role and fields of each line since; a line that is no JSON, as of a traceback, has the field `raw`."""
        for log, offset in self.offsets.items():
            with log.open("rb") as file:
                file.seek(offset)
                for line in file.read().decode(errors="replace").splitlines():
                    try:
                        yield log.stem, dict(json.loads(line.removeprefix(_SHOW_CURSOR)))
                    except ValueError:
                        yield log.stem, {"raw": line}


@dataclass
class Said:
    """What roles wrote in their logs: events at level error and above, tracebacks, and sentences by role."""

    errors: collections.Counter[str] = field(default_factory=collections.Counter)
    raw: list[str] = field(default_factory=list)
    sentences: dict[str, collections.Counter[str]] = field(default_factory=dict)


def said_since(marks: Marks) -> Said:
    """Return what the logs have since `marks`."""
    said = Said()
    for role, fields in marks.lines():
        if "raw" in fields:
            said.raw.append(f"{role}: {fields['raw']}")
            continue
        event, level = str(fields.get("event")), str(fields.get("level"))
        if level in ("error", "critical"):
            said.errors[f"{role.partition('-')[0]} {event}"] += 1
        if "exception" in fields:
            said.raw.append(f"{role}: {event}: {str(fields['exception'])[-300:]}")
        if level in ("warning", "error", "critical"):
            why = fields.get("reason") or fields.get("problem") or fields.get("message") or ""
            sentence = f"{level} {event}: {why}"
            said.sentences.setdefault(role.partition("-")[0], collections.Counter())[sentence[:400]] += 1
    return said


@contextmanager
def an_installation(folder: Path, database_url: str, **changes: str) -> Iterator[Installation]:
    """Everything up and ready, with `changes` to the roles' settings. From the main thread. Raises NoKafkaError."""
    with ExitStack() as stack:
        cluster = stack.enter_context(three_brokers(MANAGED))
        environment = settings_for(cluster.bootstrap_servers, database_url, "", folder) | changes
        run_cli_here(environment, "topics", "create")
        run_cli_here(environment, "db", "upgrade")
        platform = Platform(database_url, folder / "storage", cluster.bootstrap_servers)
        stack.callback(platform.close)
        platform.set_up()
        supervisor = Supervisor(folder, environment, None)
        stack.callback(supervisor.stop)
        ports = {}
        for name, count in ROLES.items():
            for number in range(count):
                ports[f"{name}-{number}"] = free_port()
                supervisor.start(name, HTTP_PORT=str(ports[f"{name}-{number}"]))
        supervisor.wait_until_ready(START_TIMEOUT_S)
        installation = Installation(cluster, platform, supervisor, environment, ports)
        installation.wait_until_joined()
        yield installation
