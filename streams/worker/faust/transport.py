"""Faust's aiokafka transport with changes: it commits before a rebalance, has its own consumer thread, and sends any record."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import structlog
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.kafka.messages import UnreadableBatchError
from streams.kafka.positions import Positions
from streams.worker.faust.consumer_thread import CommittedReadsThread
from streams.worker.faust.producer import AnyRecordDriver

log = structlog.get_logger(__name__)


class CommittingConsumer(driver.Consumer):
    """Commits in on_partitions_revoked, before Faust forgets which offsets were acknowledged, and takes no commit for another.

    Without it a rebalance redelivers the events of the last commit interval, or those that ended during a commit.
    """

    def _new_consumer_thread(self) -> CommittedReadsThread:
        return CommittedReadsThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek as Faust does after each assignment, and begin to track the positions."""
        found = await super().seek_to_committed()
        known = cast(Mapping[Any, int | None], found)  # Faust's type does not say that a partition may have none
        positions: Positions = cast(Any, self.transport).positions
        positions.begin(
            {
                (one.topic, one.partition): offset if offset is not None and offset >= 0 else None
                for one, offset in known.items()
            }
        )
        return found

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Commit, then let Faust wait for what is in flight and hand the partitions back."""
        while await self.commit():  # again: what ended while it was under way is forgotten as well
            pass
        if self.app.should_stop:
            await self.wait_empty()  # Faust does not any more, and others would do again what is in flight
        await super().on_partitions_revoked(revoked)
        for forget in getattr(self.transport, "revocation_listeners", ()):
            forget(set(revoked))

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        """Return records as Faust does; before an unreadable batch ends the worker, finish and commit what was handed out.

        The end is quicker than the work on a record. Without this, those just before the batch would be repeated at each
        start and never acknowledged, and whoever skips the batch would skip them too.
        """
        try:
            return await super()._getmany(active_partitions, timeout)
        except UnreadableBatchError:
            await self.wait_empty()
            raise

    async def verify_all_partitions_active(self) -> None:
        """Do nothing: Faust would log errors about healthy partitions, and none about a consumer that hears nothing.

        It counts from the start of the process, not of the assignment: after 5 minutes every rebalance, and every
        burst after an idle time, is an error for each partition. Its look at the last fetch subtracts the time of day
        from a monotonic clock. `streams.worker.watchdog` and /health/live notice what really stands still.
        """

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit as Faust does, and log a line when the group refuses: it has gone on without this member."""
        is_taken = await super()._commit(offsets)
        if not is_taken:
            log.warning("commit_failed", partitions=len(offsets))
        return is_taken

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
    Producer = AnyRecordDriver

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.revocation_listeners: list[Callable[[set[Any]], object]] = []
        self.positions: Final = Positions()
