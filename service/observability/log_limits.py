"""Holds back repeats of the same warning: the first few are shown, then one now and then, which says how many there were."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from schemas.log_events import LOG_EVENTS

BURST: Final = 3
WINDOW_S: Final = 60.0
MAX_KEYS: Final = 1000


@dataclass(slots=True)
class _Seen:
    until_s: float
    shown: int = 0
    held_back: int = 0


class RepeatLimit:
    """Shows BURST lines of each key in WINDOW_S. Knows MAX_KEYS keys; the oldest is forgotten. Safe in threads."""

    def __init__(
        self,
        burst: int = BURST,
        window_s: float = WINDOW_S,
        max_keys: int = MAX_KEYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst: Final = burst
        self._window_s: Final = window_s
        self._max_keys: Final = max_keys
        self._clock: Final = clock
        self._seen: Final[OrderedDict[Hashable, _Seen]] = OrderedDict()
        self._lock: Final = threading.Lock()

    def admit(self, key: Hashable) -> int | None:
        """Return how many lines of `key` were held back before this one, which is shown; None when it is held back itself."""
        now = self._clock()
        with self._lock:
            seen = self._seen.get(key)
            if seen is None or now >= seen.until_s:
                held_back = 0 if seen is None else seen.held_back
                self._seen[key] = _Seen(now + self._window_s, shown=1)
                self._seen.move_to_end(key)
                while len(self._seen) > self._max_keys:
                    self._seen.popitem(last=False)
                return held_back
            if seen.shown < self._burst:
                seen.shown += 1
                return 0
            seen.held_back += 1
            return None


class LimitOurs:
    """A processor for our own lines: those that the list of events limits."""

    def __init__(self, limit: RepeatLimit) -> None:
        self._limit: Final = limit

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        """Return the line, or structlog's DropEvent."""
        event = LOG_EVENTS.get(line["event"])
        if event is None or event.limited_by is None:
            return line
        held_back = self._limit.admit((event.name, *(str(line.get(name)) for name in event.limited_by)))
        if held_back is None:
            raise structlog.DropEvent
        return {**line, "held_back": held_back} if held_back else line


_ROUTINE: Final = (
    # Each rebalance, for every member but the one that caused it: aiokafka joins again, as it should.
    ("aiokafka.consumer.group_coordinator", "Heartbeat failed for group %s because it is rebalancing", ""),
    # The group's coordinator moved or is still loading, as on a new cluster: the member asks for the new one. A broker that
    # is away shows in lines about its connections.
    ("aiokafka.consumer.group_coordinator", "Marking the coordinator dead (node %s)for group %s.", ""),
    # The first group of a new cluster, whose brokers make the topic of offsets meanwhile. One that stays away makes the
    # worker end with a reason (`worker_failed`): streams/worker/watchdog.py.
    (
        "aiokafka.consumer.group_coordinator",
        "Group Coordinator Request failed: %s",
        "GroupCoordinatorNotAvailableError",
    ),
)
"""Warnings and errors about what happens to a healthy process: logger, text before values are put in, kind of the first value."""


class LimitLibraries(logging.Filter):
    """A filter for the lines of libraries: warnings and worse, by their text before values are put in.

    Those about what happens to a healthy process are not shown.
    """

    def __init__(self, limit: RepeatLimit) -> None:
        super().__init__()
        self._limit: Final = limit

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is shown; its `held_back` says how many were not."""
        if record.levelno < logging.WARNING or isinstance(record.msg, dict):  # ours come as a dictionary
            return True
        if _is_routine(record):
            return False
        held_back = self._limit.admit((record.name, str(record.msg), _kind(record.args)))
        record.held_back = held_back
        return held_back is not None


def _is_routine(record: logging.LogRecord) -> bool:
    first = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return any(
        record.name == logger and record.msg == text and kind in ("", type(first).__name__)
        for logger, text, kind in _ROUTINE
    )


def tell_held_back(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Return a processor that puts what LimitLibraries counted into the line."""
    record: Any = line.get("_record")
    held_back = getattr(record, "held_back", None)
    return {**line, "held_back": held_back} if held_back else line


def _kind(args: object) -> str | None:
    """Librdkafka's text is the same for all its messages; their kind is the first value."""
    first = args[0] if isinstance(args, tuple) and args else None
    return first if isinstance(first, str) and len(first) <= 20 else None
