"""Acknowledges only the finished, contiguous prefix of each partition, so that no offset passes an event in flight."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, Generic, Protocol, TypeVar


class GatedEvent(Protocol):
    """The part of Faust's EventT that the gate looks at."""

    @property
    def message(self) -> Any:
        """With `tp`, `offset` and `generation_id`."""


TEvent = TypeVar("TEvent", bound=GatedEvent)


@dataclass(eq=False)
class Entry(Generic[TEvent]):
    """An event between being taken and being acknowledged; `event` is None when it is neither any more."""

    event: TEvent | None
    entered_at: float
    is_finished: bool = field(default=False)
    then: Callable[[], object] = field(default=lambda: None)
    """Called once it is acknowledged; never for an event that is not."""


class AckGate(Generic[TEvent]):
    """Holds events in the order in which they were taken, one queue a (topic-partition, generation).

    A generation is one assignment of partitions. Results of an earlier generation are never acknowledged: another
    consumer may have been given the partition and its own, earlier position. `forget` is called with each event that will
    never be acknowledged, so that nobody waits for it. Not thread-safe: one event loop owns it.
    """

    def __init__(
        self,
        ack: Callable[[TEvent], Awaitable[object]],
        current_generation: Callable[[], int],
        *,
        forget: Callable[[TEvent], object] = lambda _event: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._ack: Final = ack
        self._current_generation: Final = current_generation
        self._forget: Final = forget
        self._clock: Final = clock
        self._queues: dict[tuple[Any, int], deque[Entry[TEvent]]] = {}
        self._in_flight: set[Entry[TEvent]] = set()

    def enter(self, event: TEvent) -> Entry[TEvent]:
        """Register an event that has just been taken, in the order of its partition."""
        entry = Entry(event, self._clock())
        message = event.message
        self._queues.setdefault((message.tp, message.generation_id), deque()).append(entry)
        self._in_flight.add(entry)
        return entry

    async def finish(self, entry: Entry[TEvent], then: Callable[[], object] = lambda: None) -> int:
        """Mark the event as done and acknowledge what has become contiguous; return how many were acknowledged.

        `then` is called after the event itself is acknowledged, which may be later, or never.
        """
        entry.is_finished, entry.then = True, then
        self._in_flight.discard(entry)
        if entry.event is None:  # its partition was revoked meanwhile
            return 0
        message = entry.event.message
        queue_key = (message.tp, message.generation_id)
        if message.generation_id != self._current_generation():
            self._drop(queue_key)
            return 0
        return await self._ack_finished_prefix(queue_key)

    async def _ack_finished_prefix(self, queue_key: tuple[Any, int]) -> int:
        acknowledged = 0
        queue = self._queues.get(queue_key)
        while queue and queue[0].is_finished:
            # Taken off the queue before the await: another finish() may run meanwhile and must not see it again.
            entry = queue.popleft()
            if entry.event is not None:
                await self._ack(entry.event)
                acknowledged += 1
                entry.then()
            entry.event = None
        if queue is not None and not queue:
            self._queues.pop(queue_key, None)
        return acknowledged

    def drop_revoked(self, partitions: set[Any]) -> None:
        """Forget the entries of partitions that were taken away; their late results are ignored."""
        for queue_key in [key for key in self._queues if key[0] in partitions]:
            self._drop(queue_key)

    def drop_all(self) -> None:
        """Forget every entry, as if all partitions had been taken away: what is not acknowledged comes again."""
        for queue_key in list(self._queues):
            self._drop(queue_key)
        self._in_flight.clear()

    def _drop(self, queue_key: tuple[Any, int]) -> None:
        for entry in self._queues.pop(queue_key, ()):
            if entry.event is not None:
                self._forget(entry.event)
            entry.event = None

    @property
    def in_flight(self) -> int:
        """Return how many events were taken and are not done."""
        return len(self._in_flight)

    def oldest_in_flight_s(self) -> float:
        """Return the age in seconds of the oldest event that is not done; 0.0 when there is none."""
        return self._clock() - min((entry.entered_at for entry in self._in_flight), default=self._clock())
