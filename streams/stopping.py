"""Bound a stop: a process that gets a stop signal ends in time, whatever hangs."""

import logging
import os
import threading
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

EXIT_FAILED: Final = 1
LEAVING_S: Final = 5.0
"""Of SHUTDOWN_TIMEOUT_S, for handing back what is not finished, committing, and leaving the group: about 3 s in Faust."""


def finishing_s(timeout_s: float) -> float:
    """Return how long of a stop, in seconds, work may go on."""
    return max(timeout_s - LEAVING_S, timeout_s / 2)


def end_at_once(reason: str) -> None:
    """End this process without finishing anything: what is not acknowledged is redelivered. Does not return.

    As after a SIGKILL, but with a line that says why; decoders end with the process.
    """
    log.critical("role_exit_forced", reason=reason)
    logging.shutdown()
    os._exit(EXIT_FAILED)


def end_idle_after(timeout_s: float, has_joined: Callable[[], bool]) -> None:
    """End this process well when, after `timeout_s`, it still never had a partition, and so has nothing to lose.

    Faust waits for its first partitions even after a stop signal. One that got them meanwhile stops as any other.
    """

    def end() -> None:
        if not has_joined():
            log.info("standby_stopped_idle")
            logging.shutdown()
            os._exit(0)

    _start_timer(timeout_s, end)


def end_after(timeout_s: float) -> threading.Timer:
    """End this process at once when it is still there after `timeout_s`; from a thread, as the main one may hang."""
    reason = f"its stop began {timeout_s:g} s ago (SHUTDOWN_TIMEOUT_S), and something hangs"
    return _start_timer(timeout_s, lambda: end_at_once(reason))


def _start_timer(timeout_s: float, action: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(timeout_s, action)
    timer.daemon = True
    timer.start()
    return timer
