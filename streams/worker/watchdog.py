"""Notices a worker that sits idle although it could work: its consumer gave up without an error, or lost its topics."""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from streams.kafka.client import explain_fault

CHECK_EVERY_S: Final = 2.0
SILENCE_S: Final = 20.0
"""A consumer has this long to hear from a broker that answers others; with the restart it is back within 30 s."""
GONE_S: Final = 6.0
"""A broker that is just starting may not know all topics yet."""

FindTopics = Callable[[], frozenset[str] | None]
"""Asks the cluster for the names of its topics, by its own connection; None when no broker answers."""


@dataclass(frozen=True)
class Signs:
    """A consumer as it looks from outside; `newest_fetch_ms` is None when it has no partition to fetch."""

    failure: BaseException | None = None
    newest_fetch_ms: int | None = None
    is_member: bool = True
    is_joining: bool = False
    in_flight: int = 0
    left_out: frozenset[str] = frozenset()
    """Topics that this worker, as the group's leader, could not assign: the broker did not know them at that moment."""


class MissingTopics:
    """Distinguishes topics that are gone from those that a broker does not know yet."""

    def __init__(self, topics: frozenset[str], *, clock: Callable[[], float] = monotonic) -> None:
        self._topics: Final = topics
        self._clock: Final = clock
        self._missing_since: float | None = None

    def problem(self, existing: frozenset[str] | None) -> str | None:
        """Return which are gone, as a sentence; None as long as that is not known."""
        missing = self._topics - existing if existing is not None else frozenset()
        if not missing:
            self._missing_since = None
            return None
        self._missing_since = self._missing_since or self._clock()
        if self._clock() - self._missing_since < GONE_S:
            return None
        return f"Topics are gone: {', '.join(sorted(missing))}: run `thumbnails topics create`"


class ConsumerWatch:
    """Decides from signs, taken every few seconds, whether the process should end so that its successor works."""

    def __init__(
        self, topics: frozenset[str], *, rebalance_timeout_s: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._missing: Final = MissingTopics(topics, clock=clock)
        self._rebalance_timeout_s: Final = rebalance_timeout_s
        self._clock: Final = clock
        self._newest_fetch_ms: int | None = None
        self._heard_at = clock()
        self._answering_since: float | None = None

    def problem(self, signs: Signs, existing: frozenset[str] | None) -> str | None:
        """Return why the process should end, as a sentence; None as long as it need not."""
        if signs.failure is not None:
            return explain_fault(signs.failure)
        if forgotten := signs.left_out & (existing or frozenset()):
            return f"Nobody was given the partitions of {', '.join(sorted(forgotten))}: a broker had not known them"
        return self._missing.problem(existing) or self._silence(signs, is_answered=existing is not None)

    def _silence(self, signs: Signs, *, is_answered: bool) -> str | None:
        now = self._clock()
        has_heard = signs.is_member if signs.newest_fetch_ms is None else signs.newest_fetch_ms != self._newest_fetch_ms
        self._newest_fetch_ms = signs.newest_fetch_ms
        # A worker with events in work need not fetch; each event has time bounds of its own.
        if has_heard or signs.in_flight:
            self._heard_at = now
        self._answering_since = (self._answering_since or now) if is_answered else None
        if self._answering_since is None:
            return None
        # Other members may finish what they have in work before a rebalance assigns any partition.
        allowed_s = SILENCE_S + (self._rebalance_timeout_s if signs.is_joining else 0.0)
        silent_s = now - max(self._heard_at, self._answering_since)
        if silent_s < allowed_s:
            return None
        return f"Kafka answers, but this worker's consumer has heard nothing of it for {now - self._heard_at:.0f} s"
