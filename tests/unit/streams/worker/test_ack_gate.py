"""The gate: only the finished prefix of a partition is acknowledged, and nothing of an earlier generation."""

import asyncio
import itertools
import random
from dataclasses import dataclass

import pytest

from streams.worker.ack_gate import AckGate


@dataclass
class Message:
    tp: tuple[str, int]
    offset: int
    generation_id: int


@dataclass
class Event:
    message: Message


def an_event(offset: int, partition: int = 0, generation: int = 1) -> Event:
    return Event(Message(("uploads", partition), offset, generation))


class Gate:
    """A gate with its acknowledgements, and a generation that can be moved on."""

    def __init__(self) -> None:
        self.acked: list[tuple[int, int]] = []
        self.generation = 1
        self.now = 0.0
        self.forgotten: list[int] = []
        self.gate: AckGate[Event] = AckGate(
            self._ack,
            lambda: self.generation,
            forget=lambda event: self.forgotten.append(event.message.offset),
            clock=lambda: self.now,
        )

    async def _ack(self, event: Event) -> None:
        await asyncio.sleep(0)
        self.acked.append((event.message.tp[1], event.message.offset))


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_whatever_the_order_of_finishing_offsets_are_acknowledged_in_order(order: tuple[int, ...]) -> None:
    async def run() -> None:
        gate = Gate()
        entries = [gate.gate.enter(an_event(offset)) for offset in range(4)]
        finished: set[int] = set()
        for offset in order:
            await gate.gate.finish(entries[offset])
            finished.add(offset)
            prefix = next(number for number in range(5) if number not in finished)
            assert gate.acked == [(0, number) for number in range(prefix)]

    asyncio.run(run())


def test_partitions_do_not_wait_for_each_other() -> None:
    async def run() -> None:
        gate = Gate()
        gate.gate.enter(an_event(0, partition=0))
        other = gate.gate.enter(an_event(7, partition=1))
        await gate.gate.finish(other)
        assert gate.acked == [(1, 7)]

    asyncio.run(run())


def test_a_late_result_of_an_earlier_generation_is_never_acknowledged() -> None:
    async def run() -> None:
        gate = Gate()
        old = gate.gate.enter(an_event(3))
        gate.generation = 2
        new = gate.gate.enter(an_event(3, generation=2))
        assert await gate.gate.finish(old) == 0
        assert (gate.acked, gate.forgotten) == ([], [3])
        await gate.gate.finish(new)
        assert gate.acked == [(0, 3)]

    asyncio.run(run())


def test_revoked_partitions_are_forgotten_and_their_events_let_go() -> None:
    async def run() -> None:
        gate = Gate()
        kept, dropped = gate.gate.enter(an_event(0, partition=0)), gate.gate.enter(an_event(0, partition=1))
        gate.gate.drop_revoked({("uploads", 1)})
        assert await gate.gate.finish(dropped) == 0
        assert dropped.event is None
        assert gate.forgotten == [0]
        assert await gate.gate.finish(kept) == 1
        assert gate.gate.in_flight == 0

    asyncio.run(run())


def test_the_age_of_the_oldest_event_in_flight_is_told() -> None:
    async def run() -> None:
        gate = Gate()
        assert gate.gate.oldest_in_flight_s() == 0.0
        first = gate.gate.enter(an_event(0))
        gate.now = 5.0
        gate.gate.enter(an_event(1))
        assert (gate.gate.in_flight, gate.gate.oldest_in_flight_s()) == (2, 5.0)
        await gate.gate.finish(first)
        assert gate.gate.oldest_in_flight_s() == 0.0

    asyncio.run(run())


def test_many_events_finishing_at_once_are_each_acknowledged_once_and_in_order() -> None:
    async def run() -> None:
        gate = Gate()
        entries = [gate.gate.enter(an_event(offset, partition=offset % 3)) for offset in range(300)]
        random.Random(3).shuffle(entries)
        await asyncio.gather(*(gate.gate.finish(entry) for entry in entries))
        for partition in range(3):
            offsets = [offset for place, offset in gate.acked if place == partition]
            assert offsets == list(range(partition, 300, 3))

    asyncio.run(run())


def test_after_everything_was_handed_back_nothing_is_acknowledged_any_more() -> None:
    async def run() -> None:
        gate = Gate()
        first, second, third = (gate.gate.enter(an_event(offset)) for offset in range(3))
        await gate.gate.finish(first)
        await gate.gate.finish(third)
        gate.gate.drop_all()
        assert gate.gate.in_flight == 0
        assert gate.forgotten == [1, 2]
        assert await gate.gate.finish(second) == 0
        assert gate.acked == [(0, 0)]

    asyncio.run(run())
