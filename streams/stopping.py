"""Bound a stop: a process that gets a stop signal ends in time, whatever hangs."""

import faulthandler
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

EXIT_FAILED: Final = 1
LEAVING_S: Final = 5.0
"""Of SHUTDOWN_TIMEOUT_S, for handing back what is not finished, committing, and leaving the group: about 3 s in Faust."""
LAST_LINE_S: Final = 1.0
"""How long the line may take that says why a process ends: whoever reads its logs may hang, too."""
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def on_stop_signal(act: Callable[[], object]) -> None:
    """Call `act` in a thread of its own at each stop signal, whatever the main thread does; call this in the main thread.

    Python runs a handler only once the main thread is back from C, and librdkafka waits there for as long as its broker
    hangs: a stop would not even begin.
    """
    wakes, woken = socket.socketpair()
    woken.setblocking(False)

    def watch() -> None:
        while number := wakes.recv(1):
            if number[0] in STOP_SIGNALS:
                act()

    threading.Thread(target=watch, name="stop-signals", daemon=True).start()
    signal.set_wakeup_fd(woken.detach())
    for stop_signal in STOP_SIGNALS:
        signal.signal(stop_signal, lambda _number, _frame: None)


def finishing_s(timeout_s: float) -> float:
    """Return how long of a stop, in seconds, work may go on."""
    return max(timeout_s - LEAVING_S, timeout_s / 2)


def end_at_once(reason: str) -> None:
    """End this process without finishing anything: what is not acknowledged is redelivered. Does not return.

    End as a SIGKILL would, after one line with the reason; decoders end with the process.
    """
    faulthandler.dump_traceback_later(LAST_LINE_S, exit=True)
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
