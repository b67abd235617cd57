"""Faust's aiokafka transport with changes: it commits before a rebalance, and reads only committed transactions."""

import asyncio
from collections.abc import Callable
from typing import Any

from faust.transport.drivers import aiokafka as driver


class CommittedReadsThread(driver.AIOKafkaConsumerThread):
    """Does not hand out records of transactions that were aborted, such as the last batch of a replay that was killed."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust asks for this only in its exactly-once mode. The consumer reads it when it starts, which comes later.
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - Faust builds the consumer, and has no setting for it
        return consumer


class CommittingConsumer(driver.Consumer):
    """Commits in on_partitions_revoked, before Faust forgets which offsets were acknowledged, and takes no commit for another.

    Without it a rebalance redelivers the events of the last commit interval, or those that ended during a commit.
    """

    def _new_consumer_thread(self) -> CommittedReadsThread:
        return CommittedReadsThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Commit, then let Faust wait for what is in flight and hand the partitions back."""
        await self.commit()
        await super().on_partitions_revoked(revoked)
        for forget in getattr(self.transport, "revocation_listeners", ()):
            forget(set(revoked))

    async def maybe_wait_for_commit_to_finish(self) -> bool:
        """Let the commit under way end, and ask for another: what was acknowledged since it began is not in it.

        Faust would take it for its own: the last commit before a handover left out what ended meanwhile, and the
        partitions' next owner did it again. Nor may two be under way: the second leaves out what does not follow on
        the offset that the first has not noted yet.
        """
        while self._commit_fut is not None:
            await asyncio.shield(self._commit_fut)  # else who is cancelled here would cancel it for all
        return False


class CommittingTransport(driver.Transport):
    """Install it as `app.transport` before any agent is declared."""

    Consumer = CommittingConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.revocation_listeners: list[Callable[[set[Any]], None]] = []
