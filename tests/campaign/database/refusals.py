"""The persist role against a database that refuses: state after state, each with results that wait, and its repair."""

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import urlopen

import sqlalchemy as sa
from confluent_kafka import Producer

from service.kafka.clients import producer_config
from service.kafka.topics import create_topics
from service.settings import KafkaSettings
from streams.kafka.client import send_and_wait
from tests.campaign.database.states import STATES, Spoiled, State
from tests.doubles.results import a_database, a_media, ready
from tests.integration.test_roles_on_kafka import a_result, count_records
from tests.servers.postgres import NoPostgresError, SystemPostgres, system_binaries
from tests.system.stack import settings_for
from tests.system.supervisor import Supervisor

HOLD_S: Final = 12.0
"""Longer than the role's shorter pauses together, so that it waits for its longest one when the repair comes."""
MOST_S: Final = 90.0
REPAIRED_WITHIN_S: Final = 30.0
_USER: Final = "persist"
FAILOVER: Final = "failover: the primary stops, its standby is promoted 12 s later"


@dataclass(frozen=True)
class Refusal:
    """What was seen in one state. `red_s`: from the first result to red; `rows_s`, `green_s`: from the repair on."""

    name: str
    sqlstate: str
    is_real: bool
    problem: str
    rows_before: int
    rows: int
    red_s: float
    rows_s: float
    green_s: float
    dead_letters: int
    results: int

    @property
    def findings(self) -> list[str]:
        """What is not as it must be."""
        found = [f"{self.dead_letters} dead letters"] if self.dead_letters else []
        found += [f"{self.rows} of {self.results} rows"] if self.rows != self.results else []
        found += [f"{self.rows_before} rows while it lasted"] if self.rows_before else []
        late = max(self.rows_s, self.green_s)
        return found + ([f"{late:.0f} s after the repair"] if late > REPAIRED_WITHIN_S else [])


class TimedOutError(Exception):
    """Something did not happen; the message says what."""


def wait_for(what: Callable[[], bool], name: str, most_s: float = MOST_S) -> float:
    """The seconds until it is true. Raises TimedOutError."""
    began = time.monotonic()
    while not what():
        if time.monotonic() - began > most_s:
            raise TimedOutError(f"{name}: not within {most_s:g} s")
        time.sleep(0.1)
    return time.monotonic() - began


class Installation:
    """Topics and a persist role as a process; it sends results and looks at rows, health and dead letters."""

    def __init__(self, kafka: str, rows_url: str, role_url: str, folder: Path, results: int) -> None:
        prefix = f"db-{uuid.uuid4().hex[:6]}."
        self.results = results
        self.sent = 0
        self.settings = KafkaSettings(
            kafka_bootstrap_servers=kafka, kafka_topic_prefix=prefix, kafka_replication_factor=1
        )
        create_topics(self.settings)
        self.rows_url = rows_url
        folder.mkdir(parents=True)
        self.supervisor = Supervisor(folder, settings_for(kafka, role_url, prefix, folder))
        self.supervisor.start("persist")
        self.supervisor.wait_until_ready()
        self._producer = Producer(producer_config(self.settings))

    def send(self) -> None:
        """Send the next results, each for a row of its own."""
        ids = range(self.sent + 1, self.sent + self.results + 1)
        send_and_wait(self._producer, [a_result(self.settings, ready(1, a_media(number))) for number in ids])
        self.sent += self.results

    def rows(self) -> int:
        """How many rows of the last results are there, whole."""
        engine = sa.create_engine(self.rows_url)
        query = (
            "SELECT count(*) FROM videos WHERE thumbnail_status = 'ready' AND thumbnail_url IS NOT NULL AND id > :after"
        )
        with engine.connect() as connection:
            found: int = connection.execute(sa.text(query), {"after": self.sent - self.results}).scalar_one()
        engine.dispose()
        return found

    def problem(self) -> str | None:
        """What the database's part of /health/ready says; None while that is green."""
        (role,) = self.supervisor.of("persist")
        if role.process.poll() is not None:
            raise TimedOutError(f"persist ended: {role.log.read_text(errors='replace')[-1000:]}")
        port = re.findall(r'"http_port": (\d+)', role.log.read_text())[-1]
        try:
            with urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=10) as answer:
                details: dict[str, Any] = json.load(answer)
        except HTTPError as refused:  # 503
            details = json.load(refused)
        database = details["dependencies"]["database"]
        return None if details["ok"] else str(database["problem"])

    def dead_letters(self) -> int:
        """How many there are of results, ever."""
        return count_records(self.settings, "thumbnail.ready.dlq")

    def go_through(self, name: str, state: State, begin: Callable[[], None], end: Callable[[], None]) -> Refusal:
        """Begin the state, send results, see it red, repair it, and see all rows and green."""
        before = self.dead_letters()
        begin()
        self.send()

        def is_red() -> bool:
            problem = self.problem() or ""
            return state.sentence in problem and state.said in problem

        red_s = wait_for(is_red, f"{name}: red with its sentence")
        problem = self.problem() or ""
        held_until = time.monotonic() + HOLD_S
        while time.monotonic() < held_until:
            if self.problem() is None:
                raise TimedOutError(f"{name}: green while the state lasted")
            time.sleep(0.5)
        rows_before = self._rows_meanwhile()
        end()
        repaired = time.monotonic()
        wait_for(lambda: self.rows() == self.results, f"{name}: all rows after the repair")
        rows_s = time.monotonic() - repaired
        wait_for(lambda: self.problem() is None, f"{name}: green after the repair")
        green_s = time.monotonic() - repaired
        dead_letters = self.dead_letters() - before
        return Refusal(
            *(name, state.sqlstate, state.is_real, problem, rows_before, self.rows()),
            *(red_s, rows_s, green_s, dead_letters, self.results),
        )

    def _rows_meanwhile(self) -> int:
        """Rows while the state lasts; 0 where it lets nobody read: no lock and no server is waited for."""
        engine = sa.create_engine(self.rows_url, connect_args={"options": "-c lock_timeout=100", "connect_timeout": 2})
        query = "SELECT count(*) FROM videos WHERE thumbnail_status = 'ready' AND id > :after"
        try:
            with engine.connect() as connection:
                return int(connection.execute(sa.text(query), {"after": self.sent - self.results}).scalar_one())
        except sa.exc.DBAPIError:
            return 0
        finally:
            engine.dispose()


def a_server() -> SystemPostgres:
    """A server of our own. Raises NoPostgresError."""
    binaries = system_binaries()
    if binaries is None:
        raise NoPostgresError("No PostgreSQL of the system's own: install the package postgresql.")
    return SystemPostgres(binaries)


def refuse_all(kafka: str, folder: Path, results: int, say: Callable[[str], None]) -> Iterator[Refusal]:
    """Go through every state with one role. Raises TimedOutError."""
    server = a_server()
    try:
        server.start()
        a_database(server.url, range(1, results * len(STATES) + 1)).dispose()
        url = sa.make_url(server.url).set(username=_USER, password=_USER).render_as_string(hide_password=False)
        engine = sa.create_engine(server.url)
        with engine.connect() as owner, engine.connect() as locker:
            database = Spoiled(url, owner.execution_options(isolation_level="AUTOCOMMIT"), locker)
            database.make_user()
            with an_installation(kafka, server.url, url, folder, results) as installation:
                for name, state in STATES.items():
                    say(f"{state.sqlstate}: {name}")
                    yield installation.go_through(
                        name, state, partial(state.begin, database), partial(state.end, database)
                    )
        engine.dispose()
    finally:
        server.stop()


def fail_over(kafka: str, folder: Path, results: int) -> Refusal:
    """Go through a failover between two servers with streaming replication. Raises TimedOutError."""
    first, second = a_server(), a_server()
    state = State("08", "The database", "", (), ())
    try:
        first.start()
        a_database(first.url, range(1, results + 1)).dispose()
        second.follow(first)
        places = f"127.0.0.1:{first.port},127.0.0.1:{second.port}"
        url = f"postgresql://postgres@{places}/postgres?target_session_attrs=read-write&connect_timeout=2"
        with an_installation(kafka, second.url, url, folder, results) as installation:
            return installation.go_through(FAILOVER, state, first.stop_process, second.promote)
    finally:
        second.stop()
        first.stop()


@contextmanager
def an_installation(kafka: str, rows_url: str, role_url: str, folder: Path, results: int) -> Iterator[Installation]:
    """A persist role, which ends with exit code 0. Raises TimedOutError when it does not."""
    installation = Installation(kafka, rows_url, role_url, folder, results)
    try:
        yield installation
    finally:
        codes = installation.supervisor.stop()
    if any(codes.values()):
        raise TimedOutError(f"persist ended with {codes}")
