"""What metrics, logs and traces cost the worker: the same uploads with none of them, without traces, and with all.

Run: python -m benchmarks.observability [--rounds N] [--seconds S]. Real decode slots and the worker's own handling of a
record; storage is in memory and Kafka is left out, so that the part of the observing is larger than in production.
The modes take turns, each round in the other order; spans go to a collector in a process of its own.
"""

import argparse
import asyncio
import logging
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from multiprocessing.connection import Connection
from typing import Any, Final, cast

from prometheus_client.metrics import MetricWrapperBase

from processors.sandbox.pool import DecodeSlots
from schemas.cloudevents import write_event
from schemas.events import MediaKind
from schemas.metrics import Metrics
from service.observability.logs import ContextThreads, configure_logs
from service.observability.traces import Traces, start_traces
from service.roles.build_worker import new_loop
from service.roles.decoding import build_slots, build_spec
from service.settings import Settings, TraceSettings
from streams.failures.company_limiter import CompanyLimit, CompanyLimiter
from streams.failures.guard import DeadLetterGuard, DeadLetterLimit
from streams.failures.policy import RetryPolicy
from streams.kafka.records import InboundRecord, OutboundRecord
from streams.rows.queries import RowStates
from streams.thumbnails.cleanup import CleanupService
from streams.thumbnails.service import ThumbnailService
from streams.thumbnails.staleness import UploadOrder
from streams.thumbnails.storage_calls import StorageCalls
from streams.thumbnails.store import RenditionStore
from streams.tracing import NO_TRACING, StageTime
from streams.worker.failure import Failures, Rules
from streams.worker.faust.client import FaustClient
from streams.worker.handler import EventHandler
from streams.worker.observer import Observer
from streams.worker.options import WorkerOptions
from streams.worker.removals import Removals
from streams.worker.role import Worker
from tests.doubles.pipeline import SOURCE_KEY, OneTenant, an_upload
from tests.servers.collector import a_collector
from tests.system.platform import a_photo

IN_FLIGHT: Final = 8
TRACEPARENT: Final = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class NoMetric:
    """Counts nothing."""

    def labels(self, *_values: object) -> "NoMetric":
        """The same for all."""
        return self

    def inc(self, *_amount: float) -> None:
        """Count nothing."""

    observe = inc

    def time(self) -> AbstractContextManager[None]:
        """Measure nothing."""
        return nullcontext()


class DeafClient(FaustClient):
    """Acknowledges at once, without a broker."""

    async def send(self, record: OutboundRecord) -> None:
        """Send it nowhere."""


class Mode:
    """A worker that is observed in one way."""

    def __init__(self, name: str, slots: DecodeSlots, traces: Traces, *, observed: bool) -> None:
        self.name = name
        self._level = logging.INFO if observed else logging.CRITICAL + 1
        settings, metrics = Settings(), Metrics()
        if not observed:
            for attribute, value in vars(metrics).items():
                if isinstance(value, MetricWrapperBase):
                    setattr(metrics, attribute, NoMetric())
        threads = ContextThreads(IN_FLIGHT) if observed else ThreadPoolExecutor(IN_FLIGHT)
        tenants = OneTenant()
        tenants.own.objects[SOURCE_KEY] = a_photo(1)
        rows = cast(RowStates, None)  # first attempts ask no database
        calls, order, rules = StorageCalls(tenants, threads, metrics), UploadOrder(rows, threads), Rules("benchmark")
        thumbnails = ThumbnailService(calls, RenditionStore(calls), slots, build_spec(settings.decode))
        guard = DeadLetterGuard(DeadLetterLimit(0, 0, 60, 1))
        failures = Failures(RetryPolicy((60.0,), 3600), guard, CompanyLimiter(CompanyLimit(300, 0.5, 300, 100)), rules)
        handler = EventHandler(thumbnails, order, Removals(CleanupService(calls, rows), order, rules), failures, rules)
        options = WorkerOptions("127.0.0.1:1", "benchmark", IN_FLIGHT)
        observer = Observer(metrics, traces.tracing)
        self._worker = Worker(DeafClient(options), options, handler, observer, lambda: None)

    async def rate(self, seconds: float) -> float:
        """Events a second, IN_FLIGHT at a time."""
        logging.getLogger().setLevel(self._level)
        ends = time.perf_counter() + seconds
        started = time.perf_counter()
        counts = await asyncio.gather(*(self._work(ends) for _ in range(IN_FLIGHT)))
        return sum(counts) / (time.perf_counter() - started)

    async def _work(self, ends: float) -> int:
        count = 0
        while time.perf_counter() < ends:
            await self._worker.process(_a_record(count))
            count += 1
        return count


def _a_record(number: int) -> InboundRecord:
    upload = an_upload(event_id=f"upload-{number}")
    photo = upload.model_copy(update={"media": upload.media.model_copy(update={"kind": MediaKind.IMAGE})})
    return InboundRecord(
        "media.uploaded", 0, number, 1, b"ar_content:9", write_event(photo), (("traceparent", TRACEPARENT),)
    )


def ns_switched_off(times: int = 200_000) -> float:
    """What the port costs an event that nobody traces: one received, one sent, four stages."""
    record, sent = _a_record(1), OutboundRecord("t", None, None, ())
    stages = tuple(StageTime(name, 0.0, 1.0) for name in ("read", "decode", "render", "upload"))

    def port() -> None:
        _, span = NO_TRACING.receive(record)
        span.set_attributes({})
        span.add_stages(stages)
        _, sending = NO_TRACING.send(sent)
        sending.end()
        span.end()

    return _ns(port, times) - _ns(lambda: None, times)


def _ns(call: Callable[[], None], times: int) -> float:
    began = time.perf_counter_ns()
    for _ in range(times):
        call()
    return (time.perf_counter_ns() - began) / times


def _collect(connection: Connection) -> None:
    with a_collector() as collector:
        connection.send(collector.endpoint)
        connection.recv()
        connection.send(len(collector.spans()))


async def measure(modes: list[Mode], rounds: int, seconds: float) -> dict[str, list[float]]:
    """The rates of each mode, one a round."""
    rates: dict[str, list[float]] = {mode.name: [] for mode in modes}
    for mode in modes:
        await mode.rate(0.5)
    for number in range(rounds):
        for mode in modes if number % 2 else reversed(modes):
            rates[mode.name].append(await mode.rate(seconds))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_collect, args=(theirs,), daemon=True)
    process.start()
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = ours.recv()
    configure_logs("json", "INFO", role="worker")
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a device
        cast(Any, logging.getLogger().handlers[0]).setStream(nowhere)
        loop = new_loop()
        slots = build_slots(Settings().decode, lambda _cause: None)
        loop.run_until_complete(slots.start())
        traces = start_traces(TraceSettings(traces="on"), "worker", "benchmark")
        modes = [
            Mode("nothing", slots, Traces(), observed=False),
            Mode("metrics and logs", slots, Traces(), observed=True),
            Mode("and traces", slots, traces, observed=True),
        ]
        rates = loop.run_until_complete(measure(modes, options.rounds, options.seconds))
        traces.close()
        slots.kill()
    ours.send("end")
    print(f"The port, switched off: {ns_switched_off():.0f} ns an event. {ours.recv()} spans were collected.")
    for name, found in rates.items():
        ratios = [one / base for one, base in zip(found, rates["nothing"], strict=True)]
        print(
            f"{name}: {statistics.median(found):.1f} events/s, median ratio {statistics.median(ratios):.3f}"
            f" of {[round(ratio, 3) for ratio in ratios]}"
        )


if __name__ == "__main__":
    main()
