"""The worker's loop on a client in memory: what is sent before what is acknowledged, and when the process must end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError  # type: ignore[import-untyped] # it has no stubs
from faust.exceptions import ProducerSendError

from schemas.cloudevents import write_event
from schemas.errors import ErrorCode, PermanentError
from schemas.topics import ALL_TOPICS, Topics
from streams.failures.guard import DeadLetterLimit
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.tracing import NO_SPAN, NO_TRACING, Tracing
from streams.worker import outcome_sender
from streams.worker.observer import Observer
from streams.worker.options import WorkerOptions
from streams.worker.role import Worker, WorkerStuckError
from streams.worker.watchdog import Signs
from tests.doubles.pipeline import NOW, Flow, a_flow, an_upload
from tests.unit.streams.worker.test_ack_gate import Event, an_event
from tests.unit.streams.worker.test_handler import a_handler, a_record

TOPICS = Topics("p.")


class NotEnoughReplicasError(Exception):
    """As aiokafka's, which says that it passes."""

    retriable = True


class MemoryClient:
    """Sends into a list, which also has the acknowledgements."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.crashes: list[BaseException] = []
        self.refused: str | None = None
        self.refusals_left = 0
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.is_stopping = False
        self.consumer: Signs | None = Signs(newest_fetch_ms=1)

    async def send(self, record: OutboundRecord) -> None:
        await self.may_send.wait()
        if self.refusals_left:
            self.refusals_left -= 1
            raise NotEnoughReplicasError
        if record.topic == self.refused:
            raise PermissionError("This user may not write there.")
        self.steps.append(record.topic)

    async def crash(self, exc: BaseException) -> None:
        self.crashes.append(exc)
        self.is_stopping = True

    def owned(self) -> frozenset[tuple[str, int]]:
        return frozenset()

    def signs(self, in_flight: int) -> Signs | None:
        return None if self.consumer is None else Signs(newest_fetch_ms=1, in_flight=in_flight)


class MemoryStream:
    """The same record for each of its events, until it ends."""

    def __init__(self, client: MemoryClient, events: int, record: InboundRecord | None = None) -> None:
        self._client = client
        self._left = [an_event(offset) for offset in range(events)]
        self._record = record or a_record()
        self.taken = 0

    async def __anext__(self) -> Event:
        if not self._left:
            raise StopAsyncIteration
        self.taken += 1
        return self._left.pop(0)

    def record(self, event: Event) -> InboundRecord:
        return InboundRecord(**{**vars(self._record), "offset": event.message.offset})

    async def ack(self, event: Event) -> None:
        self._client.steps.append(f"acknowledged {event.message.offset}")

    def forget(self, event: Event) -> None:
        self._client.steps.append(f"forgotten {event.message.offset}")

    def generation(self) -> int:
        return 1


def a_worker(
    flow: Flow, client: MemoryClient, limit: DeadLetterLimit | None = None, tracing: Tracing = NO_TRACING
) -> Worker:
    """It works on two events at once."""
    options = WorkerOptions("127.0.0.1:9", "g", 2, TOPICS, shutdown_timeout_s=3600)
    observer = Observer(flow.metrics, tracing, TOPICS)
    return Worker(
        client, options, a_handler(flow, limit=limit), observer, lambda: frozenset(TOPICS.names_of(ALL_TOPICS))
    )


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the worker has no event for it
            await asyncio.sleep(0.001)


def counted(flow: Flow, name: str, **labels: str) -> float:
    return flow.metrics.registry.get_sample_value(name, labels) or 0.0


def run(scenario: Callable[[Flow, MemoryClient], Coroutine[Any, Any, None]]) -> Flow:
    flow = a_flow()

    async def with_a_client() -> None:
        await scenario(flow, MemoryClient())

    asyncio.run(with_a_client())
    return flow


GENERATED = "thumbnail_generation_total"
OF_SUCCESS = {"type": "video", "status": "success"}


def test_an_upload_is_announced_then_acknowledged_then_counted() -> None:
    async def scenario(flow: Flow, client: MemoryClient) -> None:
        client.may_send.clear()
        worker = a_worker(flow, client)
        await worker.consume(MemoryStream(client, 1))
        await until(lambda: flow.maker.seen)
        assert (client.steps, worker.in_flight, counted(flow, GENERATED, **OF_SUCCESS)) == ([], 1, 0)
        client.may_send.set()
        await until(lambda: counted(flow, GENERATED, **OF_SUCCESS))
        assert client.steps == ["p.thumbnail.ready", "acknowledged 0"]
        assert worker.in_flight == 0

    run(scenario)


def test_a_dead_letter_is_sent_before_its_announcement() -> None:
    async def scenario(flow: Flow, client: MemoryClient) -> None:
        flow.maker.error = PermanentError(ErrorCode.MEDIA_CORRUPT, "x")
        await a_worker(flow, client).consume(MemoryStream(client, 1))
        await until(lambda: len(client.steps) == 3)
        assert client.steps == ["p.thumbnail.dlq", "p.thumbnail.failed", "acknowledged 0"]

    run(scenario)


def test_what_cannot_be_sent_is_not_acknowledged_and_ends_the_process() -> None:
    async def scenario(flow: Flow, client: MemoryClient) -> None:
        flow.maker.error, client.refused = PermanentError(ErrorCode.MEDIA_CORRUPT, "x"), "p.thumbnail.dlq"
        await a_worker(flow, client).consume(MemoryStream(client, 2))
        await until(lambda: client.crashes)
        await asyncio.sleep(0.05)
        assert client.steps == []
        assert [type(exc) for exc in client.crashes] == [PermissionError], "one crash is enough"

    flow = run(scenario)
    assert counted(flow, "thumbnail_dead_letter_write_failures_total") == 2
    assert counted(flow, "thumbnail_dead_letters_total", code="media.corrupt") == 0


def test_an_outcome_waits_for_a_cluster_that_takes_none_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_sender, "RESEND_AFTER_S", 0.01)

    async def scenario(flow: Flow, client: MemoryClient) -> None:
        client.refusals_left = 1_000_000
        worker = a_worker(flow, client)
        await worker.consume(MemoryStream(client, 1))
        await until(lambda: worker.sender.problem)
        assert "NotEnoughReplicasError" in (worker.sender.problem or "")
        assert client.steps == []
        client.refusals_left = 0
        await until(lambda: len(client.steps) == 2)
        assert client.steps == ["p.thumbnail.ready", "acknowledged 0"]
        assert (client.crashes, worker.sender.problem) == ([], None)

    run(scenario)


def a_full_batch() -> Exception:
    """As Faust reports that a partition's batch stayed full for as long as a request may take: it was not sent at all."""
    error = ProducerSendError("Error while sending: KafkaTimeoutError()")
    error.__cause__ = KafkaTimeoutError()
    return error


@pytest.mark.parametrize("silence", [TimeoutError(), a_full_batch()], ids=["no answer", "no room"])
@pytest.mark.parametrize("is_unwell", [True, False])
def test_a_producer_that_says_nothing_is_waited_for_only_while_the_cluster_is_unwell(
    *, is_unwell: bool, silence: Exception
) -> None:
    async def scenario() -> None:
        answers: list[Exception | None] = [silence, None]

        async def send(_record: OutboundRecord) -> None:
            if (error := answers.pop(0)) is not None:
                raise error

        sender = outcome_sender.OutcomeSender(send)
        sender.cluster_problem = lambda: "Fewer replicas are in sync." if is_unwell else None
        if is_unwell:
            await sender.send(OutboundRecord("t", None, b"", ()))
            assert answers == []
        else:
            with pytest.raises(type(silence)):
                await sender.send(OutboundRecord("t", None, b"", ()))

    asyncio.run(scenario())


def test_an_acknowledgement_that_comes_as_the_patience_ends_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_sender, "SLOW_SEND_S", 0.0)
    sent: list[OutboundRecord] = []

    async def send(record: OutboundRecord) -> None:
        sent.append(record)

    asyncio.run(outcome_sender.OutcomeSender(send).send(OutboundRecord("t", None, b"", ())))
    assert len(sent) == 1


def test_a_flood_of_dead_letters_ends_the_process_and_leaves_its_record() -> None:
    async def scenario(flow: Flow, client: MemoryClient) -> None:
        flow.maker.error = PermanentError(ErrorCode.MEDIA_CORRUPT, "x")
        worker = a_worker(flow, client, limit=DeadLetterLimit(0, 1, 60, 1))
        await worker.consume(MemoryStream(client, 2))
        await until(lambda: client.crashes and len(client.steps) == 3)
        assert [step for step in client.steps if "acknowledged" in step] == ["acknowledged 0"]

    run(scenario)


def test_no_more_events_are_taken_than_may_be_worked_on() -> None:
    async def scenario(flow: Flow, client: MemoryClient) -> None:
        client.may_send.clear()
        stream = MemoryStream(client, 5)
        consuming = asyncio.create_task(a_worker(flow, client).consume(stream))
        await until(lambda: len(flow.maker.seen) == 2)
        await asyncio.sleep(0.05)
        assert stream.taken == 2
        client.may_send.set()
        await asyncio.wait_for(consuming, 10)
        assert stream.taken == 5

    run(scenario)


@pytest.mark.parametrize("way", ["revoked", "handed back"])
def test_what_was_taken_away_is_neither_acknowledged_nor_counted(way: str) -> None:
    async def scenario(flow: Flow, client: MemoryClient) -> None:
        client.may_send.clear()
        worker = a_worker(flow, client)
        await worker.consume(MemoryStream(client, 1))
        await until(lambda: flow.maker.seen)
        if way == "revoked":
            worker.forget_revoked({("uploads", 0)})
        else:
            worker.hand_back()
        client.may_send.set()
        await asyncio.sleep(0.1)
        assert client.steps[0] == "forgotten 0"
        assert "acknowledged 0" not in client.steps
        assert counted(flow, GENERATED, **OF_SUCCESS) == 0

    run(scenario)


def test_a_worker_whose_consumer_gave_up_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.worker.role.CHECK_EVERY_S", 0.001)

    async def scenario(flow: Flow, client: MemoryClient) -> None:
        failed = Signs(failure=PermissionError("Nobody may read."))
        monkeypatch.setattr(client, "signs", lambda _in_flight: failed)
        await asyncio.wait_for(a_worker(flow, client).watch(), 10)
        assert [type(exc) for exc in client.crashes] == [WorkerStuckError]
        assert "Nobody may read." in str(client.crashes[0])

    run(scenario)


def test_a_worker_that_cannot_be_watched_ends_and_one_without_a_consumer_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.worker.role.CHECK_EVERY_S", 0.001)

    async def scenario(flow: Flow, client: MemoryClient) -> None:
        client.consumer = None
        worker = a_worker(flow, client)
        watch = asyncio.create_task(worker.watch())
        await asyncio.sleep(0.05)
        assert (client.crashes, worker.has_joined()) == ([], False)

        def burst(_in_flight: int) -> Signs:
            raise AttributeError("no such attribute in this release")

        monkeypatch.setattr(client, "signs", burst)
        await asyncio.wait_for(watch, 10)
        assert "could not be watched: AttributeError" in str(client.crashes[0])

    run(scenario)


def test_a_record_that_no_trace_can_be_made_of_is_worked_on_all_the_same() -> None:
    class BrokenTracing:
        def receive(self, _record: InboundRecord) -> Any:
            raise OverflowError("hostile")

        def send(self, record: OutboundRecord) -> Any:
            return record, NO_SPAN

    async def scenario(flow: Flow, client: MemoryClient) -> None:
        worker = a_worker(flow, client, tracing=BrokenTracing())
        outcome = await worker.process(a_record(write_event(an_upload(occurred_at=NOW))))
        assert (outcome.status, client.steps) == ("success", ["p.thumbnail.ready"])

    run(scenario)
