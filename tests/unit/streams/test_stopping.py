"""How a worker ends that hangs in its stop: in processes of their own, for they end without any ceremony."""

import subprocess
import sys

import pytest

STOP = """
import asyncio, signal, threading, time
from streams.worker.faust import runner as worker
from streams.worker.faust.app import build_app
from streams.worker.options import WorkerOptions

class StoppedWorker:
    app = build_app(WorkerOptions("127.0.0.1:9", "g", concurrency=1))
    shutdown_timeout_s, in_flight = 1.5, 0

    def has_joined(self): return joined.is_set()
    def hand_back(self): ...

joined = threading.Event()
worker.LEAVING_S = 0.5
runner = worker._Runner(StoppedWorker, StoppedWorker(), asyncio.new_event_loop())
if {joins_before}: joined.set()
runner._schedule_shutdown(signal.SIGTERM)
if {joins_after}: joined.set()
time.sleep(60)  # what hangs
"""


@pytest.mark.parametrize(
    ("joins_before", "joins_after", "code", "reason"),
    [
        (False, False, 0, "standby_stopped_idle"),
        (False, True, 1, "its stop began 1.5 s ago (SHUTDOWN_TIMEOUT_S), and something hangs"),
        (True, False, 1, "its stop began 1.5 s ago (SHUTDOWN_TIMEOUT_S), and something hangs"),
    ],
    ids=["never", "while it stops", "before"],
)
def test_a_worker_that_hangs_ends_well_only_when_it_joined_its_group(
    joins_before: bool, joins_after: bool, code: int, reason: str
) -> None:
    script = STOP.format(joins_before=joins_before, joins_after=joins_after)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, reason in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr


LAST = """
import asyncio, time
from streams.worker.faust import runner as worker
from streams.worker.faust.app import build_app
from streams.worker.options import WorkerOptions

class EndingWorker:
    app = build_app(WorkerOptions("127.0.0.1:9", "g", concurrency=1))

ended = []

async def last_task():
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.05)
        ended.append(True)

loop = asyncio.new_event_loop()
runner = worker._Runner(EndingWorker, EndingWorker(), loop)
runner.watch = loop.create_task(asyncio.Event().wait())
task = loop.create_task(last_task())
loop.run_until_complete(asyncio.sleep(0))
runner.on_worker_shutdown()
task.cancel()
started = time.monotonic()
runner._shutdown_loop()
print(len(ended), runner.watch.cancelled(), time.monotonic() - started)
"""


def test_a_stop_waits_for_its_last_tasks_and_no_longer() -> None:
    done = subprocess.run([sys.executable, "-c", LAST], capture_output=True, text=True, timeout=60, check=True)
    tasks, watch, seconds = done.stdout.split()
    assert (tasks, watch) == ("1", "True")
    assert float(seconds) < 1, "Faust itself takes two"


HANGS_IN_C = """
import os, signal, threading
from confluent_kafka import Producer
from streams.stopping import end_after, on_stop_signal

producer = Producer({"bootstrap.servers": "127.0.0.1:9", "log_level": 0})
producer.produce("topic", b"value")
on_stop_signal(lambda: end_after(0.5))
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
producer.flush(50)
"""


def test_a_stop_begins_while_the_main_thread_waits_in_librdkafka() -> None:
    """As in a commit to a broker that hangs; its signals are not seen there by Python's own handlers."""
    done = subprocess.run([sys.executable, "-c", HANGS_IN_C], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "its stop began 0.5 s ago (SHUTDOWN_TIMEOUT_S), and something hangs" in done.stdout


LOGS_HANG = """
import logging, threading
from streams.stopping import end_at_once

class Hanging(logging.Handler):
    def flush(self): threading.Event().wait()

logging.getLogger().addHandler(Hanging())
end_at_once("a test")
"""


def test_a_forced_end_does_not_wait_for_whoever_reads_the_logs() -> None:
    done = subprocess.run([sys.executable, "-c", LOGS_HANG], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert "in flush" in done.stderr, "what hung"
