"""Faust's aiokafka transport with one change: what is acknowledged is committed before a rebalance takes it away."""

from collections.abc import Callable
from typing import Any

from faust.transport.drivers import aiokafka as driver


class CommittingConsumer(driver.Consumer):
    """Commits in on_partitions_revoked, before Faust forgets which offsets were acknowledged.

    Without it every rebalance redelivers the events of the last commit interval.
    """

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Commit, then let Faust wait for what is in flight and hand the partitions back."""
        await self.force_commit()
        await super().on_partitions_revoked(revoked)
        for forget in getattr(self.transport, "revocation_listeners", ()):
            forget(set(revoked))


class CommittingTransport(driver.Transport):
    """Install it as `app.transport` before any agent is declared."""

    Consumer = CommittingConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.revocation_listeners: list[Callable[[set[Any]], None]] = []
