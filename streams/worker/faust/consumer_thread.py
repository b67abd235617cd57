"""The thread of Faust's aiokafka consumer with changes: it stops in a rebalance, and reads only committed transactions."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, cast

import structlog
from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped] # it has no stubs
from aiokafka.client import ConnectionGroup  # type: ignore[import-untyped] # it has no stubs
from aiokafka.errors import KafkaError  # type: ignore[import-untyped] # it has no stubs
from aiokafka.protocol.group import LeaveGroupRequest  # type: ignore[import-untyped] # it has no stubs
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import QueueServiceThread

from streams.worker.faust.answers import bound_answers
from streams.worker.faust.any_batch import read_any_batch
from streams.worker.faust.static_member import report_replacement

log = structlog.get_logger(__name__)

LEAVE_TIMEOUT_S: Final = 3.0
"""For one answer of the broker; without it the group waits for the end of the session."""
MEMBER_ID_POLL_S: Final = 0.01


class PromptThread(driver.AIOKafkaConsumerThread):
    """The consumer's own thread, whose stop ends in the middle of a rebalance, too.

    Faust's waits for the rebalance, which asks the app's thread, which asks this one, which does not answer any more;
    or until all other members have joined, who may have uploads in work.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._promises: Final[set[asyncio.Future[Any]]] = set()
        self._is_closed = False
        self._callback: asyncio.Future[None] | None = None
        self.failure: BaseException | None = None
        """Why it cannot go on, if it is known here; `streams.worker.faust.signs` hands it on."""

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Call as Faust does, but cancel those who wait for an answer when the thread gives no more."""
        if self._is_closed:
            raise asyncio.CancelledError
        promise = self.parent_loop.create_future()
        self._promises.add(promise)
        try:
            return await (await self.method_queue.call(promise, fun, *args, **kwargs))
        finally:
            self._promises.discard(promise)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek as `seek_to_committed` does, in the consumer's own thread."""
        found = await self.call_thread(seek_to_committed, self._ensure_consumer())
        return cast(Mapping[TP, int], found)  # Faust's type does not say that a partition may have none

    async def on_start(self) -> None:
        """Start as Faust does; a static member also notices that another process takes its place."""
        await super().on_start()
        if self._is_static:
            report_replacement(self._ensure_consumer(), self._fail)

    def _fail(self, failure: BaseException) -> None:
        self.failure = failure

    @property
    def _is_static(self) -> bool:
        return self.app.conf.consumer_group_instance_id is not None

    def _refuse_calls(self) -> None:
        self._is_closed = True
        for promise in self._promises:
            promise.cancel()

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Let the app hand partitions back; it goes on in its own thread when the wait for it is cancelled."""
        await self._await_app(super().on_partitions_revoked(revoked))

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """Let the app take partitions; it goes on in its own thread when the wait for it is cancelled."""
        await self._await_app(super().on_partitions_assigned(assigned, generation_id))

    async def _await_app(self, callback: Awaitable[None]) -> None:
        self._callback = asyncio.ensure_future(callback)
        await asyncio.shield(self._callback)

    def close(self) -> None:
        """Nothing: on_thread_stop does it. Faust would, at a rebalance during a stop, and in a loop that is not the consumer's."""

    async def on_thread_stop(self) -> None:
        """Answer no more calls, let go of a rebalance that is under way, leave the group, and close."""
        await QueueServiceThread.on_thread_stop(self)
        self.parent_loop.call_soon_threadsafe(self._refuse_calls)
        if self._consumer is None:
            return
        coordinator = self._consumer._coordinator  # noqa: SLF001 - its close() waits for the rebalance
        if coordinator is not None:  # it was started
            await self._let_go_of_a_rebalance(coordinator)
        await self._consumer.stop()

    async def _let_go_of_a_rebalance(self, coordinator: Any) -> None:
        is_joining = coordinator._performed_join_prepare  # noqa: SLF001 - there is no public way to let go
        coordination = coordinator._coordination_task  # noqa: SLF001 - see above
        if is_joining:
            await _wait_for_member_id(coordinator, coordination)
        coordination.cancel()
        await asyncio.wait({coordination})
        if self._callback is not None:
            await asyncio.wait({self._callback})  # the app's thread answers in this thread's loop, which is closed next
        # A static member keeps its place for its successor, until the end of the session.
        if is_joining and not self._is_static and coordinator.member_id and coordinator.coordinator_id is not None:
            await self._leave_group(coordinator)

    async def _leave_group(self, coordinator: Any) -> None:
        """Over another connection than the one on which the join waits: a broker takes one request of each at a time."""
        client = self._ensure_consumer()._client  # noqa: SLF001 - aiokafka's own would use that connection
        request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
        try:
            sent = client.send(coordinator.coordinator_id, request, group=ConnectionGroup.DEFAULT)
            await asyncio.wait_for(sent, LEAVE_TIMEOUT_S)
        except (KafkaError, TimeoutError) as exc:
            log.warning("group_leave_failed", reason=f"{type(exc).__name__}: {exc}")
        coordinator.reset_generation()  # it has been done


async def _wait_for_member_id(coordinator: Any, coordination: "asyncio.Task[None]") -> None:
    """Return when the broker has given the member an id, the join has ended, or after LEAVE_TIMEOUT_S.

    A broker holds up the group for a new member from its first request on, and it cannot leave without its id.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_TIMEOUT_S):
            while not coordinator.member_id and not coordination.done():  # noqa: ASYNC110 - aiokafka has no event for it
                await asyncio.sleep(MEMBER_ID_POLL_S)


async def seek_to_committed(consumer: AIOKafkaConsumer) -> Mapping[Any, int | None]:
    """Set each partition's position to its committed offset, or to its first record where none is; return the offsets.

    aiokafka leaves a partition where it is when nothing is committed. But what it has read since then may be lost: Faust
    drops what comes while a rebalance is under way, and relies on this. A new group, or a new partition, went on behind
    records that nobody had worked on.
    """
    found: Mapping[Any, int | None] = await consumer.seek_to_committed()
    without = [partition for partition, offset in found.items() if not offset]
    still_owned = consumer.assignment().intersection(without)
    if still_owned:
        await consumer.seek_to_beginning(*still_owned)
    return found


class CommittedReadsThread(PromptThread):
    """Does not hand out records of transactions that were aborted, such as the last batch of a replay that was killed.

    It reads any header names, names the batch that cannot be read, and waits for no broker that stands still.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        read_any_batch()
        consumer = super()._create_worker_consumer(transport)
        bound_answers(consumer)
        # Faust asks for this only in its exactly-once mode. The consumer reads it when it starts, which comes later.
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - Faust builds the consumer, and has no setting for it
        return consumer
