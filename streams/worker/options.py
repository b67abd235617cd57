"""The settings by which the worker consumes."""

from dataclasses import dataclass
from typing import Any

from schemas.topics import UNPREFIXED, Topics


@dataclass(frozen=True)
class WorkerOptions:
    """The consumer, and the stop. Times in seconds."""

    bootstrap_servers: str
    group: str
    concurrency: int
    topics: Topics = UNPREFIXED
    session_timeout_s: float = 30.0
    heartbeat_s: float = 3.0
    rebalance_timeout_s: float = 180.0
    commit_interval_s: float = 1.0
    shutdown_timeout_s: float = 25.0
    client_id: str = "thumbnails-worker"
    instance_id: str | None = None
    """Of a static member: its name in the group, which a restarted process takes again."""
    credentials: Any = None
    """The client's own: `streams.worker.faust.credentials`."""
