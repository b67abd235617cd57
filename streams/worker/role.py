"""The worker role: takes records one by one, works on several at once, and loses none. It knows no Kafka client."""

import asyncio
from time import monotonic
from typing import Any, Final, Protocol

import structlog

from schemas.topics import (
    MEDIA_UPLOADED,
    THUMBNAIL_CLEANUP,
    THUMBNAIL_CLEANUP_WAITING,
    THUMBNAIL_DELETED,
    THUMBNAIL_DLQ,
    THUMBNAIL_DUE,
    THUMBNAIL_FAILED,
    THUMBNAIL_READY,
    THUMBNAIL_RETRIES,
)
from streams.failures.guard import DeadLetterFloodError
from streams.kafka.client import explain_fault
from streams.kafka.ports import TopicPartition
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.stopping import end_after
from streams.worker.ack_gate import AckGate, Entry, GatedEvent
from streams.worker.handler import EventHandler
from streams.worker.observer import Observer
from streams.worker.options import WorkerOptions
from streams.worker.outcome import Outcome
from streams.worker.outcome_sender import OutcomeSender
from streams.worker.watchdog import CHECK_EVERY_S, ConsumerWatch, FindTopics, Signs

log = structlog.get_logger(__name__)

WORKER_TOPICS: Final = (
    *(MEDIA_UPLOADED, THUMBNAIL_DUE, THUMBNAIL_CLEANUP),
    *(THUMBNAIL_READY, THUMBNAIL_FAILED, THUMBNAIL_DELETED, THUMBNAIL_CLEANUP_WAITING),
    *(*THUMBNAIL_RETRIES, THUMBNAIL_DLQ),
)
"""Topics that it reads or writes: without any of them it cannot work."""


class WorkerStuckError(Exception):
    """The worker cannot go on, and a new process can: its supervisor starts one."""


class ConsumedEvents(Protocol):
    """Events of some topics, as a Kafka client hands them out, and their acknowledgement."""

    async def __anext__(self) -> GatedEvent:
        """Return the next event; raise StopAsyncIteration when the client stops."""

    def record(self, event: Any) -> InboundRecord:
        """Return the record of an event; never raises, whatever is in it."""

    async def ack(self, event: Any) -> object:
        """Acknowledge it: the offset after it may be committed."""

    def forget(self, event: Any) -> object:
        """Wait no longer for an event that will never be acknowledged."""

    def generation(self) -> int:
        """Return the number of the present assignment of partitions."""


class WorkerClient(Protocol):
    """The worker's Kafka client; in production `streams.worker.faust.client.FaustClient`."""

    @property
    def is_stopping(self) -> bool:
        """Return whether it takes no more events."""

    async def send(self, record: OutboundRecord) -> object:
        """Return when all replicas have the record."""

    async def crash(self, exc: BaseException) -> None:
        """Stop, and let the process end with exit code 1."""

    def owned(self) -> frozenset[TopicPartition]:
        """Return the partitions that the group has given to this worker; safe in any thread."""

    def signs(self, in_flight: int) -> Signs | None:
        """Return what the consumer looks like from outside; None while there is none."""


class Worker:
    """Works on the events of all streams. `oldest_in_flight_s` and `in_flight` are for health and metrics."""

    def __init__(
        self,
        client: WorkerClient,
        options: WorkerOptions,
        handler: EventHandler,
        observer: Observer,
        find_topics: FindTopics,
    ) -> None:
        self.client: Final = client
        self.sender: Final = OutcomeSender(client.send)
        self._find_topics: Final = find_topics
        self._options: Final = options
        self._handler: Final = handler
        self._observer: Final = observer
        self._permits: Final = asyncio.Semaphore(options.concurrency)
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._gates: Final[list[AckGate[GatedEvent]]] = []
        self._is_crashing = False
        self.loop_came_round_at = monotonic()
        """When the event loop last had a moment for others, by the monotonic clock."""

    @property
    def in_flight(self) -> int:
        """Return how many events are being worked on."""
        return sum(gate.in_flight for gate in self._gates)

    def oldest_in_flight_s(self) -> float:
        """Return the age in seconds of the oldest event that is being worked on."""
        return max((gate.oldest_in_flight_s() for gate in self._gates), default=0.0)

    @property
    def shutdown_timeout_s(self) -> float:
        """Return how long a stop may take, in seconds."""
        return self._options.shutdown_timeout_s

    def hand_back(self) -> None:
        """Let go of the events in work: they are not acknowledged, so that the next owners of their partitions work on them."""
        if self._tasks:
            log.warning("events_left_uncommitted", events=len(self._tasks))
        for task in tuple(self._tasks):
            task.cancel()
        for gate in self._gates:
            gate.drop_all()

    def forget_revoked(self, partitions: set[Any]) -> None:
        """Let go of the events of partitions that were taken away."""
        for gate in self._gates:
            gate.drop_revoked(partitions)

    async def consume(self, events: ConsumedEvents) -> None:
        """Work on the events of one stream until it ends."""
        gate: AckGate[GatedEvent] = AckGate(events.ack, events.generation, forget=events.forget)
        self._gates.append(gate)
        while True:
            # The permit comes first: an event that waits in the client's buffer can still be handed to another worker,
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
            task = asyncio.create_task(self._work(gate, gate.enter(event), events))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, gate: AckGate[GatedEvent], entry: Entry[GatedEvent], events: ConsumedEvents) -> None:
        """Handle, then send what follows from it, then acknowledge: dying in between repeats the event."""
        try:
            if entry.event is None:
                return
            outcome = await self.process(events.record(entry.event))
            await gate.finish(entry, lambda: self._observer.on_acknowledged(outcome))
        except DeadLetterFloodError as exc:
            await self._crash(exc, str(exc))
        except Exception as exc:  # noqa: BLE001 - not swallowed: the process ends, and the event is redelivered
            await self._crash(exc, f"an outcome could not be sent: {explain_fault(exc)}")
        finally:
            self._permits.release()

    async def process(self, record: InboundRecord) -> Outcome:
        """Do everything that must be done before the record may be acknowledged."""
        with self._observer.on_received(record) as received:
            outcome = await self._handler.handle(received.record)
            self._observer.on_outcome(received, outcome)
            for follows in outcome.records:
                with self._observer.on_sending(follows) as traced:
                    await self.sender.send(traced)
        return outcome

    def has_joined(self) -> bool:
        """Return whether the group has ever given this worker its share."""
        signs = self.client.signs(0)
        return self.in_flight > 0 or (signs is not None and signs.is_member)

    async def watch(self) -> None:
        """Crash when the consumer will not work any more though it could; ends with the client."""
        topics = frozenset(self._options.topics.names_of(WORKER_TOPICS))
        watch = ConsumerWatch(topics, rebalance_timeout_s=self._options.rebalance_timeout_s)
        while not self.client.is_stopping:
            await asyncio.sleep(CHECK_EVERY_S)
            self.loop_came_round_at = monotonic()
            try:
                if self.client.signs(0) is None:
                    continue
                existing = await asyncio.to_thread(self._find_topics)
                self.sender.brokers_answer = existing is not None
                signs = self.client.signs(self.in_flight)
                problem = None if signs is None else watch.problem(signs, existing)
            except Exception as exc:  # noqa: BLE001 - a worker that nobody watches must not go on unnoticed
                problem = f"its consumer could not be watched: {type(exc).__name__}: {exc}"
            if problem is not None and not self.client.is_stopping:
                await self._crash(WorkerStuckError(problem), problem)

    async def _crash(self, exc: BaseException, reason: str) -> None:
        """End the process with exit code 1, in bounded time also when the broker hangs."""
        if not self._is_crashing:
            self._is_crashing = True
            log.critical("worker_failed", reason=reason)
            end_after(self._options.shutdown_timeout_s)
            await self.client.crash(exc)
