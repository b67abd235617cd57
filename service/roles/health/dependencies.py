"""The dependencies of a role, tested again and again: which are up, since when, and what to do about the others."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from service.periodic import Periodic

log = structlog.get_logger(__name__)

PROVE_EVERY_S: Final = 2.0
ANSWER_WITHIN_S: Final = 4.0
"""A proof that takes longer is one that failed: a server that is frozen neither answers nor refuses."""
PROOF_HOLDS_S: Final = 30.0
"""When nothing was proven for this long, whatever should do so has died itself."""

Probe = Callable[[], str | None]
"""Uses a dependency once: None, or what is wrong as a sentence. It may hang, but must not raise."""


@dataclass(frozen=True)
class DependencyState:
    """One dependency as it is now. `problem` is None while it is up; `up_for_s` is 0.0 while it is down."""

    name: str
    since: datetime
    problem: str | None
    next_action: str
    up_for_s: float

    @property
    def is_up(self) -> bool:
        """Return whether its last proof succeeded, a moment ago."""
        return self.problem is None


class Dependency:
    """One dependency, which was up when this was made; whoever uses it calls begin() before and end() after.

    Thread-safe: one thread proves, others ask.
    """

    def __init__(self, name: str, next_action: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name: Final = name
        self._next_action: Final = next_action
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._begun_at: float | None = None
        self._proven_at = self._since = clock()
        """When the last proof ended; since when it is up, or down."""
        self._problem: str | None = None

    def begin(self) -> None:
        """Start a check."""
        with self._lock:
            self._begun_at = self._clock()

    def end(self, problem: str | None) -> None:
        """End a check; `problem` is what was wrong, or None."""
        with self._lock:
            now, trouble, down_since = self._clock(), self._trouble(), self._down_since()
            if problem is None and trouble is not None:
                log.info("dependency_recovered", dependency=self.name, was_away_s=round(now - down_since, 1))
                self._since = now
            if problem is not None and self._problem is None:
                log.warning("dependency_lost", dependency=self.name, reason=problem, next_action=self._next_action)
                self._since = down_since if trouble is not None else now
            self._problem, self._begun_at, self._proven_at = problem, None, now

    def state(self) -> DependencyState:
        """Return the present state, including a check that hangs."""
        with self._lock:
            now, trouble = self._clock(), self._trouble()
            since = self._since if trouble is None else self._down_since()
            at = datetime.now(UTC) - timedelta(seconds=now - since)
            return DependencyState(self.name, at, trouble, self._next_action, now - since if trouble is None else 0.0)

    def _down_since(self) -> float:
        """From when it is down, if it is."""
        if self._problem is not None:
            return self._since
        return self._proven_at if self._begun_at is None else self._begun_at

    def _trouble(self) -> str | None:
        """Return what is wrong now, as a sentence; None while it is up."""
        now = self._clock()
        if self._problem is not None:
            return self._problem
        if self._begun_at is not None and now - self._begun_at > ANSWER_WITHIN_S:
            return f"It has not answered for {now - self._begun_at:.0f} s."
        if now - self._proven_at > PROOF_HOLDS_S:
            return f"It was not proven for {now - self._proven_at:.0f} s."
        return None


def prover(dependency: Dependency, probe: Probe) -> Periodic:
    """Return what proves one dependency every few seconds. One thread each: a probe that hangs holds up no other."""

    def prove() -> None:
        dependency.begin()
        dependency.end(probe())

    return Periodic(f"prove-{dependency.name}", prove, PROVE_EVERY_S)


def up_for_s(states: Iterable[DependencyState]) -> float:
    """Return for how many seconds all of them have been up; 0.0 when one is down."""
    return min((state.up_for_s for state in states), default=float("inf"))
