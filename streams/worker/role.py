"""The worker role: a Faust app that takes records one by one, works on several at once, and loses none."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from time import monotonic
from typing import Any, Final, cast

import faust
import structlog
from faust import Stream
from faust.types import EventT, StreamT
from structlog.contextvars import bound_contextvars

from schemas.topics import (
    MEDIA_UPLOADED,
    THUMBNAIL_CLEANUP,
    THUMBNAIL_DLQ,
    THUMBNAIL_DUE,
    THUMBNAIL_FAILED,
    THUMBNAIL_READY,
    THUMBNAIL_RETRIES,
    Topic,
    prefixed,
)
from streams.dlq.guard import DeadLetterFloodError
from streams.kafka.client import NO_ANSWER, explain_fault
from streams.kafka.ports import TopicPartition
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.stopping import LEAVING_S, end_after, end_at_once, end_idle_after, finishing_s
from streams.tracing import NO_TRACING, Tracing, sending
from streams.worker.ack_gate import AckGate, Entry
from streams.worker.faust.app import WorkerOptions, build_app
from streams.worker.faust.assignor import TellingAssignor
from streams.worker.faust.transport import CommittingTransport
from streams.worker.handler import EventHandler, Outcome
from streams.worker.watchdog import CHECK_EVERY_S, ConsumerWatch, FindTopics, owned_places, read_signs

log = structlog.get_logger(__name__)

SEND_TIMEOUT_S: Final = 45.0
"""Longer than the producer's own request timeout (30 s) with one retry; after it the process gives up and restarts."""
SLOW_SEND_S: Final = 10.0
"""After it an operator is told that outcomes wait."""
LAST_TASKS_S: Final = 1.0
"""How long a stop waits at its end for tasks that were cancelled."""
WORKER_TOPICS: Final = (
    *(MEDIA_UPLOADED, THUMBNAIL_DUE, THUMBNAIL_CLEANUP),
    *(THUMBNAIL_READY, THUMBNAIL_FAILED, *THUMBNAIL_RETRIES, THUMBNAIL_DLQ),
)
"""What it reads and what it writes: without any of them it cannot work."""


class WorkerStuckError(Exception):
    """The worker cannot go on, and a new process can: its supervisor starts one."""


class Worker:
    """The app and its agents. `oldest_in_flight_s` and `in_flight` are for health and metrics."""

    def __init__(
        self, options: WorkerOptions, handler: EventHandler, find_topics: FindTopics, tracing: Tracing = NO_TRACING
    ) -> None:
        self._find_topics: Final = find_topics
        self._tracing: Final = tracing
        self._options: Final = options
        self._handler: Final = handler
        self._permits: Final = asyncio.Semaphore(options.concurrency)
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._gates: Final[list[AckGate[EventT[Any]]]] = []
        self._is_crashing = False
        self.loop_came_round_at = monotonic()
        """When the event loop last had a moment for others, by the monotonic clock."""
        self.app: Final = build_app(options)
        transport = CommittingTransport(self.app.conf.broker_consumer, self.app)
        transport.revocation_listeners.append(self._forget_revoked)
        self.app.transport = transport  # before any agent: a declared topic holds on to the transport of that moment
        self._declare_agent("uploads", MEDIA_UPLOADED, THUMBNAIL_DUE)
        self._declare_agent("cleanups", THUMBNAIL_CLEANUP)

    @property
    def in_flight(self) -> int:
        """How many events are being worked on."""
        return sum(gate.in_flight for gate in self._gates)

    def owned(self) -> frozenset[TopicPartition]:
        """The partitions that the group has given to this worker; safe in any thread."""
        consumer = self.app._consumer  # noqa: SLF001 - the property would make one
        return frozenset() if consumer is None else owned_places(consumer)

    def oldest_in_flight_s(self) -> float:
        """Age in seconds of the oldest event that is being worked on."""
        return max((gate.oldest_in_flight_s() for gate in self._gates), default=0.0)

    @property
    def shutdown_timeout_s(self) -> float:
        """How long a stop may take, in seconds."""
        return self._options.shutdown_timeout_s

    def hand_back(self) -> None:
        """Let go of what is in work: it is not acknowledged, so that the next owner of its partition works on it."""
        if self._tasks:
            log.warning("events_handed_back", events=len(self._tasks))
        for task in tuple(self._tasks):
            task.cancel()
        for gate in self._gates:
            gate.drop_all()

    def _forget_revoked(self, partitions: set[Any]) -> None:
        for gate in self._gates:
            gate.drop_revoked(partitions)

    def _declare_agent(self, name: str, *topics: Topic) -> None:
        names = [prefixed(topic, self._options.topic_prefix) for topic in topics]
        channel = self.app.topic(*names, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

        async def consume(stream: StreamT[Any]) -> None:
            await self._consume(cast(Stream[Any], stream).noack())

        self.app.agent(channel, name=f"worker.{name}", concurrency=1)(consume)

    async def _consume(self, stream: StreamT[Any]) -> None:
        gate: AckGate[EventT[Any]] = AckGate(
            stream.ack, lambda: self.app.consumer_generation_id, forget=_stop_waiting_for
        )
        self._gates.append(gate)
        events: AsyncIterator[EventT[Any]] = aiter(cast(AsyncIterator[EventT[Any]], stream.events()))
        while True:
            # The permit comes first: an event that waits in Faust's buffer can still be handed to another worker,
            # one that was taken must be finished here.
            await self._permits.acquire()
            try:
                event = await anext(events)
            except StopAsyncIteration:
                self._permits.release()
                return
            except BaseException:
                self._permits.release()
                raise
            task = asyncio.create_task(self._work(gate, gate.enter(event)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, gate: AckGate[EventT[Any]], entry: Entry[EventT[Any]]) -> None:
        """Handle, then send what follows from it, then acknowledge: dying in between repeats the event."""
        try:
            if entry.event is None:
                return
            outcome = await self._finish(_inbound(entry.event.message))
            await gate.finish(entry, lambda: self._handler.acknowledged(outcome))
        except DeadLetterFloodError as exc:
            await self._crash(exc, str(exc))
        except Exception as exc:  # noqa: BLE001 - not swallowed: the process ends, and the event is redelivered
            await self._crash(exc, f"an outcome could not be sent: {explain_fault(exc)}")
        finally:
            self._permits.release()

    async def _finish(self, record: InboundRecord) -> Outcome:
        """Everything that must be done before the record may be acknowledged, told to the trace."""
        record, span = self._tracing.receive(record)
        try:
            with bound_contextvars(**record.log_fields):
                outcome = await self._handler.handle(record)
                span.tell(outcome.facts)
                span.add_stages(outcome.stages)
                for sent in outcome.records:
                    with sending(self._tracing, (sent,)) as (traced,):
                        await self._send_or_tell(traced)
        except BaseException as exc:
            span.end(type(exc).__name__)
            raise
        span.end(outcome.error_code)
        return outcome

    def has_joined(self) -> bool:
        """Whether the group has ever given this worker its share."""
        consumer = self.app._consumer  # noqa: SLF001 - the property would make one
        return self.in_flight > 0 or (consumer is not None and read_signs(consumer, 0).is_member)

    async def watch(self) -> None:
        """Crash when the consumer will not work any more though it could; ends with the app."""
        topics = frozenset(prefixed(topic, self._options.topic_prefix) for topic in WORKER_TOPICS)
        watch = ConsumerWatch(topics, rebalance_timeout_s=self._options.rebalance_timeout_s)
        while not self.app.should_stop:
            await asyncio.sleep(CHECK_EVERY_S)
            self.loop_came_round_at = monotonic()
            consumer = self.app._consumer  # noqa: SLF001 - the property would make one
            if consumer is None:
                continue
            try:
                existing = await asyncio.to_thread(self._find_topics)
                left_out = cast(TellingAssignor, self.app.assignor).left_out
                problem = watch.problem(replace(read_signs(consumer, self.in_flight), left_out=left_out), existing)
            except Exception as exc:  # noqa: BLE001 - a worker that nobody watches must not go on unnoticed
                problem = f"its consumer could not be watched: {type(exc).__name__}: {exc}"
            if problem is not None and not self.app.should_stop:
                await self._crash(WorkerStuckError(problem), problem)

    async def _crash(self, exc: BaseException, reason: str) -> None:
        """End the process with exit code 1, in bounded time also when the broker hangs."""
        if not self._is_crashing:
            self._is_crashing = True
            log.critical("worker_stops", reason=reason)
            end_after(self._options.shutdown_timeout_s)
            await self.app.crash(exc)

    async def _send_or_tell(self, record: OutboundRecord) -> None:
        try:
            await self._send(record)
        except BaseException:
            self._handler.not_sent(record)
            raise

    async def _send(self, record: OutboundRecord) -> None:
        """Return when all replicas have it; tells when that takes long."""
        # Shielded, so that a timeout here never cancels a send that the broker may still acknowledge.
        sending = asyncio.ensure_future(self._produce(record))
        try:
            await asyncio.wait_for(asyncio.shield(sending), SLOW_SEND_S)
        except TimeoutError:
            if sending.done():
                raise
            log.warning("outcome_not_acknowledged", to=record.topic, waited_s=SLOW_SEND_S, reason=NO_ANSWER)
            await asyncio.wait_for(asyncio.shield(sending), SEND_TIMEOUT_S - SLOW_SEND_S)

    async def _produce(self, record: OutboundRecord) -> None:
        headers = cast(Any, list(record.headers))  # null values pass, which Faust's types do not say
        await (await self.app.producer.send(record.topic, record.key, record.value, None, None, headers))


class _Runner(faust.Worker):
    """Faust's runner, whose stop has an end: without bounds it waits for every event in work, and for every commit."""

    def __init__(self, worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(worker.app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
        self._worker: Final = worker
        self.watch: asyncio.Task[None] | None = None
        self.last_resort: threading.Timer | None = None

    def on_worker_shutdown(self) -> None:
        """End the watch, which Faust would wait for."""
        if self.watch is not None:
            self.watch.cancel()
        super().on_worker_shutdown()

    async def _sentinel_task(self) -> None:
        """Let the tasks end that were cancelled, however many there are; Faust would always give them a second."""
        others = asyncio.all_tasks() - {cast("asyncio.Task[Any]", asyncio.current_task())}
        if others:
            await asyncio.wait(others, timeout=LAST_TASKS_S)

    def _schedule_shutdown(self, signal: Any) -> None:
        if self.last_resort is not None:
            end_at_once("it was told to stop for the second time")
        timeout_s = self._worker.shutdown_timeout_s
        log.info("role_stops", in_flight=self._worker.in_flight, within_s=timeout_s)
        self.last_resort = end_after(timeout_s)
        end_idle_after(LEAVING_S, self._worker.has_joined)
        self.loop.call_later(finishing_s(timeout_s), self._worker.hand_back)
        super()._schedule_shutdown(signal)


def run_worker(worker: Worker, loop: asyncio.AbstractEventLoop) -> int:
    """Run until SIGTERM or a crash; the exit code, 0 after a graceful stop. Closes the loop.

    The bound of a stop stays in force afterwards: a storage call that hangs would keep the interpreter from ending.
    """
    runner = _Runner(worker, loop)
    runner.watch = loop.create_task(worker.watch())  # not one of Faust's: those wait for the first partitions
    try:
        runner.execute_from_commandline()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1


def _stop_waiting_for(event: EventT[Any]) -> None:
    """Let Faust's consumer not wait for an event that is redelivered: it would hold up every rebalance and the stop.

    It waits for each message that it has handed out until it is marked, or garbage; but the stream itself holds on to
    the last one. The mark alone moves no offset: those are kept by the consumer's own ack(), which is not called.
    """
    event.message.acked = True


def _inbound(message: Any) -> InboundRecord:
    headers = message.headers.items() if isinstance(message.headers, dict) else message.headers or ()
    return InboundRecord(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=int((message.timestamp or 0) * 1000),
        key=message.key,
        value=message.value,
        headers=tuple(headers),
    )
