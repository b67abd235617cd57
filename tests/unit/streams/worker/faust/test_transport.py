"""What the worker's consumer commits when events end while a commit is under way."""

import asyncio
from collections.abc import Mapping
from time import time
from typing import Any, cast

import pytest
from faust.types import TP, ConsumerMessage

from streams.worker.faust.app import build_app
from streams.worker.faust.transport import CommittingConsumer, CommittingTransport
from streams.worker.options import WorkerOptions

PARTITION = TP("media.uploaded", 0)


class SlowConsumer(CommittingConsumer):
    """The broker answers a commit when the test lets it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._thread.thread_loop.close()  # no thread is started
        self.begun: list[int] = []
        self.has_begun = asyncio.Event()
        self.answers = asyncio.Semaphore(0)

    def assignment(self) -> set[TP]:
        return {PARTITION}

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        self.begun.append(offsets[PARTITION])
        self.has_begun.set()
        await self.answers.acquire()
        return True

    def take(self, offset: int) -> ConsumerMessage:
        """Begin with an event from the broker."""
        message = ConsumerMessage(*PARTITION, offset, time(), 0, [], b"", b"", None, tp=PARTITION)
        self.track_message(message)
        return message

    def handle(self, offset: int) -> None:
        """Take an event from the broker, and be done with it."""
        self.ack(self.take(offset))


class SlowTransport(CommittingTransport):
    Consumer = SlowConsumer


class NoProducer:
    async def flush(self) -> None:
        """Nothing is waiting."""


def a_consumer() -> SlowConsumer:
    app = build_app(WorkerOptions("127.0.0.1:9", "g", concurrency=1))
    app.transport = SlowTransport(app.conf.broker_consumer, app)
    cast(Any, app.topics)._acking_topics.add(PARTITION.topic)
    app._producer = NoProducer()  # type: ignore[assignment]
    return cast(SlowConsumer, app.consumer)


async def in_the_middle_of_a_commit() -> tuple[SlowConsumer, asyncio.Task[bool]]:
    """Offsets 0 to 2 are being committed, and 3 and 4 ended since it began."""
    consumer = a_consumer()
    for offset in range(3):
        consumer.handle(offset)
    first = asyncio.create_task(consumer.commit())
    await asyncio.wait_for(consumer.has_begun.wait(), 10)
    consumer.handle(3)
    consumer.handle(4)
    return consumer, first


@pytest.mark.parametrize("handover", [False, True], ids=["the stop", "a rebalance"])
def test_the_last_commit_has_what_ended_while_another_was_under_way(handover: bool) -> None:
    async def scenario() -> list[int]:
        consumer, first = await in_the_middle_of_a_commit()
        last = asyncio.create_task(
            consumer.on_partitions_revoked({PARTITION}) if handover else consumer.commit_and_end_transactions()
        )
        await asyncio.sleep(0.05)
        assert consumer.begun == [3]
        for _ in range(3):
            consumer.answers.release()
        await asyncio.wait_for(asyncio.gather(first, last), 10)
        return consumer.begun

    assert asyncio.run(scenario()) == [3, 5]


def test_a_handover_commits_what_ended_while_it_committed() -> None:
    async def scenario() -> list[int]:
        consumer = a_consumer()
        consumer.handle(0)
        handover = asyncio.create_task(consumer.on_partitions_revoked({PARTITION}))
        for offset in (1, 2):
            await asyncio.wait_for(consumer.has_begun.wait(), 10)
            consumer.has_begun.clear()
            consumer.handle(offset)
            consumer.answers.release()
        consumer.answers.release()
        await asyncio.wait_for(handover, 10)
        return consumer.begun

    assert asyncio.run(scenario()) == [1, 2, 3]


def test_a_handover_waits_for_what_is_in_work_when_the_stop_comes_during_its_commit() -> None:
    async def scenario() -> list[int]:
        consumer = a_consumer()
        consumer.handle(0)
        in_work = consumer.take(1)
        handover = asyncio.create_task(consumer.on_partitions_revoked({PARTITION}))
        await asyncio.wait_for(consumer.has_begun.wait(), 10)
        cast(Any, consumer.app)._stopped.set()
        consumer.answers.release()
        await asyncio.wait({handover}, timeout=0.2)
        assert not handover.done()
        consumer.ack(in_work)
        consumer.answers.release()
        await asyncio.wait_for(handover, 10)
        return consumer.begun

    assert asyncio.run(scenario()) == [1, 2]


def test_who_stops_waiting_for_a_commit_does_not_end_it_for_others() -> None:
    async def scenario() -> bool:
        consumer, first = await in_the_middle_of_a_commit()
        impatient = asyncio.create_task(consumer.commit())
        await asyncio.sleep(0)
        impatient.cancel()
        patient = asyncio.create_task(consumer.commit())
        consumer.answers.release()
        consumer.answers.release()
        await asyncio.wait_for(patient, 10)
        assert impatient.cancelled()
        return await first and consumer.begun == [3, 5]

    assert asyncio.run(scenario())
