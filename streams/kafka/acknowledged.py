"""Send single records from an event loop, and say of each when all in-sync replicas have it."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final, cast

from confluent_kafka import KafkaError, KafkaException, Message

from streams.kafka.client import NO_ANSWER, explain_fault
from streams.kafka.ports import KafkaProducer
from streams.kafka.records import OutboundRecord

WAITING: Final = 1000
ANSWER_S: Final = 15.0
PROBLEM_S: Final = 10.0


@dataclass(frozen=True)
class Acknowledged:
    """Where a record stands."""

    topic: str
    partition: int
    offset: int


class QueueFullError(Exception):
    """Too many records wait for the broker's acknowledgement: this one was not sent."""


class UnacknowledgedError(Exception):
    """The broker refused the record, or did not acknowledge it in time: then it may still be written later."""


class SingleSender:
    """At most `most_waiting` records wait at once.

    send() is called in an event loop, poll() in one other thread, which the acknowledgements come by.
    """

    def __init__(self, producer: KafkaProducer, *, most_waiting: int = WAITING, answer_s: float = ANSWER_S) -> None:
        self._producer: Final = producer
        self._most_waiting: Final = most_waiting
        self._answer_s: Final = answer_s
        self._waiting: Final[set[asyncio.Future[Acknowledged]]] = set()
        self._fault: tuple[str, float] | None = None

    @property
    def problem(self) -> str | None:
        """Return why nothing is acknowledged: while records wait, and for PROBLEM_S after the last that failed.

        Not longer: where health decides who gets requests, none would come to show that it is over.
        """
        fault = self._fault
        if fault is None or (not self._waiting and time.monotonic() > fault[1] + PROBLEM_S):
            return None
        return fault[0]

    async def send(self, record: OutboundRecord) -> Acknowledged:
        """Return when all in-sync replicas have the record. Raises QueueFullError and UnacknowledgedError."""
        if len(self._waiting) >= self._most_waiting:
            if self.problem is not None:
                raise UnacknowledgedError(self.problem)
            raise QueueFullError(f"{self._most_waiting} events wait for the broker's acknowledgement.")
        loop = asyncio.get_running_loop()
        acknowledged: asyncio.Future[Acknowledged] = loop.create_future()

        def settle(error: KafkaError | None, message: Message) -> None:
            loop.call_soon_threadsafe(self._settle, acknowledged, error, message)

        headers = cast(Any, list(record.headers))
        try:
            self._producer.produce(
                record.topic, key=record.key, value=record.value, headers=headers, on_delivery=settle
            )
        except BufferError as exc:
            raise QueueFullError("The queue to the broker is full.") from exc
        except KafkaException as exc:
            raise UnacknowledgedError(explain_fault(exc)) from exc
        self._waiting.add(acknowledged)
        try:
            return await asyncio.wait_for(asyncio.shield(acknowledged), self._answer_s)
        except TimeoutError as exc:
            self._fault = NO_ANSWER, time.monotonic()
            raise UnacknowledgedError(NO_ANSWER) from exc

    def poll(self, seconds: float) -> None:
        """Take acknowledgements for so long."""
        self._producer.poll(seconds)

    def _settle(self, acknowledged: "asyncio.Future[Acknowledged]", error: KafkaError | None, message: Message) -> None:
        self._waiting.discard(acknowledged)
        if error is None:
            self._fault = None
            place = Acknowledged(message.topic() or "", message.partition() or 0, message.offset() or 0)
            acknowledged.set_result(place)
            return
        reason = explain_fault(KafkaException(error))
        self._fault = reason, time.monotonic()
        acknowledged.set_exception(UnacknowledgedError(reason))
        acknowledged.exception()  # whoever sent it may have gone: then nobody else looks
