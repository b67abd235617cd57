"""The whole worker role against bare decoding, and its memory over thousands of events, on real Apache Kafka.

Run: python -m benchmarks.worker [--shapes 1x2 ...] [--events N] [--rounds N] [--memory-events N] [--inputs FOLDER]. A
shape is workers x slots of each. The workers take uploads off Kafka, decode, store three renditions with fsync and announce
them; the rate is that of thumbnail.ready records. Beside it, in the same minute, the same files are decoded by two bare
processes in a loop.

The ratio of rates asks for a machine that does nothing else. The processor time of an upload, of each part, hardly does.
"""

import argparse
import json
import statistics
import tempfile
import time
import uuid
from dataclasses import dataclass
from multiprocessing import active_children
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import psutil
from confluent_kafka import Consumer, TopicPartition

from benchmarks.clips import h264_camera, inputs_folder, photographs
from benchmarks.persistence import tree_cpu_s
from benchmarks.slots import bare_processes, bare_slice, peak_mb
from tests.servers.kafka.apache import ApacheKafka
from tests.system.platform import Upload
from tests.system.stack import Stack, a_stack
from tests.system.supervisor import children_of


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def uploads_of(key: str, kind: str, ids: range) -> list[Upload]:
    """One upload for each media id, all of the same stored file."""
    return [
        Upload(
            {
                "event_id": str(uuid.uuid4()),
                "occurred_at": "2026-11-23T10:00:00Z",
                "company_id": 1,
                "media": {"kind": kind, "id": number, "ar_content_id": number, "key": key},
            },
            sound=True,
        )
        for number in ids
    ]


def worker_rate(stack: Stack, uploads: list[Upload]) -> float:
    """Announcements a second, from the 5th to the last: the start of the work is not its speed."""
    before = announced(stack)
    stack.platform.publish(uploads)
    # Only the end of the topic is asked for: an observer that reads along would take the time that it measures.
    stack.wait_for(lambda: announced(stack) >= before + len(uploads), timeout_s=300)
    wanted = {upload.event["event_id"] for upload in uploads}
    records = stack.platform.read_topic("thumbnail.ready")
    times = sorted(r.timestamp()[1] for r in records if json.loads(r.value())["upload_event_id"] in wanted)
    return float((len(times) - 5) * 1000 / (times[-1] - times[4]))


def announced(stack: Stack) -> int:
    """How many records thumbnail.ready has."""
    consumer = Consumer({"bootstrap.servers": stack.platform.bootstrap_servers, "group.id": "watermarks"})
    topic = f"{stack.platform.topic_prefix}thumbnail.ready"
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10) for number in partitions]
        return int(sum(high - low for low, high in ends))
    finally:
        consumer.close()


@dataclass(frozen=True)
class Cost:
    """Processor time of one upload in each part, in milliseconds."""

    worker: float
    slots: float
    persist_and_retry: float
    kafka: float
    bare: float

    @property
    def share(self) -> float:
        """The bare function's part of what worker and slots take."""
        return self.bare / (self.worker + self.slots)


def cpu_parts(stack: Stack, kafka: ApacheKafka) -> tuple[float, float, float, float]:
    """Processor seconds so far: of the workers themselves, of their slots, of persist and retry, of Kafka."""
    workers = [role.process.pid for role in stack.supervisor.of("worker")]
    others = [role.process.pid for name in ("persist", "retry") for role in stack.supervisor.of(name)]
    slots = [pid for worker in workers for pid in children_of(worker)]
    return (
        sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in workers),
        sum(map(tree_cpu_s, slots)),
        sum(map(tree_cpu_s, others)),
        tree_cpu_s(kafka.pid),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", default=["1x2"])
    parser.add_argument("--events", type=int, default=120)
    parser.add_argument("--memory-events", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inputs", type=Path, help="Folder that keeps the inputs for another run.")
    options = parser.parse_args()
    kafka = ApacheKafka()
    try:
        bootstrap = kafka.start()
        for shape in options.shapes:
            workers, slots = map(int, shape.split("x"))
            with (
                tempfile.TemporaryDirectory() as name,
                inputs_folder(options.inputs) as kept,
                bare_processes() as bare,
            ):
                folder = Path(name)
                production = {"DECODE_SLOTS": str(slots), "TENANT_CACHE_S": "10"}
                prefix = f"shape-{shape}."
                with a_stack(bootstrap, f"sqlite:///{folder / 'x.db'}", prefix, folder, **production) as stack:
                    stack.supervisor.start("worker", workers - 1)
                    stack.wait_until_joined()
                    inputs = {item.name: item.path for item in (h264_camera(kept), *photographs(kept)[:1])}
                    bare_slice(bare, list(inputs.values()), 0.1)  # their start is not their speed
                    first = measure(Run(shape, stack, kafka, bare, options.events, options.rounds), inputs)
                    if options.memory_events:
                        measure_memory(stack, options.memory_events, first)
    finally:
        kafka.stop()


@dataclass(frozen=True)
class Run:
    """One shape, with what measures it."""

    shape: str
    stack: Stack
    kafka: ApacheKafka
    bare: list[Connection]
    events: int
    rounds: int


def measure(run: Run, inputs: dict[str, Path]) -> int:
    """Print a line for each input; return the first id that is free."""
    platform, first = run.stack.platform, 1
    for name, path in inputs.items():
        kind = "video" if path.suffix == ".mp4" else "image"
        key = f"acme/uploads/{path.name}"
        platform.store(key, path.read_bytes())
        rates, costs = [], []
        for _ in range(run.rounds):
            before_s = bare_cpu_s()
            bare = bare_slice(run.bare, [path], SLICE_S)
            bare_ms = (bare_cpu_s() - before_s) * 1000 / (bare * SLICE_S)
            platform.add_rows(range(first, first + run.events))
            before = cpu_parts(run.stack, run.kafka)
            rate = worker_rate(run.stack, uploads_of(key, kind, range(first, first + run.events)))
            after = cpu_parts(run.stack, run.kafka)
            worker, slots, others, of_kafka = ((b - a) * 1000 / run.events for a, b in zip(before, after, strict=True))
            first += run.events
            rates.append((rate, bare, rate / bare))
            costs.append(Cost(worker, slots, others, of_kafka, bare_ms))
        rate, bare, ratio = (statistics.median(values) for values in zip(*rates, strict=True))
        ratios = [round(one[2], 2) for one in rates]
        print(f"{run.shape} {name}: worker {rate:.1f}/s, bare {bare:.1f}/s, ratio {ratio:.2f} of {ratios}")
        print(
            f"  CPU ms: {', '.join(f'{part} {statistics.median(getattr(c, part) for c in costs):.1f}' for part in PARTS)}"
        )
        print(f"  bare share of worker and slots: {[round(cost.share, 2) for cost in costs]}", flush=True)
    return first


SLICE_S: Final = 5.0
PARTS: Final = ("worker", "slots", "persist_and_retry", "kafka", "bare")


def bare_cpu_s() -> float:
    """Processor seconds of the bare processes."""
    return sum(tree_cpu_s(process.pid) for process in active_children() if process.pid is not None)


def measure_memory(stack: Stack, events: int, first: int) -> None:
    """Print the peaks, then memory after each quarter of so many events."""
    platform = stack.platform
    worker = stack.supervisor.of("worker")[0].process.pid
    slots = children_of(worker)
    print(f"Peak of the worker {peak_mb(worker):.0f} MiB, of a slot {max(map(peak_mb, slots)):.0f} MiB")
    key = "acme/uploads/memory.mp4"
    platform.store(key, platform.sample("video"))
    step = events // 4
    for _ in range(4):
        started = time.perf_counter()
        platform.add_rows(range(first, first + step))
        worker_rate(stack, uploads_of(key, "video", range(first, first + step)))
        first += step
        sizes = ", ".join(f"{resident_mb(pid):.1f}" for pid in slots)
        print(
            f"{step} events in {time.perf_counter() - started:.0f} s: worker {resident_mb(worker):.1f} MiB, slots {sizes} MiB"
        )


if __name__ == "__main__":
    main()
