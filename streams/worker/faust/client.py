"""The worker's Kafka client: a Faust app with one agent for uploads, and one for cleanups."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, cast

from faust import Stream
from faust.types import EventT, StreamT

from schemas.topics import MEDIA_UPLOADED, THUMBNAIL_CLEANUP, THUMBNAIL_DUE, Topic
from streams.kafka.ports import TopicPartition
from streams.kafka.positions import Positions
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.worker.faust.app import build_app
from streams.worker.faust.assignor import EvenAssignor
from streams.worker.faust.signs import read_owned, read_signs
from streams.worker.faust.transport import CommittingTransport
from streams.worker.options import WorkerOptions
from streams.worker.watchdog import Signs

_NOISY_IN_A_CRASH: Final = ("faust", "mode", "streams.worker.faust.app", "streams.worker.faust.runner")
"""Loggers by which Faust and mode report a crash; they name those of subclasses by the subclass's module."""
Consume = Callable[["FaustStream"], Awaitable[None]]


class FaustClient:
    """A `streams.worker.role.WorkerClient`. It connects when `streams.worker.faust.runner` runs it."""

    def __init__(self, options: WorkerOptions) -> None:
        self._topics: Final = options.topics
        self.app: Final = build_app(options)
        self._transport: Final = CommittingTransport(self.app.conf.broker_consumer, self.app)
        self.app.transport = (
            self._transport
        )  # before any agent: a declared topic holds on to the transport of that moment
        self.positions: Final = self._transport.positions

    def declare_agents(self, consume: Consume, forget_revoked: Callable[[set[Any]], object]) -> None:
        """Let `consume` work on all events, and call `forget_revoked` with partitions that were taken away."""
        self._transport.revocation_listeners.append(forget_revoked)
        self._declare_agent("uploads", consume, MEDIA_UPLOADED, THUMBNAIL_DUE)
        self._declare_agent("cleanups", consume, THUMBNAIL_CLEANUP)

    def _declare_agent(self, name: str, consume: Consume, *topics: Topic) -> None:
        names = self._topics.names_of(topics)
        channel = self.app.topic(*names, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

        async def agent(stream: StreamT[Any]) -> None:
            events = cast(Stream[Any], stream).noack()
            await consume(FaustStream(events, lambda: self.app.consumer_generation_id, self.positions))

        self.app.agent(channel, name=f"worker.{name}", concurrency=1)(agent)

    @property
    def is_stopping(self) -> bool:
        """Return whether the app takes no more events."""
        return bool(self.app.should_stop)

    async def send(self, record: OutboundRecord) -> None:
        """Return when all replicas have the record."""
        headers = cast(Any, list(record.headers))  # null values pass, which Faust's types do not say
        await (await self.app.producer.send(record.topic, record.key, record.value, None, None, headers))

    async def crash(self, exc: BaseException) -> None:
        """Stop the app, so that the process ends with exit code 1. Whoever calls it has logged why.

        Faust and mode would log it again for each of their services, with tracebacks.
        """
        for name in _NOISY_IN_A_CRASH:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        await self.app.crash(exc)

    def owned(self) -> frozenset[TopicPartition]:
        """Return the partitions that the group has given to this worker; safe in any thread."""
        consumer = self.app._consumer  # noqa: SLF001 - the property would make one
        return frozenset() if consumer is None else read_owned(consumer)

    def signs(self, in_flight: int) -> Signs | None:
        """Return what the consumer looks like from outside; None while there is none."""
        consumer = self.app._consumer  # noqa: SLF001 - the property would make one
        if consumer is None:
            return None
        left_out = cast(EvenAssignor, self.app.assignor).left_out
        return replace(read_signs(consumer, in_flight), left_out=left_out)


class FaustStream:
    """A `streams.worker.role.ConsumedEvents`: a stream that acknowledges nothing by itself."""

    def __init__(self, stream: StreamT[Any], generation: Callable[[], int], positions: Positions) -> None:
        self._events: Final[AsyncIterator[EventT[Any]]] = aiter(cast(AsyncIterator[EventT[Any]], stream.events()))
        self.ack: Final = stream.ack
        self.generation: Final = generation
        self._positions: Final = positions

    async def __anext__(self) -> EventT[Any]:
        """Return the next event."""
        event = await anext(self._events)
        message = cast(Any, event.message)
        self._positions.read((message.topic, message.partition), message.offset)
        return event

    @staticmethod
    def record(event: EventT[Any]) -> InboundRecord:
        """Return the record of an event. It copies and reads nothing, so that nothing in a record can make it fail."""
        message = cast(Any, event.message)
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

    @staticmethod
    def forget(event: EventT[Any]) -> None:
        """Let Faust's consumer not wait for an event that is redelivered: it would hold up every rebalance and the stop.

        It waits for each message that it has handed out until it is marked, or garbage; but the stream itself holds on
        to the last one. The mark alone moves no offset: those are kept by the consumer's own ack(), which is not called.
        """
        event.message.acked = True
