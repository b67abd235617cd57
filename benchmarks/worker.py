"""The whole worker role against bare decoding, and its memory over thousands of events, on real Apache Kafka.

Run: python -m benchmarks.worker [--events N] [--memory-events N]. One worker with two slots takes uploads off Kafka,
decodes, stores three renditions with fsync and announces them; the rate is that of thumbnail.ready records. Beside it,
in the same minute, the same files are decoded by two bare processes in a loop.
"""

import argparse
import json
import statistics
import tempfile
import time
import uuid
from multiprocessing.connection import Connection
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from benchmarks.clips import h264_camera, photographs
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=120)
    parser.add_argument("--memory-events", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    kafka = ApacheKafka()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = {item.name: item.path for item in (h264_camera(folder), *photographs(folder)[:1])}
        try:
            with (
                a_stack(kafka.start(), f"sqlite:///{folder / 'x.db'}", "", folder) as stack,
                bare_processes() as processes,
            ):
                measure(stack, processes, inputs, options.events, options.memory_events, options.rounds)
        finally:
            kafka.stop()


def measure(
    stack: Stack,
    processes: list[Connection],
    inputs: dict[str, Path],
    events: int,
    memory_events: int,
    rounds: int,
) -> None:
    platform = stack.platform
    first = 1
    for name, path in inputs.items():
        kind = "video" if path.suffix == ".mp4" else "image"
        key = f"acme/uploads/{path.name}"
        platform.store(key, path.read_bytes())
        ratios, rates = [], []
        for _ in range(rounds):
            bare = bare_slice(processes, [path], 5.0)
            platform.add_rows(range(first, first + events))
            rate = worker_rate(stack, uploads_of(key, kind, range(first, first + events)))
            first += events
            ratios.append(rate / bare)
            rates.append((rate, bare))
        middle = statistics.median(ratios)
        print(
            f"{name}: worker {rates[-1][0]:.1f}/s, bare {rates[-1][1]:.1f}/s, median ratio {middle:.2f} of {[round(r, 2) for r in ratios]}"
        )
    worker = stack.supervisor.of("worker")[0].process.pid
    slots = children_of(worker)
    print(f"Peak of the worker {peak_mb(worker):.0f} MiB, of a slot {max(map(peak_mb, slots)):.0f} MiB")
    key = "acme/uploads/memory.mp4"
    platform.store(key, platform.sample("video"))
    step = memory_events // 4
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
