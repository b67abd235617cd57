"""The progress of a role. An idle one does; one that waits for what is down does, for a restart would not help."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from schemas.headers import format_time

LOOP_BOUND_S: Final = 60.0
"""A role's main loop that has not come round for this long is stuck; nothing that it does takes as long."""
_RESTART: Final = (
    "Nothing by hand: whoever supervises this process restarts it, and no event is lost. Look at its log before."
)


@dataclass(frozen=True)
class LivenessInputs:
    """A role as seen from inside. Times in seconds.

    `unprocessed` records are there to be worked on now; `progress` is anything that changes when one is finished.
    """

    loop_silent_s: float
    in_flight: int = 0
    oldest_in_flight_s: float = 0.0
    unprocessed: int = 0
    progress: float = 0.0


class Liveness:
    """Decides from what a role shows of itself, and from how long everything that it needs has been up.

    - The loop must come round within LOOP_BOUND_S.
    - No event may be in work for longer than `event_bound_s`.
    - Where there are unprocessed records, one must be finished within twice that.

    An outage of a dependency is not the role's fault: each bound starts again soon after it.
    """

    def __init__(
        self,
        event_bound_s: float,
        inputs: Callable[[], LivenessInputs],
        up_for_s: Callable[[], float],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._event_bound_s: Final = event_bound_s
        self._inputs: Final = inputs
        self._up_for_s: Final = up_for_s
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._stalled_since = clock()
        self._progress = 0.0
        self._was_ok = True
        self._since = datetime.now(UTC)

    def details(self) -> dict[str, Any]:
        """Return what /health/live answers: `ok`, since when, what is wrong, what to do, and the inputs."""
        with self._lock:
            inputs = self._inputs()
            stalled_s = self._observe(inputs)
            problem = self._problem(inputs, stalled_s)
            if self._was_ok is not (problem is None):
                self._was_ok, self._since = problem is None, datetime.now(UTC)
            return {
                "ok": problem is None,
                "since": format_time(self._since),
                "problem": problem,
                "next_action": None if problem is None else _RESTART,
                "loop_silent_s": round(inputs.loop_silent_s, 1),
                "in_flight": inputs.in_flight,
                "oldest_in_flight_s": round(inputs.oldest_in_flight_s, 1),
                "unprocessed": inputs.unprocessed,
                "stalled_s": round(stalled_s, 1),
            }

    def _observe(self, inputs: LivenessInputs) -> float:
        """For how long records have waited while none was finished, in seconds."""
        now = self._clock()
        if not inputs.unprocessed or inputs.progress != self._progress:
            self._stalled_since, self._progress = now, inputs.progress
        return now - self._stalled_since

    def _problem(self, inputs: LivenessInputs, stalled_s: float) -> str | None:
        faults = (
            (inputs.loop_silent_s, LOOP_BOUND_S, "Its main loop has not come round for {:.0f} s"),
            (inputs.oldest_in_flight_s, self._event_bound_s, "An event has been in work for {:.0f} s (EVENT_BOUND_S)"),
            (stalled_s, 2 * self._event_bound_s, "Records wait, and none was finished for {:.0f} s"),
        )
        up_for_s = self._up_for_s()
        return next(
            (f"{what.format(took_s)}." for took_s, bound_s, what in faults if min(took_s, up_for_s) >= bound_s), None
        )
