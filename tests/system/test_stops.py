"""SIGTERM: what is in work is finished, the rest is handed back, and the partitions move at once."""

import collections
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.system.platform import Platform
from tests.system.stack import Stack, a_stack, a_stack_run_by
from tests.system.supervisor import Role, children_of, no_decoder_is_orphaned, role_command

pytestmark = pytest.mark.timed

UPLOADS = 500
WORKERS = 3


def restart_one(stack: Stack, role: Role) -> float:
    """As a rolling update does it: stop, and start the successor when it has ended; how long the stop took, in seconds."""
    started = time.monotonic()
    role.process.terminate()
    assert role.process.wait(40) == 0, role.log.read_text()[-3000:]
    seconds = time.monotonic() - started
    ready = role.log.read_text().count("role_ready")
    stack.supervisor.restart_ended()
    stack.wait_for(lambda: role.log.read_text().count("role_ready") > ready)
    return seconds


def announcements(platform: Platform) -> collections.Counter[str]:
    records = platform.read_topic("thumbnail.ready")
    return collections.Counter(json.loads(record.value())["upload_event_id"] for record in records)


@pytest.mark.alone  # on a busy machine what is in work is not finished before its partitions go to another worker
@pytest.mark.slow
def test_a_rolling_restart_under_load_loses_nothing_and_does_nothing_twice(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    changes = {"KAFKA_SESSION_TIMEOUT_S": "30", "DECODE_SLOTS": "2"}
    with a_stack(kafka, postgres_url, topic_prefix, tmp_path, **changes) as stack:
        platform = stack.platform
        platform.add_rows(range(1, UPLOADS + 1))
        uploads = [platform.upload(number, "image") for number in range(1, UPLOADS + 1)]
        stack.supervisor.start("worker", WORKERS - 1)
        stack.supervisor.wait_until_ready()
        portion = UPLOADS // (WORKERS + 1)
        platform.publish(uploads[:portion])
        stops_s = []
        for number, role in enumerate(stack.supervisor.of("worker"), start=1):
            end = UPLOADS if number == WORKERS else portion * (number + 1)
            platform.publish(uploads[portion * number : end])
            stops_s.append(restart_one(stack, role))
        stack.wait_for(lambda: platform.count_rows("ready") == UPLOADS, timeout_s=90)
        assert platform.problems() == []
        done = announcements(platform)
        assert platform.read_topic("thumbnail.dlq") == []
    print(f"\nstops took {', '.join(f'{seconds:.1f}' for seconds in stops_s)} s")  # noqa: T201 - the figures of the run
    assert set(done) == {upload.event["event_id"] for upload in uploads}
    assert {event: count for event, count in done.items() if count > 1} == {}
    assert max(stops_s) < 25


def stop_decoders(role: Role) -> None:
    """The next uploads stay in work until their decoders time out."""
    for slot in children_of(role.process.pid):
        os.kill(slot, signal.SIGSTOP)


def in_flight(role: Role) -> int:
    port = re.findall(r'"http_port": (\d+)', role.log.read_text())[-1]
    with urlopen(f"http://127.0.0.1:{port}/health/live", timeout=5) as answer:
        return int(json.loads(answer.read())["in_flight"])


def with_uploads_that_hang(stack: Stack) -> Role:
    worker = stack.supervisor.of("worker")[0]
    stop_decoders(worker)
    stack.platform.add_rows(range(1, 3))
    stack.platform.publish([stack.platform.upload(number, "image") for number in (1, 2)])
    stack.wait_for(lambda: in_flight(worker) == 2)
    return worker


@pytest.mark.slow
def test_what_is_not_finished_in_time_is_handed_back_to_the_other_workers(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    """The session lasts a minute here: only a worker that leaves its group makes room before."""
    changes = {"KAFKA_SESSION_TIMEOUT_S": "60", "SHUTDOWN_TIMEOUT_S": "10", "DECODE_TIMEOUT_S": "100"}
    with a_stack(kafka, postgres_url, topic_prefix, tmp_path, **changes) as stack:
        worker = with_uploads_that_hang(stack)
        started = time.monotonic()
        worker.process.terminate()
        assert worker.process.wait(30) == 0, worker.log.read_text()[-3000:]
        assert 4.5 < time.monotonic() - started < 11
        assert "events_left_uncommitted" in worker.log.read_text()
        stack.supervisor.restart_ended()
        stack.wait_for(lambda: not stack.platform.problems(), timeout_s=25)
        assert set(announcements(stack.platform).values()) == {1}
    assert no_decoder_is_orphaned()


@pytest.mark.slow
def test_a_second_sigterm_stops_at_once_and_loses_nothing(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    changes = {"SHUTDOWN_TIMEOUT_S": "100", "DECODE_TIMEOUT_S": "100"}
    with a_stack(kafka, postgres_url, topic_prefix, tmp_path, **changes) as stack:
        worker = with_uploads_that_hang(stack)
        worker.process.terminate()
        stack.wait_for(lambda: "role_stopping" in worker.log.read_text())
        started = time.monotonic()
        worker.process.terminate()
        assert worker.process.wait(10) == 1
        assert time.monotonic() - started < 3
        assert "got a second stop signal" in worker.log.read_text()
        assert no_decoder_is_orphaned()
        stack.supervisor.restart_ended()
        stack.wait_for(lambda: not stack.platform.problems(), timeout_s=60)


AS_WORKER = """
import asyncio, runpy, sys
from aiokafka.consumer.group_coordinator import GroupCoordinator
from mode.threads import QueueServiceThread

{change}

sys.argv = ["service", "worker"]
runpy.run_module("service", run_name="__main__")
"""

JOINS_AS_IT_STOPS = """
end_calls = QueueServiceThread.on_thread_stop

async def end_calls_and_join(thread):
    await end_calls(thread)
    thread._consumer._coordinator.request_rejoin()
    while not thread.app.rebalancing:
        await asyncio.sleep(0.001)

QueueServiceThread.on_thread_stop = end_calls_and_join
"""

SAYS_WHEN_IT_JOINS = """
join = GroupCoordinator._do_rejoin_group

def say_and_join(coordinator, subscription):
    print("joins", flush=True)
    return join(coordinator, subscription)

GroupCoordinator._do_rejoin_group = say_and_join
"""


def worker_that(change: str) -> Callable[[str], list[str]]:
    changed = [sys.executable, "-c", AS_WORKER.format(change=change)]
    return lambda role: changed if role == "worker" else role_command(role)


@pytest.mark.slow
def test_a_rebalance_that_begins_during_the_stop_does_not_hold_it_up(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    """As when another worker has just come. The session lasts a minute here: its successor waits unless it leaves."""
    command = worker_that(JOINS_AS_IT_STOPS)
    changes = {"KAFKA_SESSION_TIMEOUT_S": "60"}
    with a_stack_run_by(command, kafka, postgres_url, topic_prefix, tmp_path, **changes) as stack:
        stack.platform.add_rows(range(1, 3))
        stack.platform.publish([stack.platform.upload(1, "image")])
        stack.wait_for(lambda: not stack.platform.problems())
        assert restart_one(stack, stack.supervisor.of("worker")[0]) < 10
        stack.platform.publish([stack.platform.upload(2, "image")])
        stack.wait_for(lambda: not stack.platform.problems(), timeout_s=25)
        assert set(announcements(stack.platform).values()) == {1}


@pytest.mark.slow
def test_a_worker_that_waits_for_others_to_join_stops_at_once_and_leaves_the_group(
    kafka: str, postgres_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    """The session lasts a minute here: the others get its partitions before that only when it leaves."""
    command = worker_that(SAYS_WHEN_IT_JOINS)
    changes = {"KAFKA_SESSION_TIMEOUT_S": "60", "SHUTDOWN_TIMEOUT_S": "10", "DECODE_TIMEOUT_S": "100"}
    with a_stack_run_by(command, kafka, postgres_url, topic_prefix, tmp_path, **changes) as stack:
        stack.supervisor.start("worker", 1)
        stack.supervisor.wait_until_ready()
        stack.wait_until_joined()
        busy, waiting = stack.supervisor.of("worker")
        stop_decoders(busy)
        stack.platform.add_rows(range(1, 21))
        stack.platform.publish([stack.platform.upload(number, "image") for number in range(1, 21)])
        stack.wait_for(lambda: in_flight(busy) > 0)
        stack.wait_for(lambda: in_flight(waiting) == 0)
        joins = waiting.log.read_text().count("joins\n")
        stack.supervisor.start("worker", 1)
        stack.wait_for(lambda: waiting.log.read_text().count("joins\n") > joins)
        started = time.monotonic()
        waiting.process.terminate()
        assert waiting.process.wait(30) == 0, waiting.log.read_text()[-3000:]
        assert time.monotonic() - started < 5
        assert in_flight(busy) > 0
        busy.process.terminate()
        assert busy.process.wait(30) == 0, busy.log.read_text()[-3000:]
        stack.wait_for(lambda: not stack.platform.problems(), timeout_s=25, restart=True)
        assert set(announcements(stack.platform).values()) == {1}
    assert no_decoder_is_orphaned()
