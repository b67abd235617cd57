"""What all faults have alike: whom they hit, and how they end."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.campaign.chaos.cluster import Cluster
from tests.campaign.chaos.plan import Fault


class NobodyHitError(Exception):
    """There was no victim, and none came within a moment."""


@dataclass(frozen=True)
class Injection:
    """A fault under way: whom it hit, and how it ends."""

    note: str
    undo: Callable[[], object] = lambda: None


Inject = Callable[[Cluster, Fault], Injection]
