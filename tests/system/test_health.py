"""Probes and metrics of the real processes, and a worker that is stuck."""

import json
import os
import re
import signal
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from tests.services import postgres as postgres_service
from tests.system.stack import Stack, a_stack
from tests.system.supervisor import Role, children_of

PLATFORM_METRICS = (
    "thumbnail_generation_total",
    "thumbnail_generation_duration_seconds_count",
    "thumbnail_upload_total",
    "thumbnail_upload_duration_seconds_count",
    "thumbnail_task_execution_total",
    "thumbnail_task_execution_duration_seconds_count",
)


def port_of(role: Role) -> int:
    (line,) = [json.loads(line) for line in role.log.read_text().splitlines() if '"role_ready"' in line]
    return int(line["http_port"])


def get(role: Role, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port_of(role)}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(stack: Stack) -> dict[str, float]:
    """The metrics of all roles together, summed over their labels."""
    found: dict[str, float] = {}
    for role in stack.supervisor.roles:
        for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", get(role, "/metrics")[1], re.MULTILINE):
            found[name] = found.get(name, 0.0) + float(value)
    return found


def test_every_role_tells_its_health_and_counts_its_work(kafka: str, postgres_server: str, tmp_path: Path) -> None:
    url = postgres_service.new_database(postgres_server)
    with a_stack(kafka, url, f"t-{uuid.uuid4().hex[:8]}.", tmp_path) as stack:
        platform = stack.platform
        platform.add_rows(range(1, 4))
        platform.publish(
            [platform.upload(1, "video"), platform.upload(2, "image"), platform.upload(3, "video", sound=False)]
        )
        stack.wait_for(lambda: not platform.problems())
        for role in stack.supervisor.roles:
            for path in ("/health/live", "/health/ready"):
                status, body = get(role, path)
                details: dict[str, Any] = json.loads(body)
                assert (status, details["ok"]) == (200, True)
            assert get(role, "/")[0] == 404
        counted = samples(stack)
        assert all(counted[name] > 0 for name in PLATFORM_METRICS)
        assert counted["thumbnail_generation_total"] == 3
        assert counted["thumbnail_upload_total"] == 6
        assert counted["thumbnail_dead_letters_total"] == 1


def test_a_worker_whose_event_takes_too_long_is_not_live(kafka: str, postgres_server: str, tmp_path: Path) -> None:
    """The decode deadline is set beyond the bound of an event, and a decode child is stopped."""
    url = postgres_service.new_database(postgres_server)
    slow = {"EVENT_BOUND_S": "2", "DECODE_TIMEOUT_S": "8", "DECODE_SLOTS": "1"}
    with a_stack(kafka, url, f"t-{uuid.uuid4().hex[:8]}.", tmp_path, **slow) as stack:
        worker = stack.supervisor.of("worker")[0]
        (slot,) = children_of(worker.process.pid)
        os.kill(slot, signal.SIGSTOP)
        platform = stack.platform
        platform.add_rows(range(1, 2))
        platform.publish([platform.upload(1, "image")])
        stack.wait_for(lambda: get(worker, "/health/live")[0] == 503, timeout_s=30)
        os.kill(slot, signal.SIGCONT)
        stack.wait_for(lambda: get(worker, "/health/live")[0] == 200, timeout_s=30)
        stack.wait_for(lambda: not platform.problems(), timeout_s=60)
