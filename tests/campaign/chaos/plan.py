"""Which faults a campaign makes, and when: pure, and the same for the same seed."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from tests.campaign.chaos.uploads import PlannedUpload

GAP_S: Final = 3.2
"""Between two faults on average, in seconds; the longer ones overlap with what comes after them."""
REST_S: Final = 5.0
"""Between two faults of one part, so that it has been whole in between and no upload can meet it four times in a row."""
LEAD_S: Final = 2.0


class FaultKind(StrEnum):
    """What can be done to an installation."""

    KILL_WORKER = "kill-worker"
    TERM_WORKER = "term-worker"
    KILL_PERSIST = "kill-persist"
    TERM_PERSIST = "term-persist"
    KILL_RETRY = "kill-retry"
    TERM_RETRY = "term-retry"
    KILL_SLOT = "kill-slot"
    TERM_SLOT = "term-slot"
    KILL_DECODER = "kill-decoder"
    TERM_DECODER = "term-decoder"
    STOP_WORKER = "stop-worker"
    STOP_PERSIST = "stop-persist"
    STOP_RETRY = "stop-retry"
    ADD_WORKER = "add-worker"
    REMOVE_WORKER = "remove-worker"
    KILL_BROKER = "kill-broker"
    STOP_BROKER = "stop-broker"
    ROLLING_RESTART = "rolling-restart"
    ADD_PARTITIONS = "add-partitions"
    RESTART_DATABASE = "restart-database"
    CUT_DATABASE = "cut-database"
    STOP_DATABASE = "stop-database"
    READ_ONLY_DATABASE = "read-only-database"
    KILL_POOLER = "kill-pooler"
    S3_DOWN = "s3-down"
    S3_SLOW = "s3-slow"
    S3_RESET = "s3-reset"
    FILL_DISK = "fill-disk"
    SKEW_CLOCK = "skew-clock"
    REPLAY = "replay"


HOLDS_S: Final[dict[FaultKind, tuple[float, float]]] = {
    FaultKind.STOP_WORKER: (8.0, 11.0),  # past the session timeout of 6 s
    FaultKind.STOP_PERSIST: (8.0, 11.0),
    FaultKind.STOP_RETRY: (8.0, 11.0),
    FaultKind.ADD_WORKER: (7.0, 10.0),  # it takes some seconds to join
    FaultKind.REMOVE_WORKER: (3.0, 8.0),
    FaultKind.KILL_BROKER: (0.5, 2.0),  # and its start takes some seconds
    FaultKind.STOP_BROKER: (2.0, 8.0),
    FaultKind.RESTART_DATABASE: (0.5, 3.0),
    FaultKind.STOP_DATABASE: (3.0, 8.0),
    FaultKind.READ_ONLY_DATABASE: (3.0, 8.0),
    FaultKind.KILL_POOLER: (0.5, 3.0),
    FaultKind.S3_DOWN: (1.5, 4.0),
    FaultKind.S3_SLOW: (3.0, 6.0),
    FaultKind.S3_RESET: (1.5, 4.0),
    FaultKind.FILL_DISK: (1.5, 4.0),
    FaultKind.SKEW_CLOCK: (2.0, 5.0),
    FaultKind.REPLAY: (8.0, 12.0),
}
"""How long a fault lasts at least and at most, in seconds; those that are not named are over at once."""

_PARTS: Final[dict[FaultKind, str]] = {
    FaultKind.KILL_BROKER: "broker",
    FaultKind.STOP_BROKER: "broker",
    FaultKind.ROLLING_RESTART: "broker",
    FaultKind.ADD_PARTITIONS: "broker",
    FaultKind.RESTART_DATABASE: "database",
    FaultKind.CUT_DATABASE: "database",
    FaultKind.STOP_DATABASE: "database",
    FaultKind.READ_ONLY_DATABASE: "database",
    FaultKind.KILL_POOLER: "database",
    FaultKind.S3_DOWN: "s3",
    FaultKind.S3_SLOW: "s3",
    FaultKind.S3_RESET: "s3",
    FaultKind.FILL_DISK: "disk",
    FaultKind.STOP_WORKER: "members",
    FaultKind.ADD_WORKER: "members",
    FaultKind.REMOVE_WORKER: "members",
    FaultKind.SKEW_CLOCK: "clock",
    FaultKind.REPLAY: "replay",
}
"""Faults of one part never overlap."""


@dataclass(frozen=True)
class Fault:
    """One fault, in seconds from the campaign's begin. `choice`, 0 to 1, picks among the victims there are by then."""

    number: int
    kind: FaultKind
    at_s: float
    hold_s: float
    choice: float


@dataclass(frozen=True)
class Plan:
    """All that a campaign does, as far as it can be decided beforehand."""

    seed: int
    faults: tuple[Fault, ...]
    uploads: tuple[PlannedUpload, ...]

    @property
    def lasts_s(self) -> float:
        """From the first upload to the end of the last fault."""
        return max((fault.at_s + fault.hold_s for fault in self.faults), default=0.0) + LEAD_S

    @property
    def digest(self) -> str:
        """The same for the same plan, and for no other."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def plan_faults(
    seed: int, count: int, kinds: Sequence[FaultKind] = tuple(FaultKind), *, gap_s: float = GAP_S
) -> tuple[Fault, ...]:
    """`count` faults: every kind once in random order, and then again, until there are enough."""
    generator = random.Random(f"faults-{seed}")
    order: list[FaultKind] = []
    while len(order) < count:
        order += generator.sample(kinds, len(kinds))
    faults: list[Fault] = []
    free_at_s: dict[str, float] = {}
    at_s = LEAD_S
    for number, kind in enumerate(order[:count], 1):
        part = _PARTS.get(kind, "")
        at_s = max(at_s + generator.uniform(0.4, 1.6) * gap_s, free_at_s.get(part, 0.0))
        hold_s = generator.uniform(*HOLDS_S.get(kind, (0.0, 0.0)))
        if part:
            free_at_s[part] = at_s + hold_s + REST_S
        faults.append(Fault(number, kind, round(at_s, 2), round(hold_s, 2), round(generator.random(), 4)))
    return tuple(faults)
