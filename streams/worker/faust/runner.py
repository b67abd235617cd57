"""Runs the worker as a process: Faust's runner, with a stop that ends in bounded time."""

import asyncio
import threading
from typing import Any, Final, cast

import faust
import structlog

from streams.stopping import LEAVING_S, end_after, end_at_once, end_idle_after, finishing_s
from streams.worker.faust.client import FaustClient
from streams.worker.role import Worker

log = structlog.get_logger(__name__)

LAST_TASKS_S: Final = 1.0
"""How long a stop waits at its end for tasks that were cancelled."""


class _Runner(faust.Worker):
    """Faust's runner, whose stop has an end: without bounds it waits for every event in work, and for every commit."""

    def __init__(self, client: FaustClient, worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(client.app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
        self.spinner = None  # its escape sequences would stand before a line of the log
        self._worker: Final = worker
        self.watch: asyncio.Task[None] | None = None
        self.last_resort: threading.Timer | None = None

    def on_worker_shutdown(self) -> None:
        """End the watch, which Faust would wait for."""
        if self.watch is not None:
            self.watch.cancel()
        super().on_worker_shutdown()

    async def _sentinel_task(self) -> None:
        """Let the tasks end that were cancelled, however many there are; Faust would always give them a second."""
        others = asyncio.all_tasks() - {cast("asyncio.Task[Any]", asyncio.current_task())}
        if others:
            await asyncio.wait(others, timeout=LAST_TASKS_S)

    def _schedule_shutdown(self, signal: Any) -> None:
        if self.last_resort is not None:
            end_at_once("it got a second stop signal")
        timeout_s = self._worker.shutdown_timeout_s
        log.info("role_stopping", in_flight=self._worker.in_flight, within_s=timeout_s)
        self.last_resort = end_after(timeout_s)
        end_idle_after(LEAVING_S, self._worker.has_joined)
        self.loop.call_later(finishing_s(timeout_s), self._worker.hand_back)
        super()._schedule_shutdown(signal)


def run_worker(client: FaustClient, worker: Worker, loop: asyncio.AbstractEventLoop) -> int:
    """Run until SIGTERM or a crash; return the exit code, 0 after a graceful stop. It closes the loop.

    The bound of a stop stays in force afterwards: a storage call that hangs would keep the interpreter from ending.
    """
    runner = _Runner(client, worker, loop)
    runner.watch = loop.create_task(worker.watch())  # not one of Faust's: those wait for the first partitions
    try:
        runner.execute_from_commandline()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
